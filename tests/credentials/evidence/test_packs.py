"""Evidence packs, verified by their own verifier and by the stock ssh-keygen, where there is no portal."""

import json
import subprocess
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django.fixtures import Settings

from credentials.evidence.scopes import NothingToPack
from credentials.evidence.segment import BrokenHistory
from credentials.evidence.services import TooLarge, account_pack, make_pack, period_pack, rotation_pack
from credentials.models import TechnicalAccount
from credentials.rollouts.starting import start_rollout
from credentials.rotation.models import Rotation
from credentials.rotation.policies import set_policy
from instances.discovery.models import Observation
from instances.models import Installation
from portal.audit.append_only import without_triggers
from portal.audit.models import AuditEvent
from portal.audit.signing import sshsig
from portal.audit.signing.heads import sign_head
from portal.audit.signing.signing_key import accept_key
from portal.audit.trail import PORTAL, Actor, record
from portal.keys.models import KnownKey
from portal.plaintext import has_secret
from tests.credentials.evidence.packs import key, pack_of, rows, verify
from tests.factories import (
    SOMEBODY,
    finish,
    finish_all,
    make_account,
    make_installation,
    make_rollout,
    make_rotation,
)

pytestmark = pytest.mark.django_db
CANARY = "p8e-canary-0123456789abcdefghijk"


def account_of(name: str) -> TechnicalAccount:
    return TechnicalAccount.objects.get(name=name)


def note(count: int = 1) -> None:
    """Let something happen that belongs to no account."""
    with transaction.atomic():
        for _ in range(count):
            record("push.retried", actor=SOMEBODY)


def test_a_pack_of_an_account_is_genuine_where_there_is_no_portal(tmp_path: Path) -> None:
    finish_all(make_rollout(), state="succeeded")
    make_rollout(account="Other", instance="prod2", containers=["web2"])
    files = pack_of(account_pack(account_of("Triggers")))
    status, said = verify(files, tmp_path, "--key", key())
    assert (status, said.splitlines()[-1]) == (0, "The pack is genuine."), said
    assert "account: Triggers" in said
    assert "3 entries are shown, 2 are there as digests alone" in said


def test_what_belongs_to_an_account_is_shown_and_nothing_else() -> None:
    finish_all(make_rollout(), state="succeeded")
    make_rollout(account="Other", instance="prod2", containers=["web2"])
    files = pack_of(account_pack(account_of("Triggers")))
    shown = rows(files, "events.jsonl")
    assert {each["target_name"] for each in shown} == {"Triggers", "#1 Triggers"}
    assert not any(b"Other" in data or b"web2" in data for data in files.values())
    assert [each["instance"] for each in rows(files, "pushes.jsonl")] == ["prod1"]
    assert [each["proof"] for each in rows(files, "attempts.jsonl")] == ["changed"]
    assert len(rows(files, "chain.jsonl")) > len(shown)


def test_the_text_of_an_entry_is_what_was_hashed() -> None:
    make_account()
    files = pack_of(account_pack(account_of("Triggers")))
    for line in files["events.jsonl"].splitlines():
        event = AuditEvent.objects.get(seq=json.loads(line)["seq"])
        assert line.decode() == event.text


def test_without_a_key_from_outside_it_says_that_nobody_knows_whose_pack_it_is(tmp_path: Path) -> None:
    make_account()
    status, said = verify(pack_of(account_pack(account_of("Triggers"))), tmp_path)
    assert status == 3
    assert f"NOT CHECKED: whether {key()} is the portal's key." in said
    assert "genuine" not in said


def test_the_stock_ssh_keygen_accepts_the_signature(tmp_path: Path) -> None:
    make_account()
    files = pack_of(account_pack(account_of("Triggers")))
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    command = ["ssh-keygen", "-Y", "verify", "-f", "allowed_signers", "-I", "campaign-portal"]
    command += ["-n", "campaign-portal-evidence", "-s", "manifest.json.sig"]

    def run(message: bytes) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(command, cwd=tmp_path, input=message, capture_output=True, check=False)

    done = run(files["manifest.json"])
    assert done.returncode == 0, done.stderr
    assert key().encode() in done.stdout
    assert run(files["manifest.json"] + b" ").returncode != 0


