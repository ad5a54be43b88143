"""The commands as people and scripts meet them: what they say, in which form, and how they end."""

import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, get_commands, load_command_class
from pytest_django.fixtures import Settings

from credentials.keys.vault import open_version
from credentials.models import ClientSecret, TechnicalAccount
from credentials.rollouts.models import Push
from instances.models import Container, Instance
from portal.audit.models import AuditEvent
from portal.command_line import GROUPS, Commands, ending_in_order, table
from portal.health.models import Worker
from portal.no_secrets import Command
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
from tests.factories import make_account, make_rollout
from tests.services.portal import ROOT

TABLE = re.findall(r"^\| (`[^|]*`) \|", (ROOT / "README.md").read_text(), re.MULTILINE)
LISTED = {name for cell in TABLE for name in re.findall(r"`([a-z_]+)", cell)}
OURS = {
    name for name, app in get_commands().items() if app.startswith(("portal", "instances", "credentials"))
}


def load(name: str) -> Command:
    command = load_command_class(get_commands()[name], name)
    assert isinstance(command, Command)
    return command


def run(name: str, *arguments: str) -> None:
    """Run a command as `manage.py` does, but on the test's own connection."""
    command = load(name)
    command._called_from_command_line = True
    options = vars(command.create_parser("manage.py", name).parse_args(arguments))
    command.execute(*options.pop("args", ()), **options | {"skip_checks": True})


def refusal(capsys: pytest.CaptureFixture[str], name: str, *arguments: str) -> tuple[str, int]:
    """Return what a refused command says at last, and its exit status."""
    with pytest.raises((CommandError, SystemExit)) as caught:
        run(name, *arguments)
    if isinstance(caught.value, CommandError):
        return str(caught.value), caught.value.returncode
    assert isinstance(caught.value, SystemExit)
    return capsys.readouterr().err.strip().splitlines()[-1], int(caught.value.code or 0)


# Help and the form of every command


def test_every_command_of_the_readme_is_there_and_has_json() -> None:
    assert LISTED <= OURS
    assert len(LISTED) > 15
    for name in LISTED:
        parser = load(name).create_parser("manage.py", name)
        assert any("--json" in action.option_strings for action in parser._actions), name


def test_help_lists_ours_first_each_in_one_group_with_a_line() -> None:
    text = Commands(["manage.py", "help"]).main_help_text()
    ours, djangos = text.split("Django's own:")
    found = re.findall(r"^  ([a-z_]+) +\S", ours, re.MULTILINE)
    assert sorted(found) == sorted(OURS)
    assert [line.rstrip(":") for line in ours.splitlines() if line.endswith(":")] == list(GROUPS)
    assert "runserver" in djangos
    assert max(map(len, text.splitlines())) <= 110
    names = Commands(["manage.py", "help"]).main_help_text(commands_only=True).splitlines()
    assert {*OURS, "runserver"} <= set(names)


def test_a_table_is_aligned_and_has_no_trailing_blanks() -> None:
    assert (
        table(("NAME", "COUNT"), [("a", 5), ("longer", 10)]) == "NAME    COUNT\na           5\nlonger     10"
    )
    assert table(("NAME",), []) == "NAME"


# Wrong calls


@pytest.mark.parametrize(
    ("call", "meant"),
    [
        ("accounts Trigers", "Triggers"),
        ("failed --account trigers", "Triggers"),
        ("rollout Trigers", "Triggers"),
        ("rollout Triggers --instance prd1", "prod1"),
        ("secret add Trigers --secret-file -", "Triggers"),
        ("assign Trigers prod1", "Triggers"),
        ("assign Triggers prod1 pord2", "prod2"),
        (f"trust_host_key ap01 --fingerprint SHA256:{'A' * 43}", "app01"),
        ("keys lst", "list"),
        ("keys accept ssh_ky", "ssh_key"),
        ("keyring chek", "check"),
        ("accounts --state actve", "active"),
        ("status --jsn", "--json"),
    ],
)
def test_a_typo_is_answered_with_what_was_meant(
    db: None, capsys: pytest.CaptureFixture[str], call: str, meant: str
) -> None:
    account = make_rollout(containers=["app01"]).secret.account
    TechnicalAccount.objects.filter(pk=account.pk).update(name="Triggers")
    Instance.objects.create(name="prod2")
    said, status = refusal(capsys, *call.split())
    assert f"Did you mean {meant}" in said
    assert status == 2


