"""Packs of a history with a sealed break: neither intact nor forged, and said so with the reason."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import transaction
from django.utils import timezone

from credentials.evidence.segment import BrokenHistory
from credentials.evidence.services import account_pack, period_pack
from credentials.models import TechnicalAccount
from portal.audit.chain.sealing import examine, seal_break
from portal.audit.chain.verification import verify as verify_history
from portal.audit.models import FIRST, AuditEvent, AuditHead
from portal.audit.signing.heads import sign_head
from portal.audit.trail import record
from tests.credentials.evidence.packs import Files, Forgery, key, lines_of, pack_of, rows, sign_again, verify
from tests.factories import SOMEBODY, make_account
from tests.portal.audit.tampering import change, open_trail, remove

pytestmark = [pytest.mark.django_db, pytest.mark.one_engine]  # what matters is the arithmetic of seals
REASON = "A disk was damaged, ticket 4711"


def note(count: int) -> None:
    with transaction.atomic():
        for _ in range(count):
            record("push.retried", actor=SOMEBODY)


def seal() -> AuditEvent:
    return seal_break(reason=REASON, actor=SOMEBODY, looked_at=examine())


def everything() -> Files:
    day = timedelta(days=1)
    return pack_of(period_pack(timezone.now() - day, timezone.now() + day))


def forge(seq: int) -> None:
    """Add an entry behind the portal's back."""
    open_trail()
    fields = {"at": timezone.now(), "actor_name": "x", "action": "x", "hash": FIRST, "prev_hash": FIRST}
    AuditEvent.objects.bulk_create([AuditEvent(seq=seq, **fields)])


def all_at_the_beginning() -> None:
    remove(*range(1, 9))


def head_lost() -> None:
    AuditHead.objects.all().delete()


BREAKS: dict[str, tuple[Callable[[], None], tuple[int, int]]] = {
    "changed": (lambda: change(4, action="other"), (4, 4)),
    "removed": (lambda: remove(3, 4, 5), (3, 6)),
    "the beginning removed": (lambda: remove(1, 2), (1, 3)),
    "all removed": (all_at_the_beginning, (1, 8)),
    "the end removed": (lambda: remove(7, 8), (7, 8)),
    "added after the end": (lambda: forge(40), (9, 40)),
    "the head lost": (head_lost, (8, 8)),
}


@pytest.mark.parametrize("how", BREAKS)
def test_a_period_with_a_sealed_break_is_genuine_and_not_intact(how: str, tmp_path: Path) -> None:
    spoil, (first, last) = BREAKS[how]
    note(8)
    spoil()
    sealing = seal()
    note(3)
    assert verify_history().is_intact
    files = everything()
    status, said = verify(files, tmp_path, "--key", key())
    assert status == 4, said
    assert f"entries {first} to {last} are a BREAK" in said
    assert f"Entry {sealing.seq} sealed it" in said
    assert f"by {SOMEBODY.name}." in said
    assert REASON in said
    assert "no entry of the period is left out" in said
    assert said.splitlines()[-1].startswith("The pack is genuine. The history in it is NOT INTACT")
    assert REASON in files["summary.html"].decode()


def test_what_is_left_of_a_break_is_in_a_file_of_its_own() -> None:
    note(8)
    change(4, action="other")
    remove(6)
    seal()
    files = everything()
    left = rows(files, "broken.jsonl")
    assert [each["seq"] for each in left] == [4, 5, 7]
    assert left[0]["row"] == AuditEvent.objects.get(seq=4).as_it_is()
    assert not {4, 5, 6, 7} & {each["seq"] for each in rows(files, "events.jsonl")}
    [link] = [each for each in rows(files, "chain.jsonl") if "sealed_by" in each]
    assert (link["seq"], link["last"]) == (4, 7)


def test_a_pack_of_an_account_has_the_explanation_and_nothing_of_others(tmp_path: Path) -> None:
    account = make_account().account
    note(4)
    with transaction.atomic():
        record("account.activated", actor=SOMEBODY, target=account)
    change(4, action="other")
    sealing = seal()
    note(2)
    files = pack_of(account_pack(TechnicalAccount.objects.get(pk=account.pk)))
    status, said = verify(files, tmp_path, "--key", key())
    assert (status, REASON in said) == (4, True), said
    assert sealing.seq in [each["seq"] for each in rows(files, "events.jsonl")]
    assert files["broken.jsonl"] == b""


