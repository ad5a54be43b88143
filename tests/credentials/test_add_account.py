"""`add_account` and `assign` on the command line."""

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from pytest_django.fixtures import Settings

from credentials.keys.vault import open_version
from credentials.models import Assignment, ClientSecret, TechnicalAccount
from credentials.wizard.models import Draft
from instances.models import Instance
from portal.plaintext import Secret
from portal.sandbox.ims import StandInIMS
from tests.credentials.wizard.wizard_walk import (
    ACCOUNT,
    CLIENT,
    ORGANIZATION,
    OTHER_SECRET,
    SECRET,
    console_json,
)

pytestmark = pytest.mark.django_db
IDS = ["--organization", ORGANIZATION, "--client-id", CLIENT, "--technical-account", ACCOUNT]


@pytest.fixture
def ims(settings: Settings) -> Iterator[StandInIMS]:
    with StandInIMS() as server:
        server.accept(CLIENT, Secret(SECRET))
        settings.IMS_BASE_URL = server.url
        yield server


@pytest.fixture
def document(tmp_path: Path) -> str:
    path = tmp_path / "oauth.json"
    path.write_text(console_json())
    return str(path)


@pytest.fixture
def secret_file(tmp_path: Path) -> str:
    path = tmp_path / "secret"
    path.write_text(SECRET + "\n")
    return str(path)


def stored() -> str:
    return open_version(ClientSecret.objects.get()).reveal()


def test_a_console_file_becomes_an_active_account(
    document: str, ims: StandInIMS, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("add_account", "Triggers", "--from-json", document, "--json")
    found = json.loads(capsys.readouterr().out)
    assert (found["account"], found["state"], found["ims"]) == ("Triggers", "active", "valid")
    assert TechnicalAccount.objects.get().client_id == CLIENT
    assert not Draft.objects.exists()
    assert SECRET not in str(found)


def test_the_secret_comes_from_a_file_of_its_own(secret_file: str) -> None:
    call_command("add_account", "Triggers", *IDS, "--secret-file", secret_file, "--no-check")
    assert stored() == SECRET


def test_the_secret_comes_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(SECRET.encode())))
    call_command("add_account", "Triggers", *IDS, "--secret-file", "-", "--no-check")
    assert stored() == SECRET


def test_a_secret_file_decides_between_the_secrets_of_a_console_file(
    tmp_path: Path, secret_file: str
) -> None:
    both = tmp_path / "both.json"
    both.write_text(console_json(OTHER_SECRET, SECRET))
    with pytest.raises(CommandError, match="does not say which client secret"):
        call_command("add_account", "Triggers", "--from-json", str(both), "--no-check")
    call_command(
        "add_account", "Triggers", "--from-json", str(both), "--secret-file", secret_file, "--no-check"
    )
    assert stored() == SECRET
    assert TechnicalAccount.objects.get().scopes == "openid,AdobeID"


def test_an_account_that_adobe_refuses_stays_a_draft(
    document: str, ims: StandInIMS, capsys: pytest.CaptureFixture[str]
) -> None:
    ims.accept(CLIENT, Secret("another"))
    with pytest.raises(SystemExit) as end:
        call_command("add_account", "Triggers", "--from-json", document)
    assert end.value.code == 1
    assert "Wrong client secret" in capsys.readouterr().out
    assert Draft.objects.get().account.state == "draft"


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (["--from-json", "/nowhere"], "No such file"),
        (["--from-json", "-", "--secret-file", "-"], "Only one"),
        ([*IDS], "Client secret: Enter"),
        (["--from-json", "/dev/null"], "nothing to read"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_kept(args: list[str], why: str) -> None:
    with pytest.raises(CommandError, match=why):
        call_command("add_account", "Triggers", *args, "--no-check")
    assert not TechnicalAccount.objects.exists()


def test_an_unusual_value_needs_a_word(secret_file: str, tmp_path: Path) -> None:
    Path(secret_file).write_text("short")
    args = ["add_account", "Triggers", *IDS, "--secret-file", secret_file, "--no-check"]
    with pytest.raises(CommandError, match="--accept-unusual"):
        call_command(*args)
    call_command(*args, "--accept-unusual")
    assert stored() == "short"


def test_a_name_in_use_or_unusable_is_refused(document: str) -> None:
    TechnicalAccount.objects.create(name="Triggers")
    for name in ("Triggers", "x" * 81, "\x00", " "):
        with pytest.raises(CommandError):
            call_command("add_account", name, "--from-json", document, "--no-check")
    assert TechnicalAccount.objects.count() == 1


def test_instances_are_assigned_all_or_none() -> None:
    TechnicalAccount.objects.create(name="Triggers", state="active")
    for name, deployment in (("prod1", "on-premise"), ("prod2", "on-premise"), ("rt", "hosted")):
        Instance.objects.create(name=name, deployment=deployment)
    for wrong in (["prod1", "nowhere"], ["prod1", "rt"]):
        with pytest.raises(CommandError):
            call_command("assign", "Triggers", *wrong)
    with pytest.raises(CommandError, match="no technical account Nobody"):
        call_command("assign", "Nobody", "prod1")
    assert not Assignment.objects.exists()
    call_command("assign", "Triggers", "prod1", "prod2")
    assert Assignment.objects.count() == 2