@pytest.mark.parametrize("state", ["draft", "retired"])
def test_an_account_that_cannot_be_used_is_called_what_it_is(
    db: None, capsys: pytest.CaptureFixture[str], state: str
) -> None:
    TechnicalAccount.objects.create(name="Triggers", state=state)
    for call in ("rollout Triggers", "assign Triggers x", "secret add Triggers --secret-file -"):
        assert state in refusal(capsys, *call.split())[0]


FILE_CALLS = [
    ("import_inventory", "{}"),
    ("add_account", "New", "--from-json", "{}"),
    ("add_account", "New", "--secret-file", "{}"),
    ("secret", "add", "Triggers", "--from-json", "{}"),
    ("secret", "add", "Triggers", "--secret-file", "{}"),
    ("create_admin", "--name", "eve", "--password-file", "{}"),
    ("restore", "{}"),
]


@pytest.mark.parametrize("call", FILE_CALLS)
def test_a_file_that_is_none_is_one_line(
    db: None, capsys: pytest.CaptureFixture[str], tmp_path: Path, call: tuple[str, ...]
) -> None:
    TechnicalAccount.objects.create(name="Triggers", state="active", client_id=CLIENT)
    binary = tmp_path / "binary"
    binary.write_bytes(b"\x89PNG\r\n\x1a\n\x00\xff" * 100)
    binary.chmod(0o600)
    for wrong in (str(tmp_path / "nowhere"), str(tmp_path), str(binary)):
        said, status = refusal(capsys, *(part.format(wrong) for part in call))
        assert status in (1, 2), said
        assert said
        assert "\n" not in said
        assert "Errno" not in said
    assert not TechnicalAccount.objects.filter(name="New").exists()


def test_a_secret_among_the_arguments_is_refused_and_not_shown(
    db: None, capsys: pytest.CaptureFixture[str]
) -> None:
    said, status = refusal(capsys, "secret", "add", "Triggers", "--secret-file", "-", SECRET)
    assert "unrecognized arguments: ***" in said
    assert status == 2
    assert SECRET not in said + str(capsys.readouterr())


