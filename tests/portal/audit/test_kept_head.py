"""The head that is kept outside the database: it shows a database that was set back as a whole."""

import fcntl
import json
import logging
import os
import shutil
import sqlite3
import stat
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from portal.audit.chain import kept_head
from portal.audit.chain.kept_head import Head, KeptHead
from portal.audit.chain.verification import verify
from portal.audit.labels import line_of
from portal.audit.models import FIRST, AuditEvent, AuditHead
from portal.audit.trail import Actor, record
from tests.portal.audit.tampering import change, set_back
from tests.services.portal import Portal

pytestmark = pytest.mark.django_db
SOMEBODY = Actor("somebody")
NOT_IN_CHAIN = "newer events were removed, or an older database was restored"


def add(count: int = 1) -> None:
    with transaction.atomic():
        for number in range(count):
            record("push.failed", actor=SOMEBODY, details={"number": number})


@pytest.fixture(autouse=True)
def _five_events() -> None:
    add(5)
    kept_head.keep()


def head_of(seq: int) -> Head:
    return Head(seq, AuditEvent.objects.get(seq=seq).hash)


def kept() -> str:
    found = kept_head.read()
    return str(found.head) if found else ""


def write(head: Head, *, at: timedelta = timedelta()) -> None:
    """Put a file there as another process may have left it."""
    content = KeptHead(head, timezone.now() + at)
    text = {"head": str(head), "at": content.at.isoformat(), "seal": content.expected_seal()}
    kept_head.path().write_text(json.dumps(text))


def problems() -> list[str]:
    return [finding.problem for finding in verify().findings]


def test_the_newest_head_is_kept_for_this_user_alone() -> None:
    assert kept() == str(AuditHead.objects.get())
    assert stat.S_IMODE(kept_head.path().stat().st_mode) == 0o600
    assert [each.name for each in kept_head.path().parent.iterdir() if "audit_head" in each.name] == [
        "audit_head"
    ]


def test_a_history_that_was_set_back_is_found(caplog: pytest.LogCaptureFixture) -> None:
    noted = kept()
    set_back(3)
    [problem] = problems()
    assert problem.startswith(f"the head {noted}, kept outside the database on ")
    assert problem.endswith(NOT_IN_CHAIN)
    with pytest.raises(SystemExit):
        call_command("verify_audit")
    caplog.clear()
    kept_head.process = kept_head._Process()
    kept_head.begin()
    [line] = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert noted in line.getMessage()


def test_new_events_do_not_heal_it() -> None:
    noted = kept()
    set_back(3)
    add(5)
    kept_head.keep()
    assert kept() == noted
    assert len(problems()) == 1


