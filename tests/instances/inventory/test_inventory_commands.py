"""The inventory at the command line."""

import io
import json
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from instances.models import Container, ExpectedHostKey, HostKey, Installation
from portal.audit.models import AuditEvent
from tests.services.fixtures import StartOpenSSH

pytestmark = pytest.mark.django_db
HEAD = "instance,container,address\n"


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    file = tmp_path / "inventory.csv"
    file.write_text(HEAD + "prod1,app-1,app-1.example.com\n")
    return file


def test_a_file_is_imported_and_counted(csv: Path) -> None:
    out = io.StringIO()
    call_command("import_inventory", csv, stdout=out)
    assert out.getvalue() == "Imported: 3 created, 0 changed, 0 as before.\n"
    assert Installation.objects.count() == 1
    assert AuditEvent.objects.first().actor_name.endswith("(command line)")  # type: ignore[union-attr]  # there is one


def test_a_dry_run_stores_nothing(csv: Path) -> None:
    out = io.StringIO()
    call_command("import_inventory", csv, dry_run=True, json=True, stdout=out)
    assert json.loads(out.getvalue()) == {
        "created": 3,
        "updated": 0,
        "unchanged": 0,
        "imported": False,
        "errors": [],
        "errors_not_listed": 0,
    }
    assert not Installation.objects.exists()


@pytest.mark.parametrize("dry_run", [True, False])
def test_errors_are_named_with_row_and_column_and_the_exit_code_is_1(csv: Path, dry_run: bool) -> None:
    csv.write_text(HEAD + "prod1,app-1,-oProxyCommand=evil\n")
    err = io.StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("import_inventory", csv, dry_run=dry_run, stderr=err)
    assert ended.value.code == 1
    assert "row 2, column address" in err.getvalue()
    assert not Container.objects.exists()


def test_errors_can_be_read_by_a_machine(csv: Path) -> None:
    csv.write_text(HEAD + "prod1,app-1,https://app-1\n")
    out = io.StringIO()
    with pytest.raises(SystemExit):
        call_command("import_inventory", csv, json=True, stdout=out)
    (error,) = json.loads(out.getvalue())["errors"]
    assert (error["row"], error["column"]) == (2, "address")


def test_a_clash_with_the_stored_inventory_is_named_too(csv: Path) -> None:
    Container.objects.create(name="other", address="app-1.example.com")
    err = io.StringIO()
    with pytest.raises(SystemExit):
        call_command("import_inventory", csv, stderr=err)
    assert "other" in err.getvalue()


def test_a_file_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="No such file"):
        call_command("import_inventory", tmp_path / "missing.csv")


def test_trusting_approves_the_very_key_that_is_named(start_openssh: StartOpenSSH) -> None:
    server = start_openssh(host_key_types=["ed25519", "rsa"])
    container = Container.objects.create(name="app-1", address=server.host, port=server.port)
    wanted = server.host_keys[1]
    call_command("trust_host_key", "app-1", fingerprint=wanted.fingerprint, stdout=io.StringIO())
    approved = container.host_keys.filter(state=HostKey.State.APPROVED)
    assert [key.line for key in approved] == [wanted.line]


def test_trusting_a_changed_key_ends_the_old_one_and_the_old_expectation(start_openssh: StartOpenSSH) -> None:
    server = start_openssh()
    container = Container.objects.create(name="app-1", address=server.host, port=server.port)
    old = server.host_keys[0].fingerprint
    call_command("trust_host_key", "app-1", fingerprint=old, stdout=io.StringIO())
    ExpectedHostKey.objects.create(container=container, fingerprint=old, given_by="alice")
    server.change_host_keys()
    out = io.StringIO()
    bare = server.host_keys[0].fingerprint.removeprefix("SHA256:") + "="
    call_command("trust_host_key", "app-1", fingerprint=bare, stdout=out)
    assert "No longer trusted: 1 key" in out.getvalue()
    (approved,) = container.host_keys.filter(state=HostKey.State.APPROVED)
    assert approved.line == server.host_keys[0].line
    assert not ExpectedHostKey.objects.exists()
    details = AuditEvent.objects.filter(action="host_key.approved").latest("seq").details
    assert old in str(details["revoked"])
    assert old in str(details["no_longer_expected"])


def test_trusting_approves_nothing_if_the_server_shows_another_key(start_openssh: StartOpenSSH) -> None:
    server = start_openssh()
    Container.objects.create(name="app-1", address=server.host, port=server.port)
    with pytest.raises(CommandError) as refused:
        call_command("trust_host_key", "app-1", fingerprint="SHA256:" + "A" * 43)
    assert server.host_keys[0].fingerprint in str(refused.value)
    assert not HostKey.objects.filter(state=HostKey.State.APPROVED).exists()


def test_trusting_says_in_words_why_a_server_cannot_be_reached(settings: Settings) -> None:
    settings.ALLOW_LOOPBACK_TARGETS = False
    Container.objects.create(name="app-1", address="127.0.0.1")
    with pytest.raises(CommandError, match="Address not allowed"):
        call_command("trust_host_key", "app-1", fingerprint="SHA256:" + "A" * 43)


@pytest.mark.parametrize(
    ("container", "fingerprint"), [("nobody", "SHA256:" + "A" * 43), ("app-1", "MD5:00:11")]
)
def test_trusting_refuses_an_unknown_container_and_a_malformed_fingerprint(
    container: str, fingerprint: str
) -> None:
    Container.objects.create(name="app-1", address="app-1.example.com")
    with pytest.raises(CommandError):
        call_command("trust_host_key", container, fingerprint=fingerprint)


def test_the_portals_key_is_printed_ready_to_install(tmp_path: Path, settings: Settings) -> None:
    settings.SSH_KEY_PATH = tmp_path / "ssh_key"
    restricted, plain = io.StringIO(), io.StringIO()
    call_command("portal_key", stdout=restricted)
    call_command("portal_key", plain=True, stdout=plain)
    assert restricted.getvalue() == f"restrict {plain.getvalue()}"


def test_a_broken_key_file_is_said_so(tmp_path: Path, settings: Settings) -> None:
    settings.SSH_KEY_PATH = tmp_path / "ssh_key"
    settings.SSH_KEY_PATH.write_text("nonsense")
    with pytest.raises(CommandError, match="cannot be used"):
        call_command("portal_key")
