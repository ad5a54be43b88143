"""Forged packs: each is refused, and the verifier says why.

Two kinds of forgers: one who can change files, and one who has the portal's signing key as well, and signs
the changed manifest. The second one is stopped by the chain, whose heads were signed before.
"""

import json
from pathlib import Path

import pytest
from django.db import transaction
from django.utils import timezone

from credentials.evidence.services import account_pack, period_pack
from portal.audit.models import AuditEvent
from portal.audit.signing import sshsig
from portal.audit.signing.heads import NAMESPACE, sign_head
from portal.audit.signing.signing_key import signing_key
from portal.audit.trail import PORTAL, Details, record
from tests.credentials.evidence.packs import Files, Forgery, key, lines_of, pack_of, rows, sign_again, verify
from tests.factories import SOMEBODY, finish, make_account, make_rollout

pytestmark = [pytest.mark.django_db, pytest.mark.one_engine]  # what matters is the pack


@pytest.fixture
def files() -> Files:
    """A pack with four entries in full, and others between them as digests."""
    account = make_account().account
    for _ in range(3):
        with transaction.atomic():
            record("push.retried", actor=SOMEBODY)
            record("account.activated", actor=SOMEBODY, target=account)
    return pack_of(account_pack(account))


def change_a_line(files: Files) -> None:
    files["events.jsonl"] = files["events.jsonl"].replace(b"account.activated", b"account.retired", 1)


def leave_out_a_line(files: Files) -> None:
    del_line(files, "chain.jsonl", 3)


def leave_out_the_same_entry_everywhere(files: Files) -> None:
    """From the entries, their names and the chain, with new numbers for what follows."""
    lines = [json.loads(each) for each in lines_of(files, "chain.jsonl")]
    del lines[2]
    renumbered = [{**each, "seq": number} for number, each in enumerate(lines, start=1)]
    files["chain.jsonl"] = b"".join(json.dumps(each).encode() + b"\n" for each in renumbered)
    files["events.jsonl"] = files["events.jsonl"].splitlines(keepends=True)[0]
    files["names.jsonl"] = files["names.jsonl"].splitlines(keepends=True)[0]


def add_an_entry(files: Files) -> None:
    last = json.loads(lines_of(files, "events.jsonl")[-1])
    files["events.jsonl"] += json.dumps({**last, "seq": last["seq"] + 1}).encode() + b"\n"


def add_a_link(files: Files) -> None:
    last = rows(files, "chain.jsonl")[-1]
    files["chain.jsonl"] += json.dumps({**last, "seq": last["seq"] + 1}).encode() + b"\n"


def move_entries(files: Files) -> None:
    first, second, *others = lines_of(files, "events.jsonl")
    files["events.jsonl"] = b"".join([second, first, *others])


def move_links(files: Files) -> None:
    first, second, *others = rows(files, "chain.jsonl")
    swapped = [{**second, "seq": 1}, {**first, "seq": 2}, *others]
    files["chain.jsonl"] = b"".join(json.dumps(each).encode() + b"\n" for each in swapped)
    files["events.jsonl"] = b"".join(lines_of(files, "events.jsonl")[1:])
    files["names.jsonl"] = b"".join(lines_of(files, "names.jsonl")[1:])


def replace_an_entry_of_the_digests(files: Files) -> None:
    lines = rows(files, "chain.jsonl")
    lines[1]["sha256"] = "0" * 64
    files["chain.jsonl"] = b"".join(json.dumps(each).encode() + b"\n" for each in lines)


def hide_an_entry(files: Files) -> None:
    """As if it were one of an earlier release, whose hash nobody outside can recompute."""
    lines = rows(files, "chain.jsonl")
    lines[3] = {"seq": 4, "hash": AuditEvent.objects.get(seq=4).hash}
    files["chain.jsonl"] = b"".join(json.dumps(each).encode() + b"\n" for each in lines)


def cut_the_end(files: Files) -> None:
    files["chain.jsonl"] = b"".join(lines_of(files, "chain.jsonl")[:4])
    files["events.jsonl"] = b"".join(lines_of(files, "events.jsonl")[:2])
    files["names.jsonl"] = b"".join(lines_of(files, "names.jsonl")[:2])


def cut_the_end_and_say_so(files: Files) -> None:
    """With a manifest that names the place of the cut as the end, where no head was signed."""
    cut_the_end(files)
    manifest = json.loads(files["manifest.json"])
    manifest["ends"] = {"seq": 4, "hash": "ab" * 32}
    files["manifest.json"] = json.dumps(manifest).encode()


def put_a_foreign_head(files: Files) -> None:
    """A head of another chain, with a good signature of another portal."""
    other = sshsig.load_key(sshsig.make_key())
    head = rows(files, "heads.jsonl")[-1]
    signature = other.sign(f"{head['seq']}:{head['hash']} {head['at']}\n".encode(), namespace=NAMESPACE)
    files["heads.jsonl"] = (
        json.dumps({**head, "public_key": other.public, "signature": signature}) + "\n"
    ).encode()


