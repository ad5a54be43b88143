"""The worker's line: many containers at once, dead ones in nobody's way, nothing begun after the stop."""

import errno
import resource
import selectors
import socket
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from celery.utils.dispatch import Signal
from django.db import OperationalError, connections
from django.db.models.functions import Now
from pytest_django.fixtures import Settings

from credentials.rollouts.models import Push
from instances import ssh
from instances.models import Container, HostKey, Installation, Instance
from instances.reaching import policy
from instances.ssh import dials
from instances.visits import dispatcher, errands, visit
from tests.credentials.rollouts.conftest import FIRST, MakeDispatcher, MakeSite, Site, Start, wait_for
from tests.factories import JUMP_HOST_KEY
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
            kind, key = JUMP_HOST_KEY.split()  # anybody's: it is never asked for
            HostKey.objects.create(container=row, type=kind, base64=key, state="approved")
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
    wait_for({"succeeded": 6}, within=120)
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
    wait_until(lambda: not leased.exists(), within=120, what="the container to be given back")


def test_a_rollout_leaves_places_to_others(
    make_site: MakeSite, start: Start, make_dispatcher: MakeDispatcher
) -> None:
    large = [make_site(f"mkt-{number}", instances=(f"prod{number}",)) for number in range(5)]
    urgent = make_site("mkt-9", instances=("prod9",))
    for site in large:
        site.container.set_gates("pdump")
    start(*large)
    start(urgent)
    line = make_dispatcher(places=3, per_group=2)
    line.ring([site.row.pk for site in (*large, urgent)])
    wait_for({"succeeded": 1, "running": 2, "queued": 3}, within=15)
    assert urgent.secret("prod9") == FIRST
    for site in large:
        site.container.set_gates()
    wait_for({"succeeded": 6}, within=120)


def test_two_large_rollouts_leave_places_to_others(
    make_site: MakeSite, start: Start, make_dispatcher: MakeDispatcher
) -> None:
    large = [make_site(f"mkt-{number}", instances=(f"prod{number}",)) for number in range(12)]
    urgent = make_site("mkt-99", instances=("prod99",))
    for site in large:
        site.container.set_gates("pdump")
    start(*large[:6])
    start(*large[6:])
    start(urgent)
    line = make_dispatcher(places=8, per_group=7)
    line.ring([site.row.pk for site in large])
    wait_for({"running": 7, "queued": 6}, within=15)
    running = Push.objects.filter(state="running").values_list("rollout", flat=True)
    assert sorted(Counter(running).values()) == [3, 4]
    line.ring([urgent.row.pk])
    wait_for({"succeeded": 1, "running": 7, "queued": 5}, within=15)
    assert urgent.secret("prod99") == FIRST
    for site in large:
        site.container.set_gates()
    wait_for({"succeeded": 13}, within=120)


def test_who_answers_late_waits_for_its_rollout_s_turn(
    make_site: MakeSite, start: Start, make_dispatcher: MakeDispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "PROMPT_SECONDS", 0.0)  # everybody is late
    sites = [make_site(f"mkt-{number}", instances=(f"prod{number}",)) for number in range(4)]
    for site in sites:
        site.container.set_gates("pdump")
    start(*sites)
    make_dispatcher(places=4, per_group=1).ring([site.row.pk for site in sites])
    for left in (3, 2, 1, 0):
        wait_for({"running": 1, "queued": left}, within=15)
        running = Push.objects.get(state="running").container.name
        next(site for site in sites if site.row.name == running).container.set_gates()
    wait_for({"succeeded": 4}, within=15)


def test_where_all_answer_late_all_are_delivered_to(
    make_site: MakeSite, start: Start, make_dispatcher: MakeDispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "PROMPT_SECONDS", 0.05)
    real = ssh.Dial.advance

    def advance(dial: ssh.Dial, seconds: float = 0) -> None:
        if time.monotonic() - dial.started > 0.08:  # the network is slow
            real(dial, seconds)

    monkeypatch.setattr(ssh.Dial, "advance", advance)
    sites = [make_site(f"mkt-{number}", instances=(f"prod{number}",)) for number in range(12)]
    start(*sites)
    make_dispatcher(places=4, per_group=1).ring([site.row.pk for site in sites])
    wait_for({"succeeded": 12}, within=20)


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
    wait_for({"running": 1}, within=120)
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
    visit.stopping.set()
    stopped = time.monotonic()
    line.close()
    assert time.monotonic() - stopped < 20
    assert Container.objects.filter(rung=None).count() == 4  # the next reconciler rings these at once
    assert not Push.objects.exclude(state="queued").exists()


