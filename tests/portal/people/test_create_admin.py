"""The command that makes the first admin."""

import os
import pty
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client

from portal.audit.models import AuditEvent
from portal.people.management.commands import create_admin
from portal.people.services import role_of
from tests.security.secret_shapes import SECRET

pytestmark = pytest.mark.django_db
PASSWORD = "a long enough password"


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text(PASSWORD + "\n")
    return path


def test_the_first_admin_can_sign_in_and_manage_users(password_file: Path) -> None:
    call_command("create_admin", "--name", "root1", "--password-file", str(password_file))
    assert role_of(User.objects.get(username="root1")) == "Admin"
    client = Client()
    client.post("/login/", {"username": "root1", "password": PASSWORD})
    assert client.get("/users/").status_code == 200


def test_it_is_recorded_who_ran_it(password_file: Path) -> None:
    call_command("create_admin", "--name", "root1", "--password-file", str(password_file))
    event = AuditEvent.objects.get()
    assert (event.action, event.details) == ("user.created", {"role": "Admin"})
    assert event.actor_name.endswith("(command line)")


def test_a_client_secret_is_no_user_name_even_if_it_was_asked_for() -> None:
    with pytest.raises(CommandError, match="looks like a client secret") as caught:
        create_admin._checked_name(SECRET)
    assert SECRET not in str(caught.value)


def test_a_second_one_needs_force(admin: User, password_file: Path) -> None:
    with pytest.raises(CommandError, match="active admin already"):
        call_command("create_admin", "--name", "root1", "--password-file", str(password_file))
    call_command("create_admin", "--name", "root1", "--password-file", str(password_file), "--force")
    assert User.objects.filter(username="root1").exists()


def test_if_none_leaves_a_portal_with_an_admin_alone(admin: User) -> None:
    call_command("create_admin", "--if-none")
    assert User.objects.count() == 1


def test_an_inactive_admin_does_not_count(admin: User, password_file: Path) -> None:
    User.objects.update(is_active=False)
    call_command("create_admin", "--name", "root1", "--password-file", str(password_file))
    assert User.objects.filter(username="root1", is_active=True).exists()


@pytest.mark.parametrize("name", ["two words", "x" * 200, "a\0b", "a/b", "taken"])
def test_a_wrong_name_is_refused(roles: None, password_file: Path, name: str) -> None:
    User.objects.create_user("Taken")
    with pytest.raises(CommandError):
        call_command("create_admin", "--name", name, "--password-file", str(password_file))


@pytest.mark.parametrize("content", [b"", b"short", b"\xff\xfe", b"password1234", b"campaign2026"])
def test_a_weak_or_unreadable_password_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "password"
    path.write_bytes(content)
    with pytest.raises(CommandError):
        call_command("create_admin", "--name", "root1", "--password-file", str(path))
    assert not User.objects.exists()


def test_a_missing_password_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="No password can be read from"):
        call_command("create_admin", "--name", "root1", "--password-file", str(tmp_path / "none"))


def test_where_nobody_can_be_asked_it_says_what_to_give(monkeypatch: pytest.MonkeyPatch) -> None:
    with Path("/dev/null").open() as nobody:
        monkeypatch.setattr(sys, "stdin", nobody)
        with pytest.raises(
            CommandError, match="admin, and nobody can be asked here: give --name and --password-file"
        ):
            call_command("create_admin")
        with pytest.raises(CommandError, match="give --password-file"):
            call_command("create_admin", "--name", "root1")


def asked(answers: str, monkeypatch: pytest.MonkeyPatch, getpass: Callable[[str], str] | None = None) -> None:
    """Run the command on a terminal of its own, in which somebody types the answers."""
    ours, theirs = pty.openpty()
    os.write(ours, answers.encode())
    with os.fdopen(theirs, "r") as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        typed = getpass or (lambda prompt: terminal.readline().rstrip("\n"))
        monkeypatch.setattr("getpass.getpass", typed)
        try:
            call_command("create_admin")
        finally:
            os.close(ours)


def test_name_and_password_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked(f"root1\n{PASSWORD}\n{PASSWORD}\n", monkeypatch)
    assert User.objects.get().check_password(PASSWORD)


def test_a_weak_password_or_a_wrong_name_is_explained_and_asked_for_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    weak = "two words\nroot1\nshort\ncampaign2026\n"
    asked(f"{weak}{PASSWORD}\nsomething else\n{PASSWORD}\n{PASSWORD}\n", monkeypatch)
    assert User.objects.get().check_password(PASSWORD)
    said = capsys.readouterr().out
    for reason in ("too short", "password manager", "The two passwords differ", "Once more"):
        assert reason in said


def test_whoever_gives_up_creates_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    def give_up(prompt: str) -> str:
        raise KeyboardInterrupt

    with pytest.raises(CommandError, match="Nothing was created"):
        asked("root1\n", monkeypatch, give_up)
    assert not User.objects.exists()
