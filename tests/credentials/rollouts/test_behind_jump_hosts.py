"""Pushes through jump hosts: real OpenSSH in between, all that fails there, how many go through at once."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest
from django.db import connections
from django.db.models.functions import Now
from pytest_django.fixtures import Settings

from credentials.rollouts.models import Attempt, Push
from instances.models import Container, HostKey, Installation, Instance, JumpHost
from instances.reaching import host_keys, policy, portal_key
from instances.visits import visit
from portal.audit.trail import Actor
from tests.chaos.proxy import Loop, Proxy
from tests.credentials.rollouts.conftest import (
    FIRST,
    MakeDispatcher,
    MakeSite,
    Site,
    Start,
    deliver_all,
    only_push,
    wait_for,
)
from tests.factories import JUMP_HOST_KEY
from tests.services.fixtures import StartOpenSSH
from tests.services.openssh_server import OpenSSHServer
from tests.services.waiting import free_port, wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.one_engine]  # the way there matters
BASTION = "127.0.0.11"
MakeBastion = Callable[..., tuple[OpenSSHServer, JumpHost]]


@pytest.fixture
def make_bastion(start_openssh: StartOpenSSH, db: None) -> MakeBastion:
    """A real sshd that forwards for the portal's key, and its row in the inventory."""

    def make(
        name: str = "bastion-1", *, restrictions: str = "restrict,port-forwarding", **options: str
    ) -> tuple[OpenSSHServer, JumpHost]:
        server = start_openssh(host=BASTION, options=options)
        server.authorize(server.accounts[0], portal_key.public_line(), restrictions=restrictions)
        row = JumpHost.objects.create(
            name=name,
            address=server.host,
            port=server.port,
            login=server.accounts[0],
            host_keys=server.host_keys[0].line,
        )
        return server, row

    return make


def put_behind(row: JumpHost, *sites: Site) -> None:
    Container.objects.filter(pk__in=[site.row.pk for site in sites]).update(jump_host=row)


def test_a_push_goes_through_a_jump_host_that_learns_nothing(
    make_bastion: MakeBastion, make_site: MakeSite, start: Start
) -> None:
    server, row = make_bastion(LogLevel="DEBUG3")
    site = make_site(instances=("prod1", "prod2"))
    put_behind(row, site)
    rollout = start(site)
    deliver_all(site)
    assert set(rollout.pushes.values_list("state", flat=True)) == {"succeeded"}
    assert (site.secret("prod1"), site.secret("prod2")) == (FIRST, FIRST)
    log = server.log.read_text()
    assert log.count("Accepted publickey") == 1  # one connection for both pushes
    assert f"connect_next: start for host {site.server.address}" in log  # it does say what it knows
    for canary in (FIRST, "setimsoauth", "0123456789abcdef0123456789abcdef"):
        assert canary not in log
    attempt = Attempt.objects.order_by("started")[0]
    assert attempt.notes_in_words == [f"through bastion-1 ({row.address}:{row.port})"]
    assert attempt.host_key == site.server.fingerprint


def test_the_key_of_a_container_behind_a_jump_host_is_scanned_through_it(
    make_bastion: MakeBastion, make_site: MakeSite, actor: Actor
) -> None:
    server, row = make_bastion()
    site = make_site(trusted=False)
    put_behind(row, site)
    site.row.refresh_from_db()
    scan = host_keys.scan_container(container=site.row, actor=actor)
    assert [key.fingerprint for key in scan.keys] == [site.server.fingerprint]
    assert "Accepted publickey" in server.log.read_text()


def away(_server: OpenSSHServer, row: JumpHost, _site: Site) -> None:
    row.port = free_port(BASTION)


def other_key(_server: OpenSSHServer, row: JumpHost, _site: Site) -> None:
    row.host_keys = JUMP_HOST_KEY


def other_login(_server: OpenSSHServer, row: JumpHost, _site: Site) -> None:
    row.login = "nobody-at-all"


def never_allowed(_server: OpenSSHServer, row: JumpHost, _site: Site) -> None:
    row.address = "169.254.169.254"


def container_away(_server: OpenSSHServer, _row: JumpHost, site: Site) -> None:
    site.server.stop()


Break = Callable[[OpenSSHServer, JumpHost, Site], None]