def put_another_head(files: Files) -> None:
    """A head that the portal signed, but of another chain, as after a restore."""
    head = {**rows(files, "heads.jsonl")[-1], "hash": "cd" * 32}
    message = f"{head['seq']}:{head['hash']} {head['at']}\n".encode()
    head["signature"] = signing_key().sign(message, namespace=NAMESPACE)
    files["heads.jsonl"] = (json.dumps(head) + "\n").encode()
    manifest = json.loads(files["manifest.json"])
    manifest["ends"]["hash"] = head["hash"]
    files["manifest.json"] = json.dumps(manifest).encode()


def change_a_head(files: Files) -> None:
    """The head as the portal never signed it, with the signature of what it did sign."""
    head = {**rows(files, "heads.jsonl")[-1], "hash": "cd" * 32}
    files["heads.jsonl"] = (json.dumps(head) + "\n").encode()


def name_another_key(files: Files) -> None:
    """As if another key had signed a head than the one that did."""
    head = {**rows(files, "heads.jsonl")[-1], "public_key": sshsig.load_key(sshsig.make_key()).public}
    files["heads.jsonl"] = (json.dumps(head) + "\n").encode()


def take_the_signature_of_a_head_for_the_manifest(files: Files) -> None:
    files["manifest.json.sig"] = signing_key().sign(files["manifest.json"], namespace=NAMESPACE).encode()


def change_the_manifest(files: Files) -> None:
    files["manifest.json"] = files["manifest.json"].replace(b"Triggers", b"Campaigns")


def swap_two_files(files: Files) -> None:
    files["pushes.jsonl"], files["names.jsonl"] = files["names.jsonl"], files["pushes.jsonl"]


def add_a_file(files: Files) -> None:
    files["more.jsonl"] = b"{}\n"


def leave_out_a_file(files: Files) -> None:
    del files["attempts.jsonl"]


def change_a_name(files: Files) -> None:
    files["names.jsonl"] = files["names.jsonl"].replace(b"somebody", b"somebodx", 1)


def change_a_push(files: Files) -> None:
    files["pushes.jsonl"] += b"{}\n"


@pytest.fixture
def with_pushes() -> Files:
    """A pack with a push that failed and one that succeeded, each with the entry of its end."""
    rollout = make_rollout(containers=["web1", "web2"])
    for push, state in zip(rollout.pushes.order_by("container__name"), ("failed", "succeeded"), strict=True):
        details: Details = {"rollout": rollout.number, "version": rollout.secret.version}
        finish(push, state=state, code="timed_out" if state == "failed" else "")
        with transaction.atomic():
            record(f"push.{state}", actor=PORTAL, target=push, details=details)
    return pack_of(account_pack(rollout.secret.account))


def say_of_pushes(files: Files, **said: object) -> None:
    changed = [{**each, **said} for each in rows(files, "pushes.jsonl")]
    files["pushes.jsonl"] = b"".join(json.dumps(each).encode() + b"\n" for each in changed)


def test_the_state_of_a_push_is_that_of_its_entry(with_pushes: Files, tmp_path: Path) -> None:
    status, said = verify(with_pushes, tmp_path, "--key", key())
    assert status == 0, said
    assert "2 pushes are in the state that the last entry about the end says" in said
    assert "no entry here says" not in said


@pytest.mark.parametrize("moved_on", [{"state": "queued", "finished": None}, {"state": "cancelled"}])
def test_a_push_that_moved_on_after_its_entry_is_not_refused(
    with_pushes: Files, tmp_path: Path, moved_on: dict[str, object]
) -> None:
    say_of_pushes(with_pushes, **{"finished": "2999-01-01T00:00:00.000000+00:00", **moved_on})
    sign_again(with_pushes)
    status, said = verify(with_pushes, tmp_path, "--key", key())
    assert status == 0, said
    assert "2 of the pushes: no entry here says their state" in said


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ({"state": "succeeded"}, "says failed of the push"),
        ({"version": 9}, "names another version of the push"),
        ({"rollout": 9}, "names another rollout of the push"),
    ],
)
def test_who_has_the_signing_key_cannot_change_how_a_push_ended(
    with_pushes: Files, tmp_path: Path, told: dict[str, object], reason: str
) -> None:
    say_of_pushes(with_pushes, **told)
    sign_again(with_pushes)
    refused(with_pushes, tmp_path, reason)


def test_nor_leave_out_a_push_that_has_an_entry(with_pushes: Files, tmp_path: Path) -> None:
    del_line(with_pushes, "pushes.jsonl", 0)
    sign_again(with_pushes)
    refused(with_pushes, tmp_path, "is left out")


def damage(files: Files) -> None:
    files["events.jsonl"] = files["events.jsonl"].replace(b"{", b"", 1)


def del_line(files: Files, name: str, number: int) -> None:
    lines = lines_of(files, name)
    del lines[number]
    files[name] = b"".join(lines)


DIFFERS = "is not the file that the manifest names: its SHA-256 differs"


