"""Sealed breaks: shown for ever, no new finding, and any later change in them is one."""

import json
import sys
from collections.abc import Callable
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction
from pytest_django.fixtures import Settings

from portal.audit.chain import kept_head, verification
from portal.audit.chain.findings import Verification
from portal.audit.chain.sealed_breaks import sealed_breaks
from portal.audit.chain.sealing import ChangedMeanwhile, examine, seal_break
from portal.audit.chain.verification import Walk, verify
from portal.audit.management.commands.seal_audit_break import PHRASE
from portal.audit.models import FIRST, AuditEvent, AuditHead
from portal.audit.trail import Actor, record
from portal.keys.models import KnownKey
from tests.portal.audit.tampering import change, open_trail, remove, set_back

pytestmark = [pytest.mark.django_db, pytest.mark.one_engine]  # what matters is the arithmetic of seals
SOMEBODY = Actor("somebody")
OTHER_KEY = "another key, which is long enough for one"


def add(count: int = 1) -> None:
    with transaction.atomic():
        for number in range(count):
            record("push.failed", actor=SOMEBODY, details={"number": number})


@pytest.fixture(autouse=True)
def _ten_events() -> None:
    add(10)


def seal(reason: str = "A disk was damaged") -> AuditEvent:
    return seal_break(reason=reason, actor=SOMEBODY, looked_at=examine())


def problems(result: Verification | None = None) -> list[tuple[int, str]]:
    return [(finding.seq, finding.problem) for finding in (result or verify()).findings]


def forge(seq: int, **values: object) -> None:
    """Add an event behind the portal's back."""
    open_trail()
    fields = {"at": AuditEvent.objects.get(seq=1).at, "actor_name": "x", "action": "x", "hash": FIRST}
    AuditEvent.objects.bulk_create([AuditEvent(seq=seq, **{"prev_hash": FIRST, **fields, **values})])


def lose_head() -> None:
    AuditHead.objects.all().delete()


def wrong_head() -> None:
    AuditHead.objects.update(seq=4000, hash="0" * 64)


def head_set_back() -> None:
    head = AuditHead(pk=1, seq=8, hash=AuditEvent.objects.get(seq=8).hash)
    head.seal = head.expected_seal()
    head.save()


def several(*steps: Callable[[], None]) -> Callable[[], None]:
    def all_of_them() -> None:
        for step in steps:
            step()

    return all_of_them


BREAKS: dict[str, tuple[Callable[[], None], tuple[int, int, int]]] = {
    "changed": (lambda: change(3, action="other"), (3, 3, 11)),
    "hashed anew": (lambda: change(3, hash="f" * 64), (3, 4, 11)),
    "removed": (lambda: remove(3, 4), (3, 5, 11)),
    "the beginning removed": (lambda: remove(1), (1, 2, 11)),
    "the end removed": (lambda: remove(9, 10), (9, 10, 11)),
    "all removed": (lambda: remove(*range(1, 11)), (1, 10, 11)),
    "added before the beginning": (lambda: forge(0), (0, 0, 11)),
    "added long before the beginning": (lambda: forge(-7), (-7, 0, 11)),
    "added after the end": (lambda: forge(11), (11, 11, 12)),
    "added far after the end": (lambda: forge(50), (11, 50, 51)),
    "the head lost": (lose_head, (10, 10, 11)),
    "the head wrong": (wrong_head, (10, 10, 11)),
    "the head set back": (head_set_back, (9, 10, 11)),
    "the end removed and the head lost": (several(lambda: remove(9, 10), lose_head), (8, 8, 9)),
    "in two places": (several(lambda: change(2, ip="x"), lambda: change(7, ip="x")), (2, 7, 11)),
    "everything": (
        several(lambda: change(3, action="x"), lambda: remove(5), lambda: forge(0), lambda: forge(12)),
        (0, 12, 13),
    ),
}


@pytest.mark.parametrize("how", BREAKS)
def test_a_break_is_sealed_and_the_history_goes_on(how: str) -> None:
    spoil, (first, last, by) = BREAKS[how]
    spoil()
    found = problems()
    assert found
    event = seal()
    assert (event.details["first"], event.details["last"], event.seq) == (first, last, by)
    add(3)
    result = verify()
    assert (result.findings, result.intact_since) == ([], by)
    [sealed] = result.sealed_breaks
    assert (sealed.who, sealed.reason, sealed.problems) == ("somebody", "A disk was damaged", len(found))
    assert sealed.findings == [{"event": seq, "problem": problem} for seq, problem in found]
    change(by + 1, action="other")
    assert problems() == [(by + 1, "was changed after it was recorded")]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda: change(3, action="a third one"),
        lambda: change(3, hash="e" * 64),
        lambda: change(4, request_id="other"),
        lambda: change(6, prev_hash="e" * 64),
        lambda: remove(5),
        lambda: forge(7, action="push.failed"),
    ],
)
def test_a_change_in_a_sealed_break_is_a_new_finding(spoil: Callable[[], None]) -> None:
    change(3, action="other")
    remove(7)
    seal()
    spoil()
    new = "events 3 to 8, sealed by event 11: changed again since then"
    assert (3, new) in problems()
    second = seal("Again")
    result = verify()
    assert (result.findings, result.intact_since) == ([], second.seq)
    assert [each.seq for each in result.sealed_breaks] == [11, second.seq]