def test_the_alarm_is_an_error_once_an_hour(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_back(3)
    for _ in range(3):
        kept_head.keep()
    monkeypatch.setattr(kept_head, "SAY_SECONDS", 0)
    kept_head.keep()
    assert [each.levelno for each in caplog.records].count(logging.ERROR) == 2


def spoil(how: str, settings: Settings) -> None:
    path = kept_head.path()
    if how == "unreadable":
        path.unlink()
        path.mkdir()
    elif how == "another audit key":
        key = settings.AUDIT_KEY
        settings.AUDIT_KEY = "another key, which is long enough for one"
        write(head_of(5))
        settings.AUDIT_KEY = key
    elif how == "edited":
        found = json.loads(path.read_text())
        path.write_text(json.dumps(found | {"head": str(head_of(3))}))
    else:
        path.write_bytes({"empty": b"", "garbage": b"\xff\0", "no object": b"[1]", "no head": b"{}"}[how])


@pytest.mark.parametrize(
    "how", ["empty", "garbage", "no object", "no head", "unreadable", "another audit key", "edited"]
)
def test_a_file_that_says_nothing_is_an_alarm_and_stays(how: str, settings: Settings) -> None:
    spoil(how, settings)
    assert "cannot be used" in problems()[0]
    kept_head.keep()
    assert "cannot be used" in problems()[0]
    if how == "unreadable":
        kept_head.path().rmdir()


def test_a_missing_file_is_said_and_made(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    kept_head.path().unlink()
    kept_head.process = kept_head._Process()
    kept_head.begin()
    assert "No head of the history was kept here before" in caplog.text
    kept_head.path().unlink()
    call_command("verify_audit")
    assert "no head was kept here before" in capsys.readouterr().out
    assert kept() == str(AuditHead.objects.get())


def test_a_head_that_is_not_the_portals_own_is_not_kept() -> None:
    noted = kept()
    add()
    AuditHead.objects.update(seal="0" * 64)
    kept_head.keep()
    assert kept() == noted


@pytest.mark.django_db(transaction=True)
def test_recording_keeps_the_head_but_not_each_time() -> None:
    noted = kept()
    kept_head.process.due = 0
    add()
    assert (kept(), Head.parse(kept()).seq) != (noted, 5)
    add()
    assert Head.parse(kept()).seq == 6
    kept_head.process.due = 0
    with transaction.atomic():
        record("push.failed", actor=SOMEBODY)
        transaction.set_rollback(True)
    assert Head.parse(kept()).seq == 6
    add()
    assert Head.parse(kept()).seq == 8


@pytest.mark.django_db(transaction=True)
def test_recording_works_where_nothing_can_be_kept(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    settings.AUDIT_HEAD_PATH = str(tmp_path / "file" / "audit_head")
    kept_head.process.due = 0
    add()
    assert AuditHead.objects.get().seq == 6
    assert kept_head.compare().problem


def test_a_full_disk_leaves_the_former_head(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    noted = kept()
    add()
    monkeypatch.setattr(os, "fsync", fail)
    kept_head.keep()
    assert kept() == noted
    assert "cannot be kept" in caplog.text
    assert not list(kept_head.path().parent.glob(".audit_head*"))


def test_it_never_goes_back_and_the_highest_wins() -> None:
    comparison = kept_head.compare()
    add(2)
    write(head_of(7))  # another process was faster
    kept_head._move_on(comparison, head_of(6))
    assert kept() == str(head_of(7))
    AuditHead.objects.update(
        seq=6, hash=head_of(6).hash, seal=AuditHead(seq=6, hash=head_of(6).hash).expected_seal()
    )
    kept_head.keep()
    assert kept() == str(head_of(7))


def test_nobody_waits_for_another_process_that_keeps_a_head() -> None:
    noted = kept()
    add()
    folder = os.open(kept_head.path().parent, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    kept_head.keep()
    assert kept() == noted
    os.close(folder)
    kept_head.keep()
    assert kept() == str(AuditHead.objects.get())


def test_a_missing_end_is_accepted_by_an_act_that_is_recorded() -> None:
    noted = kept()
    set_back(3)
    call_command("accept_audit_head", reason="Loaded yesterday's dump")
    event = AuditEvent.objects.get(action="history.head_accepted")
    assert event.details["reason"] == "Loaded yesterday's dump"
    assert event.details["kept_head"] == noted
    assert NOT_IN_CHAIN in dict(line_of(event).facts)["found"]
    assert kept() == str(head_of(4))
    assert verify().is_intact


def test_a_file_that_says_nothing_is_accepted_too() -> None:
    kept_head.path().write_text("garbage")
    call_command("accept_audit_head", reason="A disk was damaged")
    assert kept() == str(head_of(6))
    assert verify().is_intact


@pytest.mark.parametrize("reason", ["", "  "])
def test_accepting_needs_a_reason(reason: str) -> None:
    set_back(3)
    with pytest.raises(CommandError, match="reason"):
        call_command("accept_audit_head", reason=reason)


def test_there_is_nothing_to_accept_in_an_intact_history() -> None:
    with pytest.raises(CommandError, match="nothing to accept"):
        call_command("accept_audit_head", reason="why not")
    assert AuditEvent.objects.count() == 5


def test_what_another_process_kept_before_is_accepted_with_it_but_nothing_later(
    caplog: pytest.LogCaptureFixture,
) -> None:
    lost = head_of(5)
    set_back(3)
    call_command("accept_audit_head", reason="Loaded yesterday's dump")
    write(lost, at=-timedelta(hours=1))
    assert verify().is_intact
    assert "was given up by event 4" in caplog.text
    assert kept() == str(head_of(4))
    write(lost, at=timedelta(hours=1))
    assert NOT_IN_CHAIN in problems()[0]


def test_an_acceptance_without_the_key_accepts_nothing() -> None:
    set_back(3)
    add()
    change(4, action="history.head_accepted")
    assert NOT_IN_CHAIN in problems()[-1]


@pytest.mark.parametrize(
    "text", ["", "x", "5", "5:abc", f"-1:{FIRST}", f"{'9' * 19}:{FIRST}", f"5:{'g' * 64}"]
)
def test_what_is_no_head_is_said_to_be_none(text: str) -> None:
    with pytest.raises(ValueError, match="64 hexadecimal digits"):
        Head.parse(text)


def test_a_head_may_be_pasted_carelessly() -> None:
    assert Head.parse(f" 007:{'AB' * 32}\n") == Head(7, "ab" * 32)


def test_a_head_that_is_none_is_an_error_of_the_command() -> None:
    with pytest.raises(CommandError, match="64 hexadecimal digits"):
        call_command("verify_audit", "--expect-head", "5:abc")


def test_the_head_is_logged_at_the_start_and_when_it_moved_an_hour_later(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def lines() -> int:
        return sum("The audit chain ends at" in each.getMessage() for each in caplog.records)

    kept_head.process = kept_head._Process()
    caplog.clear()
    caplog.set_level(logging.INFO)
    kept_head.begin()
    add()
    kept_head.keep()
    assert lines() == 1
    kept_head.process.said_at.clear()
    kept_head.keep()
    kept_head.process.said_at.clear()
    kept_head.keep()
    assert lines() == 2


@pytest.mark.django_db(transaction=True)
def test_the_figure_falls_when_the_kept_head_is_missing_in_the_chain(client: Client) -> None:
    assert "portal_audit_kept_head_in_chain 1.0" in client.get("/metrics").content.decode()
    with transaction.atomic():
        set_back(3)
    assert "portal_audit_kept_head_in_chain 0.0" in client.get("/metrics").content.decode()
    kept_head.path().unlink()
    assert "portal_audit_kept_head_in_chain 0" not in client.get("/metrics").content.decode()


def copy(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)


@pytest.fixture
def running(tmp_path: Path) -> Portal:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    portal = Portal(home, {"BROKER_URL": "filesystem://localhost"})
    portal.prepare()
    portal.manage("verify_audit", "--record")
    return portal


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_an_older_database_under_a_running_portal_is_noticed(running: Portal, tmp_path: Path) -> None:
    database, older = running.home / "portal.sqlite3", tmp_path / "older.sqlite3"
    copy(database, older)
    with running.worker() as worker:
        running.manage("verify_audit", "--record")
        copy(older, database)
        worker.wait_for_line("The history does not fit the kept head: the head 2:", within=20)
    running.manage("verify_audit", "--record", fails=True)
    running.manage("accept_audit_head", "--reason", "A test")
    running.manage("verify_audit")


@pytest.mark.timeout(300)
def test_a_restore_gives_up_what_was_kept_and_says_so(running: Portal, tmp_path: Path) -> None:
    saved = json.loads(running.manage("backup", str(tmp_path / "copies"), "--json"))
    running.manage("verify_audit", "--record")
    lost = json.loads(running.manage("verify_audit", "--json"))["head"]
    for file in running.home.glob("portal.sqlite3*"):
        shutil.move(file, tmp_path / f"aside-{file.name}")
    running.manage("restore", saved["database"])
    found = json.loads(running.manage("verify_audit", "--json"))
    assert (found["intact"], found["kept_head"]) == (True, found["head"])
    with closing(sqlite3.connect(running.home / "portal.sqlite3")) as database:
        query = "SELECT details FROM audit_auditevent WHERE action = 'portal.restored'"
        [(details,)] = database.execute(query)
    assert json.loads(details)["kept_head"] == lost