@pytest.mark.parametrize(
    ("forge", "reason"),
    [
        (change_a_line, f"events.jsonl {DIFFERS}"),
        (leave_out_a_line, f"chain.jsonl {DIFFERS}"),
        (add_an_entry, f"events.jsonl {DIFFERS}"),
        (move_entries, f"events.jsonl {DIFFERS}"),
        (replace_an_entry_of_the_digests, f"chain.jsonl {DIFFERS}"),
        (cut_the_end, f"chain.jsonl {DIFFERS}"),
        (put_a_foreign_head, f"heads.jsonl {DIFFERS}"),
        (change_the_manifest, "manifest.json: the signature does not fit"),
        (take_the_signature_of_a_head_for_the_manifest, "manifest.json: the signature does not fit"),
        (swap_two_files, DIFFERS),
        (add_a_file, "more.jsonl is in the pack, but not in its manifest"),
        (leave_out_a_file, "attempts.jsonl is missing"),
        (change_a_name, f"names.jsonl {DIFFERS}"),
        (change_a_push, f"pushes.jsonl {DIFFERS}"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_who_changes_a_file_is_found_out(files: Files, tmp_path: Path, forge: Forgery, reason: str) -> None:
    forge(files)
    refused(files, tmp_path, reason)


@pytest.mark.parametrize(
    ("forge", "reason"),
    [
        (change_a_line, "events.jsonl: entry 3 is not what the chain has there"),
        (leave_out_a_line, "chain.jsonl: entry 5 follows entry 3"),
        (leave_out_the_same_entry_everywhere, "the chain is cut: it ends at entry 7 and not at 8"),
        (add_an_entry, "events.jsonl: entry 9 is there twice, in the wrong order, or not in the chain"),
        (add_a_link, "the chain is cut: it ends at entry 9 and not at 8"),
        (move_entries, "events.jsonl: entry 1 is there twice, in the wrong order, or not in the chain"),
        (move_links, "the chain does not lead to the signed head of entry 8"),
        (replace_an_entry_of_the_digests, "the chain does not lead to the signed head of entry 8"),
        (hide_an_entry, "chain.jsonl: entry 4 has no digest of its text"),
        (cut_the_end, "the chain is cut: it ends at entry 4 and not at 8"),
        (cut_the_end_and_say_so, "the chain ends at 4, where no head was signed"),
        (put_a_foreign_head, "head 8: signed with the key SHA256:"),
        (put_another_head, "the chain does not lead to the signed head of entry 8"),
        (change_a_head, "head 8: the signature does not fit"),
        (name_another_key, "head 8: another key signed it than the one that it names"),
        (change_a_name, "names.jsonl: somebodx is not the name in entry 1"),
        (damage, "events.jsonl: line 1 makes no sense"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_who_has_the_signing_key_cannot_change_the_history(
    files: Files, tmp_path: Path, forge: Forgery, reason: str
) -> None:
    forge(files)
    sign_again(files)
    refused(files, tmp_path, reason)


def test_a_pack_that_somebody_else_signed_is_refused(files: Files, tmp_path: Path) -> None:
    other = sshsig.load_key(sshsig.make_key())
    sign_again(files, with_key=other)
    refused(
        files,
        tmp_path,
        f"manifest.json: signed with the key {other.fingerprint}, which is not the one that you gave",
    )


def test_a_head_that_was_noted_earlier_stops_who_signed_another_chain(files: Files, tmp_path: Path) -> None:
    refused(
        files,
        tmp_path,
        "the chain does not lead to the head that you noted of entry 4",
        "--head",
        f"4:{'ef' * 32}",
    )


@pytest.mark.parametrize(
    ("number", "reason"),
    [(0, "entries before 3 may be left out"), (2, "an entry of the period is left out")],
)
def test_no_entry_of_a_period_can_be_left_out(tmp_path: Path, number: int, reason: str) -> None:
    leave_out_of_a_period(tmp_path, number, reason)


def test_nor_at_its_end(tmp_path: Path) -> None:
    leave_out_of_a_period(tmp_path, -1, "entries after 5 may be left out")


def leave_out_of_a_period(tmp_path: Path, number: int, reason: str) -> None:
    """Leave one entry out of those in full: it is still in the chain."""

    def note(count: int) -> None:
        with transaction.atomic():
            for _ in range(count):
                record("push.retried", actor=SOMEBODY)

    note(2)
    since = timezone.now()
    note(3)
    until = timezone.now()
    note(2)
    sign_head()
    files = pack_of(period_pack(since, until))
    assert [each["seq"] for each in rows(files, "events.jsonl")] == [2, 3, 4, 5, 6]
    del_line(files, "events.jsonl", number)
    del_line(files, "names.jsonl", number)
    sign_again(files)
    refused(files, tmp_path, reason)


def refused(files: Files, tmp_path: Path, reason: str, *arguments: str) -> None:
    status, said = verify(files, tmp_path, "--key", key(), *arguments)
    assert status == 1, said
    assert reason in said.splitlines()[-1]
    assert said.splitlines()[-1].startswith("REFUSED: ")
    assert "genuine" not in said