@pytest.mark.parametrize("error", [OperationalError("away"), RuntimeError("a defect")])
@pytest.mark.parametrize("fails", [1, 2])  # while the line is sorted, and when a place is free again
def test_a_question_that_fails_loses_no_bell(
    make_site: MakeSite,
    start: Start,
    make_dispatcher: MakeDispatcher,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    fails: int,
) -> None:
    sites = [make_site("mkt-1"), make_site("mkt-2", instances=("prod2",))]
    start(*sites)
    asked: list[int] = []
    containers_due = errands.containers_due

    def away() -> object:
        asked.append(1)
        if len(asked) == fails:
            raise error
        return containers_due()

    monkeypatch.setattr(errands, "containers_due", away)
    make_dispatcher(per_group=1).ring([site.row.pk for site in sites])
    wait_for({"succeeded": 2}, within=15)
    assert len(asked) > fails


# A defect of the portal's own


def dial_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """No descriptor is left when the connection is begun."""
    fail_once(monkeypatch, ssh, "dial", OSError(errno.EMFILE, "too many open files"))


def lookup_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """No thread can be started beside the one that waits for a name."""
    fail_once(monkeypatch, ssh, "look_up", RuntimeError("can't start new thread"))
    Container.objects.filter(name="mkt-1").update(address="localhost")


def advance_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """No descriptor is left for a second address, after the first one's socket was closed."""
    real = ssh.Dial.advance
    failed: list[ssh.Dial] = []

    def advance(dial: ssh.Dial, seconds: float = 0) -> None:
        if not failed:
            failed.append(dial)
            dial.close()
            dial.is_over = False
            raise OSError(errno.EMFILE, "too many open files")
        real(dial, seconds)

    monkeypatch.setattr(ssh.Dial, "advance", advance)


