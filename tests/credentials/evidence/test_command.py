"""The command `evidence`: what it writes, and what it refuses."""

import json
from io import StringIO
from pathlib import Path
from zipfile import ZipFile

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection, transaction
from django.utils import timezone
from pytest_django.fixtures import Settings

from portal.audit.append_only import without_triggers
from portal.audit.models import AuditEvent
from portal.audit.signing import sshsig
from portal.audit.signing.heads import sign_head
from portal.keys.models import KnownKey
from tests.credentials.evidence.packs import key
from tests.factories import make_account, make_rotation

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("evidence", *arguments, stdout=out)
    return out.getvalue()


def refused(*arguments: str) -> CommandError:
    with pytest.raises(CommandError) as caught:
        run(*arguments)
    return caught.value


def test_it_writes_a_pack_for_this_user_alone_and_says_how_to_verify_it(tmp_path: Path) -> None:
    make_account()
    target = tmp_path / "pack.zip"
    said = run("--account", "Triggers", "--output", str(target))
    assert target.stat().st_mode & 0o777 == 0o600
    assert f"python3 -I verify.py pack.zip --key {key()}" in said
    assert [each.name for each in tmp_path.iterdir()] == ["pack.zip"]
    with ZipFile(target) as archive:
        assert archive.testzip() is None


def test_json_says_the_same(tmp_path: Path) -> None:
    rotation = make_rotation()
    target = tmp_path / "pack.zip"
    said = json.loads(run("--rotation", str(rotation.number), "--output", str(target), "--json"))
    assert said["kind"] == "rotation"
    assert (said["entries"], said["key"]) == (1, key())
    assert said["event"] == AuditEvent.objects.get(action="evidence.made").seq


def test_a_period_is_whole_days(tmp_path: Path) -> None:
    make_account()
    day = timezone.localdate().isoformat()
    run("--from", day, "--until", day, "--output", str(tmp_path / "pack.zip"))
    assert AuditEvent.objects.get(action="evidence.made").details["from"].startswith(f"{day}T00:00:00")


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    make_account()
    target = tmp_path / "pack.zip"
    target.write_text("mine")
    error = refused("--account", "Triggers", "--output", str(target))
    assert (error.returncode, target.read_text()) == (2, "mine")
    assert not AuditEvent.objects.filter(action="evidence.made").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--account", "Triggers"),
        ("--account", "Triggers", "--rotation", "1", "--output", "x.zip"),
        ("--account", "Nobody", "--output", "x.zip"),
        ("--rotation", "99", "--output", "x.zip"),
        ("--from", "2026-01-01", "--output", "x.zip"),
        ("--from", "2026-02-01", "--until", "2026-01-01", "--output", "x.zip"),
        ("--from", "2026-02-31", "--until", "2026-03-01", "--output", "x.zip"),
        ("--from", "yesterday", "--until", "2026-03-01", "--output", "x.zip"),
        ("--account", "Triggers", "--output", "no-such-folder/x.zip"),
    ],
)
def test_a_wrong_call_does_nothing(arguments: tuple[str, ...]) -> None:
    make_account()
    assert refused(*arguments).returncode == 2
    assert not Path("x.zip").exists()


def test_an_empty_period_is_no_pack(tmp_path: Path) -> None:
    make_account()
    target = tmp_path / "pack.zip"
    assert refused("--from", "2020-01-01", "--until", "2020-01-31", "--output", str(target)).returncode == 1
    assert not list(tmp_path.iterdir())


def test_a_broken_history_leaves_no_file(tmp_path: Path) -> None:
    make_account()
    with transaction.atomic(), without_triggers(connection, "audit_auditevent"):
        AuditEvent.objects.update(request_id="changed")
    error = refused("--account", "Triggers", "--output", str(tmp_path / "pack.zip"))
    assert error.returncode == 1
    assert "The history does not verify at entry 1." in str(error)
    assert not list(tmp_path.iterdir())


def test_it_prints_the_key_for_auditors() -> None:
    assert key() in run("--key")
    said = json.loads(run("--key", "--json"))
    assert said["key"] == key()
    assert said["allowed_signers"].startswith("campaign-portal namespaces=")


def test_and_every_key_that_ever_signed_with_its_heads(settings: Settings, tmp_path: Path) -> None:
    settings.SIGNING_KEY_PATH = tmp_path / "signing_key"
    KnownKey.objects.filter(name="signing_key").delete()
    make_account()
    sign_head()
    former = key()
    settings.SIGNING_KEY_PATH.write_text(sshsig.make_key())
    run("--accept-key")
    sign_head()
    said = json.loads(run("--key", "--json"))
    assert said["key"] == key() != former
    assert said["signed_heads"] == [
        {"key": former, "heads": 1, "first": 1, "last": 1},
        {"key": key(), "heads": 1, "first": 2, "last": 2},
    ]
    assert f"{former} signed 1 head, 1 to 1" in run("--key")