# The end of a process


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Settings of a portal that has no database yet."""
    home = {"PORTAL_HOME": str(tmp_path), "DATABASE_URL": f"sqlite:///{tmp_path}/none.sqlite3"}
    return {**os.environ, "DJANGO_SETTINGS_MODULE": "portal.settings", "HTTPS": "False", **home}


def start(environment: dict[str, str], *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, ROOT / "manage.py", *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Whoever runs the tests in the background of a shell has Ctrl-C ignored, and a child inherits that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # nothing else happens
    )


def test_without_tables_a_command_says_what_to_run(environment: dict[str, str]) -> None:
    process = start(environment, "accounts", "--json")
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (1, "")
    assert err == (
        "CommandError: The database has no tables, or not all of this release: run manage.py migrate.\n"
    )


def test_closed_output_is_no_error(environment: dict[str, str]) -> None:
    process = start(environment, "help")
    assert process.stdout
    process.stdout.close()
    _out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (141, "")


def test_ctrl_c_ends_without_a_traceback(environment: dict[str, str], tmp_path: Path) -> None:
    fifo = tmp_path / "inventory.csv"
    os.mkfifo(fifo)
    process = start(environment, "import_inventory", str(fifo))
    with fifo.open("wb"):  # returns once the command reads
        while process.poll() is None:  # a signal right before it waits is seen only with the next one
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
        _out, err = process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in err
    assert err.strip().endswith("Interrupted.")


def test_output_is_flushed_before_the_status_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed(io.StringIO):
        def flush(self) -> None:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Closed())
    with pytest.raises(SystemExit) as caught, ending_in_order():
        raise SystemExit(0)
    assert caught.value.code == 141


def test_settings_that_cannot_be_read_are_one_line(environment: dict[str, str]) -> None:
    process = start({**environment, "TIME_ZONE": "Nowhere/At_all"}, "status")
    _out, err = process.communicate(timeout=120)
    assert process.returncode == 3
    assert err.startswith("The settings cannot be read: ")
    assert err.count("\n") == 1


def test_settings_that_make_no_sense_are_named_and_end_with_their_own_status(
    environment: dict[str, str],
) -> None:
    process = start({**environment, "PUSHES_PER_WORKER": "many"}, "status")
    _out, err = process.communicate(timeout=120)
    assert process.returncode == 3
    assert "PUSHES_PER_WORKER is not a number." in err


# status, accounts, failed


def answer(capsys: pytest.CaptureFixture[str], *call: str, status: int = 0) -> Any:  # Any: what JSON may hold
    """Return what a command says with --json, and see its exit status."""
    capsys.readouterr()
    if status:
        with pytest.raises(SystemExit) as caught:
            run(*call, "--json")
        assert caught.value.code == status
    else:
        run(*call, "--json")
    return json.loads(capsys.readouterr().out)


@pytest.mark.database
def test_status_is_well_only_if_nothing_needs_a_person(db: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(capsys, "status", status=1) == {"ok": False, "workers": 0, "needs": [], "under_way": []}
    Worker.objects.create(name="here:1", concurrency=1)
    assert answer(capsys, "status")["ok"] is True
    rollout = make_rollout()
    [under_way] = answer(capsys, "status")["under_way"]
    assert (under_way["rollout"], under_way["ended"], under_way["total"]) == (rollout.number, 0, 1)
    assert (under_way["shown_state"], under_way["states"]) == ("running", {"queued": 1})
    assert datetime.fromisoformat(under_way["requested"]).tzinfo
    rollout.pushes.update(state="failed", code="timed_out")
    found = answer(capsys, "status", status=1)["needs"]
    assert [each["count"] for each in found if "failed" in each["page"]] == [1]
    assert {"count", "text", "urgent", "page", "names"} == found[0].keys()
    with pytest.raises(SystemExit):
        run("status")
    assert re.search(r"^ +1  push failed and has not been fixed\.$", capsys.readouterr().out, re.MULTILINE)


@pytest.mark.database
def test_failed_names_cause_and_next_step(db: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(capsys, "failed") == {"failed": []}
    rollout = make_rollout()
    rollout.pushes.update(state="failed", code="timed_out")
    [found] = answer(capsys, "failed", status=1)["failed"]
    assert (found["state"], found["code"], found["rollout"]) == ("failed", "timed_out", rollout.number)
    assert found["cause"]
    assert found["next_step"]
    assert datetime.fromisoformat(found["changed"]).tzinfo
    with pytest.raises(SystemExit) as caught:
        run("failed", "--account", rollout.secret.account.name)
    assert caught.value.code == 1
    text = capsys.readouterr().out
    assert found["next_step"] in text
    assert "\x1b" not in text
    Push.objects.update(replaced=True)
    assert answer(capsys, "failed") == {"failed": []}


@pytest.mark.database
def test_accounts_show_versions_by_fingerprint(db: None, capsys: pytest.CaptureFixture[str]) -> None:
    secret = make_account()
    TechnicalAccount.objects.create(name="Zero")
    first, last = answer(capsys, "accounts")["accounts"]
    assert (first["version"], first["fingerprint"]) == (secret.version, secret.fingerprint)
    assert (last["account"], last["state"], last["version"], last["entered"]) == ("Zero", "draft", None, None)
    assert datetime.fromisoformat(first["entered"]).tzinfo
    run("accounts", "Zero")
    heading, row = capsys.readouterr().out.splitlines()
    assert heading.split()[:2] == ["ACCOUNT", "STATE"]
    assert row.split()[:3] == ["Zero", "draft", "-"]


# secret add


@pytest.fixture
def account(db: None, settings: Settings) -> Iterator[TechnicalAccount]:
    """An active account with its first secret, at an IMS that accepts that and another one."""
    with StandInIMS() as ims:
        ims.accept(CLIENT, Secret(SECRET), Secret(OTHER_SECRET))
        settings.IMS_BASE_URL = ims.url
        ids = ["--organization", ORGANIZATION, "--client-id", CLIENT, "--technical-account", ACCOUNT]
        run("add_account", "Triggers", *ids, "--secret-file", secret_file(SECRET), "--no-check")
        yield TechnicalAccount.objects.get()


def secret_file(text: str, *, mode: int = 0o600) -> str:
    path = Path(os.environ["PYTEST_FILES"]) / str(abs(hash(text)))
    path.write_text(text)
    path.chmod(mode)
    return str(path)


@pytest.fixture(autouse=True)
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_FILES", str(tmp_path))


def held(account: TechnicalAccount) -> str:
    secret = account.newest_version
    assert secret
    return open_version(secret).reveal()


@pytest.mark.parametrize("way", ["--from-json", "--secret-file"])
@pytest.mark.parametrize("from_stdin", [True, False])
def test_a_second_secret_becomes_the_current_version(
    account: TechnicalAccount,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    way: str,
    from_stdin: bool,
) -> None:
    text = console_json(SECRET, OTHER_SECRET) if way == "--from-json" else f"{OTHER_SECRET}\n"
    if from_stdin:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    found = answer(capsys, "secret", "add", "Triggers", way, "-" if from_stdin else secret_file(text))
    assert (found["stored"], found["new"], found["version"], found["ims"]) == (True, True, 2, "valid")
    assert held(account) == OTHER_SECRET
    assert OTHER_SECRET not in str(found)
    assert [event.action for event in AuditEvent.objects.order_by("-seq")[:2]] == [
        "client_secret.checked",
        "client_secret.entered",
    ]


def test_what_adobe_refuses_is_not_stored(
    account: TechnicalAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = secret_file("p8e-" + "w" * 32)
    found = answer(capsys, "secret", "add", "Triggers", "--secret-file", wrong, status=1)
    assert (found["stored"], found["ims"]) == (False, "wrong_secret")
    assert ClientSecret.objects.count() == 1
    assert held(account) == SECRET


def test_a_known_secret_makes_no_new_version(
    account: TechnicalAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    add = ("secret", "add", "Triggers", "--no-check", "--secret-file")
    assert answer(capsys, *add, secret_file(SECRET))["new"] is False
    run(*add, secret_file(OTHER_SECRET))
    assert "--accept-older" in refusal(capsys, *add, secret_file(SECRET))[0]
    assert held(account) == OTHER_SECRET
    assert answer(capsys, *add, secret_file(SECRET), "--accept-older")["version"] == 1
    assert held(account) == OTHER_SECRET  # selecting changes nothing: rollout --secret-version does


def test_an_older_secret_is_known_while_the_fingerprint_key_changes(
    account: TechnicalAccount, capsys: pytest.CaptureFixture[str], settings: Settings
) -> None:
    add = ("secret", "add", "Triggers", "--no-check", "--secret-file")
    run(*add, secret_file(OTHER_SECRET))
    settings.FINGERPRINT_KEY = f"{'n' * 43}\n{settings.FINGERPRINT_KEY}"
    assert "--accept-older" in refusal(capsys, *add, secret_file(SECRET))[0]


def test_what_does_not_fit_is_refused(account: TechnicalAccount, capsys: pytest.CaptureFixture[str]) -> None:
    add = ("secret", "add", "Triggers", "--no-check")
    for way, text, said in (
        ("--secret-file", "short", "--accept-unusual"),
        ("--secret-file", "two words", "contains a space"),
        ("--secret-file", console_json(), "whole JSON file"),
        ("--from-json", console_json(client_id="f" * 32), "another Client ID"),
        ("--from-json", console_json(OTHER_SECRET, "p8e-" + "x" * 32), "--secret-file"),
        ("--from-json", "{", "not complete JSON"),
    ):
        assert said in refusal(capsys, *add, way, secret_file(text))[0]
    assert ClientSecret.objects.count() == 1


def test_a_file_that_others_can_read_is_told(
    account: TechnicalAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    add = ("secret", "add", "Triggers", "--no-check", "--secret-file")
    run(*add, secret_file(SECRET))
    assert "Others on this machine" not in capsys.readouterr().err
    run(*add, secret_file(SECRET, mode=0o644))
    assert "Others on this machine can read" in capsys.readouterr().err


def test_containers_are_suggested_from_the_inventory_alone(
    db: None, capsys: pytest.CaptureFixture[str]
) -> None:
    Container.objects.create(name="app01", address="app01.example.com")
    said, _status = refusal(capsys, "trust_host_key", "zzz", "--fingerprint", f"SHA256:{'A' * 43}")
    assert said == "There is no container zzz."