def test_several_breaks_are_sealed_one_after_the_other() -> None:
    change(2, action="other")
    seal("first")
    add(5)
    change(14, action="other")
    seal("second")
    add(2)
    change(8, action="other")
    seal("third")
    result = verify()
    assert result.is_intact
    assert [(each.first, each.last, each.reason) for each in result.sealed_breaks] == [
        (2, 2, "first"),
        (14, 14, "second"),
        (8, 8, "third"),
    ]


@pytest.mark.parametrize("begin", [1, 4])
def test_a_chain_that_was_continued_under_another_key_is_sealed(begin: int, settings: Settings) -> None:
    set_back(begin) if begin > 1 else remove(*range(1, 11))
    if begin == 1:
        AuditHead.objects.update(seq=0, hash=FIRST)
    key, settings.AUDIT_KEY = settings.AUDIT_KEY, OTHER_KEY
    own = KnownKey.objects.get(name="audit_key")
    own.delete()  # otherwise nothing would be recorded under a key that is not this database's
    add(300)
    own.save(force_insert=True)
    settings.AUDIT_KEY = key
    event = seal("Started with a wrong key")
    assert event.details["problems"] == 301
    assert len(event.details["findings"]) == 20
    assert event.details["last"] == event.seq - 1
    assert verify().is_intact
    change(200, action="other")
    assert len(problems()) == 1


def test_a_sealing_event_without_the_key_seals_nothing() -> None:
    change(3, action="other")
    details = dict(seal().details)
    change(3, action="a third one")
    forged = {**details, "digest": "0" * 64}
    change(11, details=forged)
    found = problems()
    assert (3, "was changed after it was recorded") in found
    assert (11, "was changed after it was recorded") in found
    assert sealed_breaks() == []


def test_a_sealing_event_that_is_removed_brings_its_findings_back() -> None:
    change(3, action="other")
    seal()
    set_back(10)
    assert (3, "was changed after it was recorded") in problems()


def test_a_broken_sealing_event_can_be_sealed_in_turn() -> None:
    change(3, action="other")
    seal()
    change(11, actor_name="nobody")
    event = seal("The seal was changed")
    assert (event.details["first"], event.details["last"]) == (3, 11)
    assert verify().is_intact


def test_a_kept_head_is_given_up_with_the_break_and_its_number_is_not_used_again() -> None:
    kept_head.keep()
    noted = str(AuditHead.objects.get())
    remove(9, 10)
    lose_head()
    event = seal()
    assert (event.seq, event.details["kept_head"]) == (11, noted)
    assert verify().is_intact
    kept = kept_head.read()
    assert kept
    assert kept.head.seq == 11


def test_a_kept_head_alone_is_nothing_to_seal() -> None:
    kept_head.keep()
    set_back(8)
    with pytest.raises(CommandError, match="accept_audit_head"):
        call_command("seal_audit_break", reason="why not", yes=True)


def test_an_intact_history_has_nothing_to_seal() -> None:
    with pytest.raises(CommandError, match="no break to seal"):
        call_command("seal_audit_break", reason="why not", yes=True)
    assert AuditEvent.objects.count() == 10


def test_sealing_needs_a_reason() -> None:
    change(3, action="other")
    with pytest.raises(CommandError, match="reason"):
        call_command("seal_audit_break", reason=" ", yes=True)


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    return lambda text: monkeypatch.setattr(sys, "stdin", StringIO(text))


@pytest.mark.parametrize("answer", ["", "yes\n", "y\n"])
def test_nothing_is_sealed_without_the_phrase(answer: str, typed: Callable[[str], None]) -> None:
    change(3, action="other")
    typed(answer)
    with pytest.raises(CommandError, match="Nothing was sealed"):
        call_command("seal_audit_break", reason="A disk was damaged")
    assert sealed_breaks() == []


def test_the_phrase_seals(typed: Callable[[str], None], capsys: pytest.CaptureFixture[str]) -> None:
    change(3, action="other")
    typed(f"{PHRASE}\n")
    call_command("seal_audit_break", reason="A disk was damaged")
    assert "event 3: was changed after it was recorded" in capsys.readouterr().out
    assert verify().is_intact


def test_a_break_that_became_another_one_is_not_sealed_unseen() -> None:
    change(3, action="other")
    walk = examine()
    change(5, action="other")
    with pytest.raises(ChangedMeanwhile):
        seal_break(reason="A disk was damaged", actor=SOMEBODY, looked_at=walk)
    assert sealed_breaks() == []


def test_the_command_says_so_and_ends_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    change(3, action="other")
    seal()
    call_command("verify_audit")
    out = capsys.readouterr().out
    assert "sealed break, event 3 (problems: 1), by event 11, somebody," in out
    assert "The audit trail is intact since event 11; sealed breaks: 1 (event 3)." in out
    call_command("verify_audit", "--json")
    found = json.loads(capsys.readouterr().out)
    assert (found["intact"], found["intact_since"], found["findings"]) == (True, 11, [])
    assert found["sealed_breaks"][0]["findings"][0]["event"] == 3


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_a_walk_can_be_interrupted_inside_a_sealed_break(size: int) -> None:
    change(3, action="other")
    remove(7)
    seal()
    add(2)
    walk = Walk.begin()
    while walk.batch(size):
        walk = Walk.resume(json.loads(json.dumps(walk.leave())))
    assert walk.finish(size).is_intact


def test_a_sealed_break_is_read_in_batches_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portal.audit.chain.sealed_breaks.BATCH", 2)
    monkeypatch.setattr(verification, "MOST_FINDINGS", 2)
    change(1, action="other")
    change(9, action="other")
    change(5, action="other")
    event = seal()
    assert (event.details["first"], event.details["last"], event.details["problems"]) == (1, 9, 3)
    assert verify().is_intact