@pytest.mark.parametrize(
    ("breaks", "code", "state"),
    [
        (away, "jump_host_unreachable", "queued"),
        (never_allowed, "jump_host_not_allowed", "failed"),
        (other_key, "jump_host_key_changed", "failed"),
        (other_login, "jump_host_login_refused", "failed"),
        (container_away, "jump_host_no_way", "queued"),
    ],
)
@pytest.mark.parametrize("by", ["itself", "a dispatcher"])
def test_what_fails_at_the_jump_host_has_a_code_of_its_own(
    make_bastion: MakeBastion,
    make_site: MakeSite,
    start: Start,
    make_dispatcher: MakeDispatcher,
    settings: Settings,
    breaks: Break,
    code: str,
    state: str,
    by: str,
) -> None:
    settings.PUSH_RETRY_DELAYS = [300]
    server, row = make_bastion()
    site = make_site()
    put_behind(row, site)
    breaks(server, row, site)
    row.save()
    push = only_push(start(site))
    if by == "itself":
        visit.visit(site.row.pk)
    else:
        make_dispatcher().ring([site.row.pk])
    wait_until(lambda: push.attempts.exclude(finished=None).exists(), within=15, what="the attempt's end")
    push.refresh_from_db()
    assert (push.state, push.code) == (state, code)
    attempt = push.attempts.get()
    assert attempt.notes_in_words[0] == f"through bastion-1 ({row.address}:{row.port})"
    if code == "jump_host_key_changed":
        assert attempt.notes_in_words[1] == f"the jump host showed {server.host_keys[0].fingerprint}"
        assert "publickey" not in server.log.read_text()
    assert not HostKey.objects.filter(state="offered").exists()  # a jump host's key is no container's


@pytest.mark.parametrize("forbids", [{"AllowTcpForwarding": "no"}, {"restrictions": "restrict"}])
def test_a_jump_host_that_forbids_forwarding_has_a_code_of_its_own(
    make_bastion: MakeBastion, make_site: MakeSite, start: Start, forbids: dict[str, str]
) -> None:
    _server, row = make_bastion(**forbids)
    site = make_site()
    put_behind(row, site)
    push = only_push(start(site))
    visit.visit(site.row.pk)
    push.refresh_from_db()
    assert (push.state, push.code) == ("failed", "jump_host_forbids")


# How many at once


@pytest.fixture
def tap() -> Iterator[Callable[[OpenSSHServer, JumpHost], Proxy]]:
    """Put something in front of a jump host that counts the connections."""
    loop = Loop()
    with ExitStack() as ends:
        ends.callback(loop.close)

        def put(server: OpenSSHServer, row: JumpHost) -> Proxy:
            proxy = Proxy(loop, host=BASTION, port=free_port(BASTION), server=(server.host, server.port))
            proxy.listen()
            ends.callback(proxy.close)
            JumpHost.objects.filter(pk=row.pk).update(port=proxy.port)
            return proxy

        yield put


def test_so_many_go_through_a_jump_host_at_once_and_no_more(
    make_bastion: MakeBastion,
    tap: Callable[[OpenSSHServer, JumpHost], Proxy],
    make_site: MakeSite,
    start: Start,
    make_dispatcher: MakeDispatcher,
) -> None:
    server, row = make_bastion()
    proxy = tap(server, row)
    sites = [make_site(f"mkt-{n}", instances=(f"prod{n}",), faults=("slow=0.3",)) for n in range(9)]
    put_behind(row, *sites)
    start(*sites)
    line = make_dispatcher(places=8, per_jump_host=3)
    for site in sites:
        line.ring([site.row.pk])
    wait_for({"succeeded": 9}, within=60)
    assert proxy.accepted == 9
    assert proxy.most_open in (3, 4)  # one that was just closed may still be counted; without limit it is 8


def test_three_workers_stay_below_what_an_sshd_refuses(settings: Settings) -> None:
    assert 3 * settings.PUSHES_PER_JUMP_HOST < 10  # MaxStartups 10:30:100