def test_a_pack_that_was_unpacked_is_verified_as_well(tmp_path: Path) -> None:
    make_account()
    files = pack_of(account_pack(account_of("Triggers")))
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    command = ["python3", "-I", "verify.py", "--key", key()]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_pack_of_a_rotation_has_its_account_while_it_went_on(tmp_path: Path) -> None:
    rotation = make_rotation()
    note(5)
    files = pack_of(rotation_pack(rotation))
    status, said = verify(files, tmp_path, "--key", key())
    assert status == 0, said
    assert {each["target_name"] for each in rows(files, "events.jsonl")} == {f"#{rotation.number} Triggers"}


def test_a_pack_of_a_period_has_every_entry_of_it_and_one_more_at_each_end(tmp_path: Path) -> None:
    note(3)
    since = timezone.now()
    note(4)
    until = timezone.now()
    note(3)
    files = pack_of(period_pack(since, until))
    status, said = verify(files, tmp_path, "--key", key())
    assert status == 0, said
    assert "no entry of the period is left out\n" in said
    assert [each["seq"] for each in rows(files, "events.jsonl")] == [3, 4, 5, 6, 7, 8]


def test_a_period_that_has_not_ended_ends_with_the_record_of_the_pack(tmp_path: Path) -> None:
    note(2)
    hour = timedelta(hours=1)
    files = pack_of(period_pack(timezone.now() - hour, timezone.now() + hour))
    today = timezone.localdate().isoformat()
    assert period_pack(timezone.now(), timezone.now() + 999 * hour).name == f"evidence-{today}-to-{today}"
    status, said = verify(files, tmp_path, "--key", key())
    assert status == 0, said
    made = rows(files, "events.jsonl")[-1]
    assert made["action"] == "evidence.made"
    assert f"left out until {made['at']}, when the pack was made: it goes on\n" in said


def test_a_period_without_entries_makes_no_pack_and_no_record() -> None:
    note()
    past = timezone.now() - timedelta(days=9)
    with pytest.raises(NothingToPack):
        pack_of(period_pack(past, past + timedelta(days=1)))
    assert not AuditEvent.objects.filter(action="evidence.made").exists()


def test_the_chain_is_cut_at_signed_heads_around_the_pack(tmp_path: Path) -> None:
    note(4)
    sign_head()
    note()
    since = timezone.now()
    note(2)
    until = timezone.now()
    note(2)
    sign_head()
    note(50)
    files = pack_of(period_pack(since, until))
    assert [each["seq"] for each in rows(files, "heads.jsonl")] == [4, 9]
    assert [each["seq"] for each in rows(files, "chain.jsonl")] == [5, 6, 7, 8, 9]
    assert verify(files, tmp_path, "--key", key())[0] == 0


def test_names_are_in_a_file_of_their_own_and_fit_the_commitments(actor: Actor, tmp_path: Path) -> None:
    with transaction.atomic():
        record("account.activated", actor=actor, target=make_account().account)
    files = pack_of(account_pack(account_of("Triggers")))
    assert b'"alice"' not in files["events.jsonl"]
    assert "alice" in {each["name"] for each in rows(files, "names.jsonl")}
    assert "3 names of people are those that were recorded" in verify(files, tmp_path, "--key", key())[1]


def test_a_rotation_in_the_name_of_somebody_at_the_command_line_has_no_name_in_its_text() -> None:
    rotation = make_rotation()
    [installation] = Installation.objects.all()
    start_rollout(version=rotation.old, installations=[installation], reason="rotation", actor=rotation.actor)
    files = pack_of(account_pack(account_of("Triggers")))
    requested = [each for each in rows(files, "events.jsonl") if each["action"] == "rollout.requested"]
    assert [each["names"] for each in requested] == [["/actor_name"]] * 2
    assert b"somebody" not in files["events.jsonl"]
    assert set_policy(account=rotation.account, interval=90, kind="remind", actor=SOMEBODY).actor.is_person


def test_names_that_are_in_clear_are_said() -> None:
    finish_all(make_rollout(), state="succeeded")
    files = pack_of(account_pack(account_of("Triggers")))
    readme = files["README.txt"].decode()
    for name, column in (("pushes.jsonl", "requested_by"), ("attempts.jsonl", "caused_by")):
        assert b"somebody" in files[name]
        assert column in readme


