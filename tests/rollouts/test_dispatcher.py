"""The worker's line: many containers at once, dead ones in nobody's way, nothing begun after the stop."""

import resource
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from datetime import timedelta

import pytest
from celery.utils.dispatch import Signal
from django.db import OperationalError, connections
from django.db.models.functions import Now

from credentials.rollouts import delivery, dispatcher
from credentials.rollouts.models import Push, containers_with_work
from instances.models import Container, HostKey, Installation, Instance
from tests.rollouts.conftest import FIRST, MakeDispatcher, MakeSite, Site, Start, wait_for
from tests.services.waiting import wait_until

pytestmark = [pytest.mark.django_db(transaction=True)]


@pytest.fixture
def make_silent(db: None) -> Iterator[Callable[[str], Site]]:
    """Containers whose server accepts and never says a word."""
    with ExitStack() as open_sockets:

        def make(name: str) -> Site:
            listener = open_sockets.enter_context(socket.create_server(("127.0.0.1", 0)))
            host, port = listener.getsockname()
            row = Container.objects.create(name=name, address=host, port=port)
            HostKey.objects.create(container=row, type="ssh-ed25519", base64="AAAA", state="approved")
            instance = Instance.objects.create(name=f"on-{name}")
            Installation.objects.create(instance=instance, container=row)
            return Site(row, None, None)  # type: ignore[arg-type]  # there is nothing behind it

        yield make


def test_more_containers_than_places_are_all_delivered_to(
    make_site: MakeSite, start: Start, make_dispatcher: MakeDispatcher
) -> None:
    sites = [make_site(f"mkt-{number}", instances=(f"prod{number}",)) for number in range(6)]
    start(*sites)
    line = make_dispatcher(places=2)
    for site in sites:
        line.ring([site.row.pk])
        line.ring([site.row.pk])  # a bell may come twice
    wait_for({"succeeded": 6}, within=30)
    assert [site.secret(f"prod{number}") for number, site in enumerate(sites)] == [FIRST] * 6
    assert [site.server.connections for site in sites] == [1] * 6


def test_ten_instances_on_a_container_cost_one_connection(
    make_site: MakeSite, start: Start, make_dispatcher: MakeDispatcher
) -> None:
    site = make_site(instances=tuple(f"prod{number}" for number in range(10)))
    start(site)
    make_dispatcher().ring([site.row.pk])
    wait_for({"succeeded": 10}, within=60)
    assert site.server.connections == 1


def test_who_does_not_answer_takes_nobody_s_place(
    make_site: MakeSite,
    make_silent: Callable[[str], Site],
    start: Start,
    make_dispatcher: MakeDispatcher,
) -> None:
    silent = [make_silent(f"dead-{number}") for number in range(30)]
    site = make_site("mkt-1")
    start(*silent, site)
    threads = threading.active_count()
    line = make_dispatcher(places=2)
    for each in (*silent, site):
        line.ring([each.row.pk])
    wait_for({"succeeded": 1, "queued": 30}, within=15)  # one after another, thirty would take ten minutes
    assert site.secret() == FIRST
    assert threading.active_count() - threads < 20
    leased = Container.objects.exclude(lease_token=None)
    wait_until(lambda: not leased.exists(), within=5, what="the container to be given back")


def test_a_rollout_leaves_places_to_others(
    make_site: MakeSite, start: Start, make_dispatcher: MakeDispatcher
) -> None:
    large = [make_site(f"mkt-{number}", instances=(f"prod{number}",)) for number in range(5)]
    urgent = make_site("mkt-9", instances=("prod9",))
    for site in large:
        site.container.set_gates("pdump")
    start(*large)
    start(urgent)
    line = make_dispatcher(places=3, per_rollout=2)
    line.ring([site.row.pk for site in (*large, urgent)])
    wait_for({"succeeded": 1, "running": 2, "queued": 3}, within=15)
    assert urgent.secret("prod9") == FIRST
    for site in large:
        site.container.set_gates()
    wait_for({"succeeded": 6}, within=30)


def test_who_answers_late_waits_for_its_rollout_s_turn(
    make_site: MakeSite, start: Start, make_dispatcher: MakeDispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "PROMPT_SECONDS", 0.0)  # everybody is late
    sites = [make_site(f"mkt-{number}", instances=(f"prod{number}",)) for number in range(4)]
    for site in sites:
        site.container.set_gates("pdump")
    start(*sites)
    make_dispatcher(places=4, per_rollout=1).ring([site.row.pk for site in sites])
    for left in (3, 2, 1, 0):
        wait_for({"running": 1, "queued": left}, within=15)
        running = Push.objects.get(state="running").container.name
        next(site for site in sites if site.row.name == running).container.set_gates()
    wait_for({"succeeded": 4}, within=15)


