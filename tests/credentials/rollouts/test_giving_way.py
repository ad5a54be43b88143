"""Pushes do not wait for readings: neither on a container that is being read, nor for places in a worker."""

import getpass
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import pytest
from django.db import connections
from pytest_django.fixtures import Settings

from credentials.rollouts.models import Attempt, Push
from instances.discovery.models import Reading
from instances.discovery.services import ask
from instances.models import Container, HostKey, Installation, Instance
from instances.reaching import portal_key
from instances.visits import visit
from portal.audit.trail import Actor
from tests.credentials.rollouts.conftest import FIRST, MakeDispatcher, MakeSite, Site, Start
from tests.instances.nlserver.shell_fleet import ShellContainer, make_container
from tests.services.fixtures import StartOpenSSH
from tests.services.waiting import wait_until

pytestmark = [pytest.mark.django_db(transaction=True)]
PLACES = 16


@pytest.fixture
def slow_site(start_openssh: StartOpenSSH, tmp_path: Path, settings: Settings) -> tuple[Site, ShellContainer]:
    """A container on real OpenSSH whose first `nlserver pdump` hangs for 15 s, until it is killed."""
    settings.CAMPAIGN_USER = getpass.getuser()
    server = start_openssh()
    server.authorize(settings.CAMPAIGN_USER, portal_key.public_line())
    files = make_container(tmp_path / "slow", settings.CAMPAIGN_USER)
    program = files.base / "bin" / "nlserver"
    first, rest = program.read_text().split("\n", 1)
    hang = '[ "$1" != pdump ] || ! mkdir "${0%/bin/nlserver}/hangs" 2>/dev/null || exec sleep 60'
    program.write_text(f"{first}\n{hang}\n{rest}")
    row = Container.objects.create(
        name="slow",
        address=server.host,
        port=server.port,
        login=settings.CAMPAIGN_USER,
        install_root=str(files.root),
    )
    key = server.host_keys[0]
    HostKey.objects.create(container=row, type=key.type, base64=key.base64, state="approved")
    Installation.objects.create(instance=Instance.objects.create(name=files.instance), container=row)
    return Site(row, None, None), files  # type: ignore[arg-type]  # what is behind it is no sandbox


def visit_to_its_end(site: Site) -> None:
    """Do what a worker does with one bell, in a thread with a connection of its own."""
    try:
        while visit.visit(site.row.pk):
            pass
    finally:
        connections.close_all()


@pytest.mark.database
def test_a_reading_under_way_gives_way_to_a_push_and_is_done_afterwards(
    slow_site: tuple[Site, ShellContainer], actor: Actor, start: Start
) -> None:
    site, files = slow_site
    [reading] = ask(containers=[site.row], actor=actor)
    with ThreadPoolExecutor(1) as thread:
        done = thread.submit(visit_to_its_end, site)
        wait_until((files.base / "hangs").exists, within=120, what="the reading to hang")
        push = start(site).pushes.get()
        begin = time.monotonic()
        attempts = Attempt.objects.filter(push=push)
        wait_until(attempts.exists, within=120, what="the push to begin")
        assert time.monotonic() - begin < 10  # by itself the reading would have hung on for fifteen
        done.result(60)
    push.refresh_from_db()
    reading.refresh_from_db()
    assert (push.state, reading.state, reading.tries) == ("succeeded", "succeeded", 1)
    ended = attempts.get().finished
    assert ended
    assert reading.started
    assert reading.started > ended
    row = Container.objects.get()
    assert row.lease_token is None
    assert "client-id" not in files.config.read_text()


class Greeters:
    """Servers on any address that greet, and hang up a moment later: they take a place and give no answer."""

    PAUSE = 0.5  # seconds

    def __init__(self) -> None:
        self._listener = socket.create_server(("0.0.0.0", 0), backlog=500)
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with suppress(OSError):
            while True:
                peer, _ = self._listener.accept()
                threading.Thread(target=self._greet, args=(peer,), daemon=True).start()

    def _greet(self, peer: socket.socket) -> None:
        with peer, suppress(OSError):
            peer.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
            time.sleep(self.PAUSE)

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)


@pytest.fixture
def greeters() -> Iterator[Greeters]:
    made = Greeters()
    yield made
    made.close()


def test_a_flood_of_readings_takes_an_eighth_of_the_places_and_holds_up_no_push(
    make_site: MakeSite, make_dispatcher: MakeDispatcher, greeters: Greeters, actor: Actor, start: Start
) -> None:
    dispatcher = make_dispatcher(places=PLACES, per_group=PLACES * 7 // 8)
    flood = [
        Container(name=f"c{number}", address=f"127.2.{number // 250}.{1 + number % 250}", port=greeters.port)
        for number in range(2_000)
    ]
    Container.objects.bulk_create(flood)
    ask(containers=flood, actor=actor)
    dispatcher.ring([each.pk for each in flood])
    running = Reading.objects.filter(state="running")
    ended = Reading.objects.exclude(finished=None)
    seen = []
    wait_until(lambda: ended.count() >= 2, within=120, what="readings to go on")
    for number in range(2):
        site = make_site(f"mkt-{number}", instances=(f"prod{number}",))
        push = start(site).pushes.get()
        begin = time.monotonic()
        dispatcher.ring([site.row.pk])

        def has_succeeded(pk: UUID = push.pk) -> bool:
            seen.append(running.count())
            return Push.objects.filter(pk=pk, state="succeeded").exists()

        wait_until(has_succeeded, within=120, what="the push")
        assert time.monotonic() - begin < 20
        assert site.secret(f"prod{number}") == FIRST
    assert max(seen) == PLACES // 8
    assert Reading.objects.filter(state="queued").count() > 1_000
