"""A database that is away: few lines of log, and every process ends soon when it is told to."""

import contextlib
import logging
import re
import signal
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from portal.processes.logs import AGAIN, Seldom
from tests.services.portal import ROOT, Portal
from tests.services.postgres_server import PostgresServer, reason_against_postgres
from tests.services.processes import Process
from tests.services.programs import require_that
from tests.services.waiting import free_port, wait_until

START_SECONDS = 90
# Much more than it takes, and less than the twenty seconds that a thread waits for a connection otherwise.
END_SECONDS = 60
CELERY = [
    "-m",
    "celery",
    "-A",
    "portal",
    "worker",
    "--pool",
    "threads",
    "--without-gossip",
    "--without-mingle",
]
SERVES = {"web": "web process serves", "worker": "celery@.* ready", "scheduler": "The scheduler runs"}
ATTEMPTS = 30


@pytest.fixture
def portal(tmp_path: Path) -> Iterator[tuple[Portal, PostgresServer]]:
    require_that(not reason_against_postgres(), "no PostgreSQL here (Debian package postgresql)")
    with PostgresServer() as postgres:
        settings = {"DATABASE_URL": postgres.create_database("portal"), "BROKER_URL": "filesystem://"}
        portal = Portal(tmp_path, {**settings, "RECONCILE_INTERVAL": "15"})
        portal.manage("migrate", "--verbosity", "0")
        yield portal, postgres


def start(portal: Portal, name: str) -> Process:
    commands = {
        "web": ["-m", "portal.webserver", "--bind", f"127.0.0.1:{portal.port}"],
        "worker": [*CELERY, "--without-heartbeat", "--loglevel", "INFO"],
        "scheduler": ["manage.py", "scheduler"],
    }
    log = portal.home / f"{name}.log"
    return Process([sys.executable, *commands[name]], log=log, env=portal.environment, cwd=ROOT)


class Refusing:
    """Takes a server's place, ends each connection at once, and counts them."""

    def __init__(self, port: int) -> None:
        self.count = 0
        self._listener = socket.create_server(("127.0.0.1", port))
        self._thread = threading.Thread(target=self._refuse, daemon=True)
        self._thread.start()

    def _refuse(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self._listener.accept()[0].close()
                self.count += 1

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_what_is_tried_again_is_told_once_and_holds_no_end_up(portal: tuple[Portal, PostgresServer]) -> None:
    site, postgres = portal
    with contextlib.ExitStack() as stack:
        running = {name: stack.enter_context(start(site, name)) for name in SERVES}
        for name, line in SERVES.items():
            running[name].wait_for_line(line, within=START_SECONDS)
        since = {name: len(process.output()) for name, process in running.items()}
        began = time.monotonic()
        postgres.stop()
        with contextlib.closing(Refusing(postgres.port)) as refusing:
            wait_until(lambda: refusing.count > ATTEMPTS, within=90, what="many attempts to connect")
            for name in ("worker", "scheduler"):
                running[name].wait_for_line("found no database", within=60)
            said = {name: process.output()[since[name] :] for name, process in running.items()}
            minutes = 1 + (time.monotonic() - began) // AGAIN
            for name, text in said.items():
                kinds = Counter(
                    re.sub(r"\d+|\(.*", "", line) for line in text.splitlines() if " WARNING " in line
                )
                assert max(kinds.values(), default=0) <= minutes, (name, kinds)
                assert len(text) < 4000 * minutes, (name, text)
        postgres.start()
        running["worker"].wait_for_line("the database answers again", within=60)
        postgres.stop()
        # At once: the first one that asks finds nobody who knows yet that the database is away.
        for process in running.values():
            process.send(signal.SIGTERM)
        for process in running.values():
            assert process.wait_for_exit(within=END_SECONDS) == 0
        worker = stack.enter_context(start(site, "worker"))
        worker.wait_for_line("The database does not answer", within=START_SECONDS)
        worker.send(signal.SIGTERM)
        worker.wait_for_exit(within=END_SECONDS)


def test_a_command_says_at_once_why_it_has_no_database(tmp_path: Path) -> None:
    address = f"postgres://portal:portal@127.0.0.1:{free_port()}/portal"
    environment = Portal(tmp_path, {"DATABASE_URL": address}).environment
    with Process(
        [sys.executable, "manage.py", "status"], log=tmp_path / "log", env=environment, cwd=ROOT
    ) as command:
        assert command.wait_for_exit(within=START_SECONDS) == 1
        # A pool would only say that it had none to give.
        assert "Connection refused" in command.output().splitlines()[-1]


def test_the_same_warning_passes_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("portal.processes.logs.time.monotonic", lambda: now)
    seldom = Seldom()

    def passes(level: int, text: str, *args: object, **fields: object) -> bool:
        record = logging.getLogger("away").makeRecord("away", level, "", 0, text, args, None, extra=fields)
        return bool(seldom.filter(record))

    assert passes(logging.WARNING, "no answer after %s s", 1)
    assert not passes(logging.WARNING, "no answer after %s s", 2)
    assert passes(logging.WARNING, "no figures", collector="audit")
    assert passes(logging.WARNING, "no figures", collector="pushes")
    assert passes(logging.INFO, "connected")
    assert passes(logging.INFO, "connected")
    now += AGAIN
    assert passes(logging.WARNING, "no answer after %s s", 3)