def register_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel polls no more descriptors."""
    fail_once(monkeypatch, selectors.DefaultSelector, "register", OSError(errno.ENOSPC, "no space"))


def fail_once(monkeypatch: pytest.MonkeyPatch, place: object, name: str, error: Exception) -> None:
    real = getattr(place, name)
    failed: list[int] = []

    def failing(*args: object, **options: object) -> object:
        if not failed:
            failed.append(1)
            raise error
        return real(*args, **options)

    monkeypatch.setattr(place, name, failing)


@pytest.mark.parametrize("breaks", [dial_fails, lookup_fails, advance_fails, register_fails])
def test_a_defect_loses_no_container_and_holds_up_no_other(
    make_site: MakeSite,
    make_silent: Callable[[str], Site],
    start: Start,
    make_dispatcher: MakeDispatcher,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    breaks: Callable[[pytest.MonkeyPatch], None],
) -> None:
    settings.PUSH_RETRY_DELAYS = []
    limits = replace(policy.deadlines(), negotiate=0.3)
    first, second = make_site(), make_site("mkt-2", instances=("prod2",))
    silent = make_silent("silent")
    start(first, second, silent)
    line = make_dispatcher(per_group=1)
    breaks(monkeypatch)
    line.ring([first.row.pk])
    wait_for({"succeeded": 1}, within=15)  # over a connection that the delivery made
    monkeypatch.setattr(policy, "deadlines", lambda: limits)
    line.ring([second.row.pk, silent.row.pk])  # a place that was kept would keep them out
    wait_for({"succeeded": 2, "failed": 1}, within=15)
    assert Push.objects.get(state="failed").code == "ssh_silent"
    Push.objects.filter(container=first.row).update(state="queued", due=Now())
    line.ring([first.row.pk])  # it is heard again
    wait_until(lambda: not Push.objects.filter(state="queued").exists(), within=15, what="a second delivery")


def test_a_defect_that_stays_gets_a_verdict(
    make_site: MakeSite, start: Start, make_dispatcher: MakeDispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(site := make_site())

    class NoDescriptor(dials.MeteredSocket):
        def __init__(self, *_: object) -> None:
            raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr(dials, "MeteredSocket", NoDescriptor)
    make_dispatcher().ring([site.row.pk])
    wait_for({"failed": 1}, within=15)
    assert Push.objects.get().code == "portal_error"  # and not the container's failure


def test_without_another_thread_the_running_ones_go_on(
    make_site: MakeSite, start: Start, make_dispatcher: MakeDispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(site := make_site())
    line = make_dispatcher()
    real = threading.Thread.start

    def begin(thread: threading.Thread) -> None:
        if thread.name.startswith(("visit", "unreachable", "resolver")):
            raise RuntimeError("can't start new thread")
        real(thread)

    monkeypatch.setattr(threading.Thread, "start", begin)
    line.ring([site.row.pk])
    wait_for({"succeeded": 1}, within=15)


# Names


@dataclass
class Names:
    """A resolver that leaves names ending in .dead without an answer."""

    asked: Counter[str] = field(default_factory=Counter)
    pending: int = 0
    most_pending: int = 0
    ends: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def look_up(self, host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        if not host.endswith(".dead"):
            return [(socket.AF_INET, 0, 0, "", ("127.0.0.1", port))]
        with self.lock:
            self.asked[host] += 1
            self.pending += 1
            self.most_pending = max(self.most_pending, self.pending)
        self.ends.wait(60)
        with self.lock:
            self.pending -= 1
        raise socket.gaierror


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[Names]:
    resolver = Names()
    monkeypatch.setattr(socket, "getaddrinfo", resolver.look_up)
    monkeypatch.setattr(dispatcher, "LOOKUPS", 4)
    monkeypatch.setattr(dispatcher, "RESOLVERS", 6)
    yield resolver
    resolver.ends.set()


@pytest.fixture
def make_nameless(db: None) -> Callable[[int], list[Site]]:
    """Containers of whose names the resolver knows nothing."""

    def make(count: int) -> list[Site]:
        instance = Instance.objects.create(name="nameless")
        rows = [Container(name=f"no-{n}", address=f"no-{n}.dead") for n in range(count)]
        Container.objects.bulk_create(rows)
        Installation.objects.bulk_create(Installation(instance=instance, container=each) for each in rows)
        return [Site(each, None, None) for each in rows]  # type: ignore[arg-type]  # nothing is behind them

    return make


def test_names_without_an_answer_hold_back_no_address_and_no_other_rollout(
    names: Names,
    make_nameless: Callable[[int], list[Site]],
    make_site: MakeSite,
    start: Start,
    make_dispatcher: MakeDispatcher,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits = replace(policy.deadlines(), resolve=2)
    monkeypatch.setattr(policy, "deadlines", lambda: limits)
    dead = make_nameless(100)  # four at a time take 50 seconds
    by_address, by_name = make_site("mkt-1"), make_site("mkt-2", instances=("prod2",))
    Container.objects.filter(pk=by_name.row.pk).update(address="mkt-2.example")
    start(*dead, by_address)
    start(by_name)
    line = make_dispatcher(places=4, per_group=3)
    line.ring([site.row.pk for site in (*dead, by_address, by_name)])
    wait_for({"succeeded": 2}, within=25)
    assert (by_address.secret("prod1"), by_name.secret("prod2")) == (FIRST, FIRST)
    assert not line._line


def test_a_name_is_looked_up_once_and_few_at_a_time(
    names: Names,
    make_nameless: Callable[[int], list[Site]],
    start: Start,
    make_dispatcher: MakeDispatcher,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.PUSH_RETRY_DELAYS = []
    limits = replace(policy.deadlines(), resolve=0.3)
    monkeypatch.setattr(policy, "deadlines", lambda: limits)
    dead = make_nameless(10)
    start(*dead)
    make_dispatcher().ring([site.row.pk for site in dead])
    wait_for({"failed": 10}, within=15)
    assert set(Push.objects.values_list("code", flat=True)) == {"name_not_resolved"}
    assert names.asked == Counter(site.row.address for site in dead)


def test_a_stop_waits_for_no_name(
    names: Names, make_nameless: Callable[[int], list[Site]], start: Start, make_dispatcher: MakeDispatcher
) -> None:
    dead = make_nameless(20)
    start(*dead)
    Container.objects.update(rung=Now())
    line = make_dispatcher(places=20)
    line.ring([site.row.pk for site in dead])
    wait_until(lambda: names.pending == 4, within=120, what="four lookups")
    visit.stopping.set()
    stopped = time.monotonic()
    line.close()
    assert time.monotonic() - stopped < 20
    assert names.most_pending == 4
    assert Container.objects.filter(rung=None).count() == 20


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