def test_who_refuses_or_has_no_address_fails_with_its_code(
    make_site: MakeSite, start: Start, make_dispatcher: MakeDispatcher
) -> None:
    closed, unnamed = make_site("closed"), make_site("unnamed", instances=("prod2",))
    closed.server.stop()
    Container.objects.filter(pk=unnamed.row.pk).update(address="no-such-host.invalid")
    start(closed, unnamed)
    line = make_dispatcher()
    for site in (closed, unnamed):
        line.ring([site.row.pk])
    wait_until(
        lambda: (
            set(Push.objects.values_list("code", flat=True)) == {"connection_refused", "name_not_resolved"}
        ),
        within=20,
        what="both codes",
    )


def test_what_has_no_work_is_not_dialed(
    make_site: MakeSite, start: Start, make_dispatcher: MakeDispatcher
) -> None:
    idle, busy = make_site("idle"), make_site("busy", instances=("prod2",))
    start(busy)
    line = make_dispatcher()
    for pk in (idle.row.pk, uuid.uuid4(), busy.row.pk):
        line.ring([pk])
    wait_for({"succeeded": 1}, within=15)
    assert idle.server.connections == 0


def test_a_bell_during_a_delivery_is_heard_after_it(
    make_site: MakeSite, start: Start, make_dispatcher: MakeDispatcher
) -> None:
    site = make_site(instances=("prod1", "prod2"), faults=("slow=1*1",))
    start(site)
    Push.objects.filter(installation__instance__name="prod2").update(due=Now() + timedelta(minutes=5))
    line = make_dispatcher()
    line.ring([site.row.pk])
    wait_for({"running": 1}, within=10)
    Push.objects.filter(installation__instance__name="prod2").update(due=Now())
    line.ring([site.row.pk])
    wait_for({"succeeded": 2}, within=20)


def test_a_stop_leaves_what_was_not_begun_to_others(
    make_silent: Callable[[str], Site], start: Start, make_dispatcher: MakeDispatcher
) -> None:
    silent = [make_silent(f"dead-{number}") for number in range(5)]
    start(*silent)
    Container.objects.update(rung=Now())
    line = make_dispatcher(places=2)
    for each in silent[:4]:
        line.ring([each.row.pk])
    delivery.stopping.set()
    stopped = time.monotonic()
    line.close()
    assert time.monotonic() - stopped < 5
    assert Container.objects.filter(rung=None).count() == 4  # the next reconciler rings these at once
    assert not Push.objects.exclude(state="queued").exists()


def test_a_database_that_is_away_loses_no_bell(
    make_site: MakeSite, start: Start, make_dispatcher: MakeDispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = make_site()
    start(site)
    asked: list[int] = []

    def away() -> object:
        asked.append(1)
        if len(asked) == 1:
            raise OperationalError("away")
        return containers_with_work()

    monkeypatch.setattr(dispatcher, "containers_with_work", away)
    make_dispatcher().ring([site.row.pk])
    wait_for({"succeeded": 1}, within=15)
    assert len(asked) >= 2


def test_two_bells_at_once_make_one_dispatcher(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    together = threading.Barrier(2)

    class Slow:
        def __init__(self, **_: int) -> None:
            with suppress(threading.BrokenBarrierError):
                together.wait(0.5)  # a second one in here would come in time
            made.append(self)

    monkeypatch.setattr(dispatcher, "Dispatcher", Slow)
    monkeypatch.setattr(dispatcher, "worker_shutdown", Signal())
    dispatcher._dispatcher.cache_clear()
    with ThreadPoolExecutor(2) as threads:
        given = [threads.submit(dispatcher.dispatcher) for _ in range(2)]
    dispatcher._dispatcher.cache_clear()
    assert len(made) == 1
    assert [each.result() for each in given] == [made[0], made[0]]


def test_the_number_of_dials_respects_the_limit_of_open_files(monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4096))
    monkeypatch.setattr(resource, "setrlimit", lambda _, values: limits.append(values))
    assert dispatcher._room_for(6000, 32) == 4096 - 4 * 32 - dispatcher.OTHER_FILES
    assert dispatcher._room_for(100, 32) == 100
    assert limits == [(4096, 4096)]


@pytest.fixture(autouse=True)
def _close_connections() -> Iterator[None]:
    yield
    connections.close_all()