def test_a_pack_that_ends_before_the_break_knows_nothing_of_it(tmp_path: Path) -> None:
    note(2)
    since, until = timezone.now(), timezone.now()
    note(1)
    with transaction.atomic():
        until = record("push.retried", actor=SOMEBODY).at
    note(2)
    sign_head()
    note(5)
    change(9, action="other")
    seal()
    status, said = verify(pack_of(period_pack(since, until)), tmp_path, "--key", key())
    assert (status, "BREAK" in said) == (0, False), said


def test_a_signed_head_before_the_break_still_holds_what_came_before_it(tmp_path: Path) -> None:
    note(3)
    sign_head()
    note(5)
    change(6, action="other")
    seal()
    said = verify(everything(), tmp_path, "--key", key())[1]
    assert "entries 4 to 5: no head was signed between them and the break" in said


def test_a_head_that_was_noted_within_the_break_says_nothing(tmp_path: Path) -> None:
    note(8)
    noted = AuditEvent.objects.get(seq=4)
    change(4, action="other")
    seal()
    head = f"4:{noted.hash}"
    status, said = verify(everything(), tmp_path, "--key", key(), "--head", head)
    assert (status, "the head 4 that you noted lies in the break" in said) == (4, True), said


def test_two_breaks_are_two(tmp_path: Path) -> None:
    note(6)
    change(2, action="other")
    seal()
    note(6)
    change(10, action="other")
    seal()
    status, said = verify(everything(), tmp_path, "--key", key())
    assert (status, said.count("BREAK")) == (4, 2), said


def test_a_break_that_was_changed_after_it_was_sealed_makes_no_pack() -> None:
    note(8)
    change(4, action="other")
    seal()
    change(4, action="a third one")
    with pytest.raises(BrokenHistory, match="entry 4"):
        everything()


def name_no_sealing(files: Files) -> None:
    files["events.jsonl"] = files["events.jsonl"].replace(b"history.break_sealed", b"history.break_found_")


def put_the_break_elsewhere(files: Files) -> None:
    """Hide an entry more than was sealed."""
    lines = [json.loads(each) for each in lines_of(files, "chain.jsonl")]
    hidden = AuditEvent.objects.get(seq=5)
    lines = [each for each in lines if each["seq"] != 5]
    for each in lines:
        if "sealed_by" in each:
            each |= {"last": 5, "hash": hidden.hash}
    files["chain.jsonl"] = b"".join(json.dumps(each).encode() + b"\n" for each in lines)
    drop(files, 5)


def invent_a_break(files: Files) -> None:
    """Hide an entry of an intact part behind the sealing of another one."""
    lines = [json.loads(each) for each in lines_of(files, "chain.jsonl")]
    hidden = AuditEvent.objects.get(seq=7)
    by = next(each["sealed_by"] for each in lines if "sealed_by" in each)
    link = {"seq": 7, "last": 7, "sealed_by": by, "hash": hidden.hash}
    lines = [link if each["seq"] == 7 else each for each in lines]
    files["chain.jsonl"] = b"".join(json.dumps(each).encode() + b"\n" for each in lines)
    drop(files, 7)


def go_on_elsewhere(files: Files) -> None:
    files["chain.jsonl"] = b"".join(
        json.dumps(
            {**json.loads(each), "hash": "ab" * 32} if b"sealed_by" in each else json.loads(each)
        ).encode()
        + b"\n"
        for each in lines_of(files, "chain.jsonl")
    )


def drop(files: Files, seq: int) -> None:
    for name in ("events.jsonl", "names.jsonl"):
        kept = [each for each in lines_of(files, name) if json.loads(each)["seq"] != seq]
        files[name] = b"".join(kept)


@pytest.mark.parametrize(
    ("forge_it", "reason"),
    [
        (name_no_sealing, "events.jsonl: entry 9 is not what the chain has there"),
        (put_the_break_elsewhere, "entries 4 to 5 are left out as a break, but no entry sealed it"),
        (invent_a_break, "entries 7 to 7 are left out as a break, but no entry sealed it"),
        (go_on_elsewhere, "the chain does not lead to the signed head of entry"),
    ],
)
def test_nobody_hides_an_entry_behind_a_break_that_was_not_sealed(
    tmp_path: Path, forge_it: Forgery, reason: str
) -> None:
    note(8)
    change(4, action="other")
    seal()
    note(2)
    files = everything()
    forge_it(files)
    sign_again(files)
    status, said = verify(files, tmp_path, "--key", key())
    assert (status, reason in said.splitlines()[-1]) == (1, True), said