def test_one_of_a_kind_is_said_as_one(tmp_path: Path) -> None:
    with transaction.atomic():
        record("push.failed", actor=PORTAL)
    hour = timedelta(hours=1)
    said = verify(pack_of(period_pack(timezone.now() - hour, timezone.now() + hour)), tmp_path)[1]
    assert "1 head of the history (2) has a good signature" in said
    assert "2 entries are shown, 0 are there as digests alone" in said
    assert "1 name of a person is the one that was recorded" in said


def test_making_a_pack_is_recorded_with_who_made_it_and_of_what() -> None:
    account = make_account().account
    pack_of(account_pack(account))
    event = AuditEvent.objects.get(action="evidence.made")
    assert (event.actor_name, event.target_id) == ("somebody", str(account.pk))
    assert event.details == {"pack": "account"}


def test_no_pack_is_made_of_a_history_that_does_not_verify() -> None:
    account = make_account().account
    note(3)
    with transaction.atomic(), without_triggers(connection, "audit_auditevent"):
        AuditEvent.objects.filter(action="push.retried").update(request_id="changed")
    with pytest.raises(BrokenHistory, match="entry 2"):
        pack_of(account_pack(account))


def test_a_pack_that_takes_too_long_for_a_page_is_refused_before_it_is_recorded(tmp_path: Path) -> None:
    account = make_account().account
    note(20)
    with (tmp_path / "pack").open("wb") as file, pytest.raises(TooLarge):
        make_pack(file, account_pack(account), actor=SOMEBODY, most=10)
    assert not AuditEvent.objects.filter(action="evidence.made").exists()


def test_neither_secret_nor_ciphertext_nor_output_is_in_a_pack() -> None:
    installation = make_installation()
    secret = make_account(secret=CANARY, instances=["prod1"])
    rollout = start_rollout(version=secret, installations=[installation], reason="new", actor=SOMEBODY)
    for push in rollout.pushes.all():
        finish(push, state="failed", code="nlserver_failed", output="what the container printed")
    files = pack_of(account_pack(secret.account))
    everything = b"\n".join(files.values())
    assert CANARY.encode() not in everything
    assert (secret.ciphertext or "").encode() not in everything
    assert b"what the container printed" not in everything
    assert not any(has_secret(data.decode()) for data in files.values())


def test_more_entries_of_others_cost_no_more_statements() -> None:
    account = make_account().account

    def statements() -> int:
        with CaptureQueriesContext(connection) as found:
            pack_of(account_pack(account))
        return len(found)

    statements()
    few = statements()
    note(500)
    assert statements() == few


def replace_key(settings: Settings) -> str:
    """Replace the signing key as docs/keys.md says; return the fingerprint of the new one."""
    settings.SIGNING_KEY_PATH.unlink()
    settings.SIGNING_KEY_PATH.write_text(sshsig.make_key())
    return accept_key(actor=SOMEBODY).fingerprint


def test_after_the_key_was_replaced_earlier_heads_stay_verifiable(settings: Settings, tmp_path: Path) -> None:
    settings.SIGNING_KEY_PATH = tmp_path / "signing_key"
    KnownKey.objects.filter(name="signing_key").delete()
    note(2)
    sign_head()
    since = timezone.now()
    note(2)
    sign_head()
    former = key()
    newer = replace_key(settings)
    note(2)
    files = pack_of(period_pack(since, timezone.now() + timedelta(hours=1)))
    known = json.loads(files["manifest.json"])["keys"]
    assert [(each["fingerprint"], each["first_head"], each["last_head"]) for each in known] == [
        (newer, 8, 8),
        (former, 2, 4),
    ]
    status, said = verify(files, tmp_path / "v", "--key", newer, "--key", former)
    assert status == 0, said
    assert f"2 heads of the history (2 to 4) have a good signature of {former}, which is not" in said
    assert f"1 head of the history (8) has a good signature of {newer}" in said
    status, said = verify(files, tmp_path / "v", "--key", newer)
    assert (status, "if it is a former key of the portal" in said) == (1, True)


def test_a_pack_made_before_the_key_was_replaced_verifies_with_the_former_one(
    settings: Settings, tmp_path: Path
) -> None:
    settings.SIGNING_KEY_PATH = tmp_path / "signing_key"
    KnownKey.objects.filter(name="signing_key").delete()
    make_account()
    files = pack_of(account_pack(account_of("Triggers")))
    former = key()
    newer = replace_key(settings)
    assert verify(files, tmp_path / "v", "--key", former)[0] == 0
    assert verify(files, tmp_path / "v", "--key", newer)[0] == 1


