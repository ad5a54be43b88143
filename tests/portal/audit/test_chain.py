"""The audit chain: what is recorded, that it cannot be changed, and that verification finds every change."""

import json
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import DatabaseError, transaction

from portal.audit.chain.verification import verify
from portal.audit.models import FIRST, AuditEvent, AuditHead
from portal.audit.trail import Actor, record
from tests.portal.audit.tampering import change, open_trail, remove

pytestmark = pytest.mark.django_db
SOMEBODY = Actor("somebody")


@pytest.fixture(autouse=True)
def _five_events() -> None:
    with transaction.atomic():
        for number in range(5):
            record("push.failed", actor=SOMEBODY, details={"number": number, "text": "é \u2028 \U0001f600"})


def problems() -> list[tuple[int, str]]:
    return [(finding.seq, finding.problem) for finding in verify().findings]


def test_an_untouched_chain_is_intact() -> None:
    result = verify()
    assert (result.is_intact, result.events, result.findings) == (True, 5, [])
    assert result.head == str(AuditHead.objects.get())


def test_a_removed_head_is_found() -> None:
    AuditHead.objects.all().delete()
    assert [finding.problem for finding in verify().findings] == ["the end of the chain was removed"]


@pytest.mark.parametrize(
    "values",
    [
        {"action": "push.succeeded"},
        {"actor_name": "nobody"},
        {"ip": "10.0.0.1"},
        {"target_name": "other"},
        {"details": {"number": 9}},
        {"request_id": "x"},
    ],
)
def test_a_changed_field_is_found(values: dict[str, object]) -> None:
    change(3, **values)
    assert problems() == [(3, "was changed after it was recorded")]


def test_a_changed_time_is_found() -> None:
    change(3, at=AuditEvent.objects.get(seq=3).at + timedelta(microseconds=1))
    assert problems() == [(3, "was changed after it was recorded")]


def test_an_event_that_was_hashed_anew_without_the_key_is_found() -> None:
    change(3, hash="f" * 64)
    assert problems() == [
        (3, "was changed after it was recorded"),
        (4, "does not continue the event before it"),
    ]


def test_a_removed_event_is_found() -> None:
    remove(2, 3)
    assert problems() == [(2, "events 2 to 3 are missing")]


def test_a_removed_beginning_is_found() -> None:
    remove(1)
    assert problems() == [(1, "events 1 to 1 are missing")]


def test_a_cut_off_end_is_found() -> None:
    remove(4, 5)
    assert problems() == [(4, "the newest events, up to 5, are missing or changed")]


def test_a_cut_off_end_with_a_head_that_was_set_back_is_found() -> None:
    remove(5)
    AuditHead.objects.update(seq=4, hash=AuditEvent.objects.get(seq=4).hash)
    assert problems() == [(4, "the end of the chain was changed by hand")]


def test_a_head_that_was_set_back_alone_is_found() -> None:
    head = AuditHead(seq=4, hash=AuditEvent.objects.get(seq=4).hash)
    AuditHead.objects.update(seq=4, hash=head.hash, seal=head.expected_seal())
    assert problems() == [(5, "1 event comes after the end of the chain")]


def test_a_database_set_back_to_an_older_copy_is_found_through_a_noted_head() -> None:
    noted = str(AuditHead.objects.get())
    remove(5)
    head = AuditHead(seq=4, hash=AuditEvent.objects.get(seq=4).hash)
    AuditHead.objects.update(seq=4, hash=head.hash, seal=head.expected_seal())
    assert verify().is_intact
    assert [f.problem for f in verify(expected_head=noted).findings] == [
        f"the noted head {noted} is not in the chain"
    ]


def test_a_noted_head_stays_in_a_chain_that_grows() -> None:
    noted = str(AuditHead.objects.get())
    record("push.failed", actor=SOMEBODY)
    assert verify(expected_head=noted).is_intact


def test_the_head_of_the_empty_chain_is_in_every_chain() -> None:
    assert verify(expected_head=f"0:{FIRST}").is_intact
    assert not verify(expected_head=f"0:{'1' * 64}").is_intact


def test_batches_make_no_difference() -> None:
    seen: list[int] = []
    assert verify(every=2, progress=seen.append).events == 5
    assert seen == [2, 4]


def test_events_that_come_while_it_walks_are_no_finding() -> None:
    def append(events: int) -> None:
        if events == 2:
            record("push.failed", actor=SOMEBODY)

    result = verify(every=2, progress=append)
    assert (result.events, result.findings) == (6, [])


def test_no_more_than_about_a_hundred_findings_are_listed() -> None:
    for _ in range(300):
        record("push.failed", actor=SOMEBODY)
    open_trail()
    AuditEvent.objects.update(action="other")
    assert 100 <= len(verify(every=50).findings) <= 150


@pytest.mark.parametrize("verb", ["update", "delete"])
def test_the_database_refuses_to_change_or_remove_events(verb: str) -> None:
    events = AuditEvent.objects.filter(seq=1)
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        events.update(action="x") if verb == "update" else events._raw_delete("default")
    assert AuditEvent.objects.get(seq=1).action == "push.failed"


@pytest.mark.django_db(transaction=True)
def test_an_event_outside_a_transaction_is_refused() -> None:
    with pytest.raises(RuntimeError):
        record("push.failed", actor=SOMEBODY)


def test_an_event_disappears_with_the_change_it_describes() -> None:
    with transaction.atomic():
        record("push.failed", actor=SOMEBODY)
        transaction.set_rollback(True)
    assert verify().events == 5
    assert verify().is_intact


def test_verify_audit_prints_the_head(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("verify_audit")
    head = AuditHead.objects.get()
    call_command("verify_audit")
    first, second = capsys.readouterr().out.split("intact.\n", 1)
    assert first == f"5 events, head {head}\nno head was kept here before\nThe audit trail is "
    assert second == f"5 events, head {head}\nkept head {head}\nThe audit trail is intact.\n"


def test_verify_audit_ends_with_1_and_names_what_it_found(capsys: pytest.CaptureFixture[str]) -> None:
    remove(2)
    with pytest.raises(SystemExit) as end:
        call_command("verify_audit", "--json")
    found = json.loads(capsys.readouterr().out)
    assert end.value.code == 1
    assert (found["intact"], found["findings"]) == (
        False,
        [{"event": 2, "problem": "events 2 to 2 are missing"}],
    )


def test_verify_audit_compares_with_a_noted_head() -> None:
    call_command("verify_audit", "--expect-head", str(AuditHead.objects.get()))
    with pytest.raises(SystemExit):
        call_command("verify_audit", "--expect-head", f"5:{'0' * 64}")


def test_verify_audit_writes_nothing() -> None:
    call_command("verify_audit")
    assert AuditEvent.objects.count() == 5


def test_an_event_that_was_hashed_anew_and_its_followers_too_is_found() -> None:
    """Form 2 has an open hash, which anybody can make: the seals need the audit key."""
    open_trail()
    previous = AuditEvent.objects.get(seq=2).hash
    for event in AuditEvent.objects.filter(seq__gt=2).order_by("seq"):
        event.details, seal = {"number": 9}, event.seal
        event.chain(previous, "not the audit key")
        previous = event.hash
        AuditEvent.objects.filter(seq=event.seq).update(
            details=event.details, prev_hash=event.prev_hash, hash=event.hash, seal=seal
        )
    head = AuditHead(pk=1, seq=5, hash=previous)
    AuditHead.objects.update(hash=previous, seal=head.expected_seal())  # even if the head's seal could be had
    assert problems() == [(seq, "was changed after it was recorded") for seq in (3, 4, 5)]