class Mute:
    """A jump host that accepts, never says a word, and counts who is there."""

    def __init__(self) -> None:
        self.accepted = self.open = self.most_open = 0
        self._lock = threading.Lock()
        self._listener = socket.create_server((BASTION, 0))
        self.port = int(self._listener.getsockname()[1])
        self._threads = [threading.Thread(target=self._serve)]
        self._threads[0].start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                guest, _ = self._listener.accept()
            except OSError:
                return
            self._count(1)
            self._threads.append(threading.Thread(target=self._wait, args=(guest,)))
            self._threads[-1].start()

    def _wait(self, guest: socket.socket) -> None:
        with guest:
            guest.recv(1)
        self._count(-1)

    def _count(self, change: int) -> None:
        with self._lock:
            self.open += change
            self.accepted += change > 0
            self.most_open = max(self.most_open, self.open)


@pytest.fixture
def mute() -> Iterator[Mute]:
    host = Mute()
    yield host
    host.close()


def make_behind(row: JumpHost, count: int) -> list[Container]:
    """Containers of which nothing but the way is needed."""
    instance = Instance.objects.create(name="far")
    made = [Container(name=f"far-{n}", address=f"10.0.0.{n}", jump_host=row) for n in range(1, count + 1)]
    Container.objects.bulk_create(made)
    Installation.objects.bulk_create(Installation(instance=instance, container=each) for each in made)
    return made


def test_a_dead_jump_host_is_not_dialed_by_all_and_holds_nobody_back(
    mute: Mute,
    make_bastion: MakeBastion,
    make_site: MakeSite,
    start: Start,
    make_dispatcher: MakeDispatcher,
) -> None:
    dead = JumpHost.objects.create(
        name="dead", address=BASTION, port=mute.port, login="portal", host_keys=JUMP_HOST_KEY
    )
    far = make_behind(dead, 200)
    _server, row = make_bastion()
    through_another, direct = make_site("mkt-1"), make_site("mkt-2", instances=("prod2",))
    put_behind(row, through_another)
    sites = [Site(each, None, None) for each in far]  # type: ignore[arg-type]  # nothing is behind them
    start(*sites, through_another, direct)
    threads = threading.active_count()
    line = make_dispatcher(places=4, per_jump_host=3)
    for each in (*far, through_another.row, direct.row):
        line.ring([each.pk])
    wait_for({"succeeded": 2}, within=15)
    assert (through_another.secret("prod1"), direct.secret("prod2")) == (FIRST, FIRST)
    assert threading.active_count() - threads < 3 + 30  # the jump host's own, and ours
    assert (mute.accepted, mute.most_open) == (3, 3)
    assert not Push.objects.exclude(state="succeeded").exclude(state="queued").exists()


def test_those_who_wait_for_a_dead_jump_host_all_get_their_code(
    mute: Mute,
    start: Start,
    make_dispatcher: MakeDispatcher,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.PUSH_RETRY_DELAYS = [300]
    short = policy.deadlines
    monkeypatch.setattr(policy, "deadlines", lambda: replace(short(), negotiate=0.3))
    dead = JumpHost.objects.create(
        name="dead", address=BASTION, port=mute.port, login="portal", host_keys=JUMP_HOST_KEY
    )
    far = make_behind(dead, 12)
    start(*[Site(each, None, None) for each in far])  # type: ignore[arg-type]  # nothing is behind them
    line = make_dispatcher(places=4, per_jump_host=3)
    for each in far:
        line.ring([each.pk])
    wait_until(
        lambda: Push.objects.filter(code="jump_host_unreachable", state="queued").count() == 12,
        within=20,
        what="twelve codes",
    )
    assert (mute.accepted, mute.most_open) == (12, 3)


def test_a_stop_gives_back_the_bells_of_those_who_wait(
    mute: Mute, start: Start, make_dispatcher: MakeDispatcher
) -> None:
    dead = JumpHost.objects.create(
        name="dead", address=BASTION, port=mute.port, login="portal", host_keys=JUMP_HOST_KEY
    )
    far = make_behind(dead, 10)
    start(*[Site(each, None, None) for each in far])  # type: ignore[arg-type]  # nothing is behind them
    Container.objects.update(rung=Now())
    line = make_dispatcher(places=20, per_jump_host=2)
    for each in far:
        line.ring([each.pk])
    wait_until(lambda: mute.open == 2, within=120, what="two dials")
    visit.stopping.set()
    line.close()
    assert Container.objects.filter(rung=None).count() == 10


@pytest.fixture(autouse=True)
def _close_connections() -> Iterator[None]:
    yield
    connections.close_all()
