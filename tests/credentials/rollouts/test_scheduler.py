"""The command `scheduler` as a process of its own: it reconciles, tidies up, and shows that it lives."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import DatabaseError, transaction
from django.db.models.functions import Now
from django.utils import timezone

from credentials.rollouts import housekeeping
from credentials.rollouts.models import Duty
from credentials.rollouts.reconciler import on_duty
from instances.models import Container
from portal.audit.models import AuditHead
from portal.audit.trail import Actor, record
from portal.management.commands.start import programs
from tests.credentials.rollouts.conftest import MakeSite, Start
from tests.credentials.rollouts.test_worker import database_url
from tests.services.fixtures import StartProcess
from tests.services.portal import ROOT, Portal
from tests.services.processes import Process
from tests.services.waiting import wait_until

HEALTHY = ROOT / "deploy/healthy.py"


@pytest.fixture
def portal(tmp_path: Path) -> Portal:
    """Commands on the tests' database, keys and queue, which is empty; the heartbeat is the tests' own."""
    queue = Path(settings.QUEUE)
    for message in queue.glob("*.msg"):
        message.unlink()
    (Path(settings.PORTAL_HOME) / "heartbeat").unlink(missing_ok=True)
    environment = {
        "PORTAL_HOME": str(settings.PORTAL_HOME),
        "DATABASE_URL": database_url(),
        "HTTPS": "False",
        "RECONCILE_INTERVAL": "0.5",
    }
    return Portal(tmp_path, environment)


@pytest.fixture
def scheduler(portal: Portal) -> Iterator[Process]:
    command = [sys.executable, "manage.py", "scheduler"]
    with Process(command, log=portal.home / "scheduler.log", env=portal.environment, cwd=ROOT) as process:
        process.wait_for_line(r"^The scheduler runs\.$", within=120)
        yield process


def is_healthy() -> bool:
    environment = {**os.environ, "PORTAL_HOME": str(settings.PORTAL_HOME)}
    return subprocess.run([sys.executable, HEALTHY, "beat"], env=environment, check=False).returncode == 0


@pytest.mark.django_db(transaction=True)
def test_it_rings_again_for_what_is_due(make_site: MakeSite, start: Start, scheduler: Process) -> None:
    site = make_site()
    start(site)
    for message in Path(settings.QUEUE).glob("*.msg"):
        message.unlink()
    Container.objects.update(rung=None)
    scheduler.wait_for(lambda: list(Path(settings.QUEUE).glob("*.msg")), within=20, what="a bell")


@pytest.mark.django_db(transaction=True)
def test_it_tidies_up_and_says_how_far_the_audit_chain_has_come(
    portal: Portal, request: pytest.FixtureRequest, actor: Actor
) -> None:
    gone, kept = timezone.now() - timedelta(days=1), timezone.now() + timedelta(days=1)
    Session.objects.create(session_key="expired", session_data="", expire_date=gone)
    Session.objects.create(session_key="kept", session_data="", expire_date=kept)
    with transaction.atomic():
        record("test.happened", actor=actor)
    scheduler: Process = request.getfixturevalue("scheduler")
    head = AuditHead.objects.get()
    assert head.seq == 1
    scheduler.wait_for_line(rf"The audit chain ends at {head} ", within=20)
    left = Session.objects.values_list("session_key", flat=True)
    scheduler.wait_for(lambda: list(left.all()) == ["kept"], within=20, what="expired sessions to go")
    portal.manage("verify_audit", "--expect-head", str(head))


@pytest.mark.django_db(transaction=True)
def test_make_start_runs_it_as_well(portal: Portal, start_process: StartProcess) -> None:
    gone = timezone.now() - timedelta(days=1)
    Session.objects.create(session_key="expired", session_data="", expire_date=gone)
    program = programs("127.0.0.1", portal.port, pushes=2)[-1]
    process = start_process(program.command, name="scheduler", env=portal.environment, cwd=portal.home)
    process.wait_for(lambda: not Session.objects.exists(), within=60, what="the hourly work")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_in_order_when_told_to(scheduler: Process, number: signal.Signals) -> None:
    scheduler.send(number)
    assert scheduler.wait_for_exit(within=20) == 0


@pytest.mark.django_db(transaction=True)
def test_it_shows_that_it_lives(scheduler: Process) -> None:
    scheduler.wait_for(is_healthy, within=20, what="a heartbeat")
    long_ago = time.time() - 3600
    os.utime(Path(settings.PORTAL_HOME) / "heartbeat", (long_ago, long_ago))
    scheduler.wait_for(is_healthy, within=20, what="the next heartbeat")


def test_a_heartbeat_that_stopped_is_not_healthy(portal: Portal, db: None) -> None:
    assert not is_healthy()
    file = Path(settings.PORTAL_HOME) / "heartbeat"
    file.touch()
    assert is_healthy()
    os.utime(file, (time.time() - 61, time.time() - 61))
    assert not is_healthy()


def test_nobody_reconciles_shows(db: None) -> None:
    assert not housekeeping.is_reconciled()
    assert on_duty()
    assert housekeeping.is_reconciled()
    Duty.objects.update(done=Now() - timedelta(seconds=settings.RECONCILE_INTERVAL * 3 + 11))
    assert not housekeeping.is_reconciled()


def test_what_failed_is_tried_again_soon_and_what_went_well_in_an_hour(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stop = threading.Event()
    failures: list[Exception] = [DatabaseError("away"), ValueError("a defect")]
    seen: list[str] = []

    def tidy() -> None:
        if failures:
            raise failures.pop(0)
        seen.append("tidied")

    def is_reconciled() -> bool:
        seen.append("looked")
        return False

    monkeypatch.setattr("portal.processes.housekeeping._jobs", {tidy: 3600.0})
    monkeypatch.setattr(housekeeping, "is_reconciled", is_reconciled)
    monkeypatch.setattr(housekeeping, "INTERVAL", 0.01)
    thread = threading.Thread(target=housekeeping.run, args=(stop,))
    thread.start()
    try:
        wait_until(lambda: seen.count("looked") > 5, within=120, what="several rounds")
    finally:
        stop.set()
        thread.join(10)
    assert (seen.count("tidied"), failures) == (1, [])