def test_the_summary_names_portal_filter_zone_and_date(settings: Settings) -> None:
    settings.PORTAL_URL = "https://portal.example.com"
    settings.LANGUAGE_CODE = "de"
    note(2)
    day = timedelta(days=1)
    with timezone.override(ZoneInfo("Europe/Berlin")):
        first, today = timezone.localdate() - day, timezone.localdate()
        html = pack_of(period_pack(timezone.now() - day, timezone.now() + day))["summary.html"].decode()
    assert '<html lang="de">' in html
    assert "https://portal.example.com" in html
    assert f"<h1>History from {first} to {today}</h1>" in html
    made = AuditEvent.objects.get(action="evidence.made").at.astimezone(ZoneInfo("Europe/Berlin"))
    assert f"{made:%Y-%m-%d %H:%M:%S} (Europe/Berlin)" in html
    assert "<script" not in html
    assert "@page" in html


def test_the_heading_of_a_rotation_is_said_in_words() -> None:
    rotation = make_rotation()
    html = pack_of(rotation_pack(rotation))["summary.html"].decode()
    assert f"<h1>Rotation {rotation.number} of Triggers</h1>" in html


def test_the_summary_of_a_rotation_says_its_outcome_and_who_started_it() -> None:
    rotation = make_rotation()

    def said() -> str:
        return " ".join(pack_of(rotation_pack(rotation))["summary.html"].decode().split())

    assert "<dt>State</dt> <dd> Preparing </dd> <dt>Started by</dt> <dd> somebody </dd>" in said()
    rotation.state, rotation.ended = Rotation.State.TAKEN_BACK, timezone.now()
    assert "<dt>Outcome</dt> <dd> Taken back </dd>" in said()


def test_the_summary_marks_what_the_portal_added() -> None:
    push = make_rollout().pushes.get()
    record("push.failed", actor=PORTAL, target=push, details={"rollout": push.rollout.number})
    files = pack_of(account_pack(account_of("Triggers")))
    html = files["summary.html"].decode()
    assert '<span class="muted">added:</span> <span class="muted">account</span> Triggers' in html
    assert "It is not part of the sealed entry." in html
    [failed] = [each for each in rows(files, "events.jsonl") if each["action"] == "push.failed"]
    assert "account" not in failed["details"]


def test_a_portal_without_an_address_is_left_out(settings: Settings) -> None:
    make_account()
    settings.PORTAL_URL = ""
    assert "portal" not in json.loads(pack_of(account_pack(account_of("Triggers")))["manifest.json"])
    settings.PORTAL_URL = "https://portal.example.com"
    files = pack_of(account_pack(account_of("Triggers")))
    assert json.loads(files["manifest.json"])["portal"] == "https://portal.example.com"


def test_the_summary_shows_what_was_seen_and_how_much_of_the_account_it_covers() -> None:
    rollout = make_rollout(containers=["web1", "web2"])
    push = rollout.pushes.order_by("container__name")[0]
    finish_all(rollout, state="failed", code="timed_out")
    seen = {"source": "read", "source_id": "1", "last_source": "read", "last_source_id": "1"}
    Observation.objects.filter(installation=push.installation).delete()
    Observation.objects.create(installation=push.installation, is_jwt=False, build=9362, **seen)
    html = " ".join(pack_of(account_pack(rollout.secret.account))["summary.html"].decode().split())
    assert "What was seen of the installations" in html
    row = html.split("What was seen of the installations")[1].split("Entries of the history")[0]
    for told in ("web1", "Reading", "OAuth", "9362"):
        assert told in row
    assert "Installations that use the account when the pack is made: 2; of these" in html
    assert "with a push in this pack: 2." in html
    assert "rests on the portal's signature alone" in html.replace("&#x27;", "'")


def test_the_summary_says_that_its_own_record_lies_beyond_its_chain() -> None:
    beyond = "That entry is later than the last signed head here, so this pack does not contain it."
    rotation = make_rotation()
    sign_head()
    note()
    assert beyond in pack_of(rotation_pack(rotation))["summary.html"].decode()
    assert beyond not in pack_of(account_pack(rotation.account))["summary.html"].decode()
