"""Which addresses may be contacted, and names that lead to them."""

import errno
import socket
import threading
import time
from collections.abc import Iterator
from ipaddress import ip_network

import pytest

from instances import ssh
from instances.ssh import dials, waits

OPEN = ssh.AddressPolicy(allow_loopback=True)


def clock(seconds: float) -> waits.Clock:
    return waits.Clock(seconds, waits.Pulse(lambda: None))


@pytest.mark.parametrize("address", ["10.1.2.3", "192.0.2.1", "8.8.8.8", "2a00:1450::1", "fd00::1"])
def test_an_ordinary_address_is_allowed_everywhere(address: str) -> None:
    assert ssh.AddressPolicy().vet([address], 22) == [address]


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "0.0.0.1",
        "169.254.169.254",
        "224.0.0.1",
        "255.255.255.255",
        "240.0.0.1",
        "::",
        "fe80::1",
        "fe80::1%eth0",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.1.2.3",
        "::127.0.0.1",
        "2002:7f00:1::",
        "2001:0:7f00:1::",
    ],
)
def test_what_is_never_a_container_is_refused_whatever_the_settings(address: str) -> None:
    with pytest.raises(ssh.AddressNotAllowed):
        OPEN.vet([address], 22)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.255.0.9", "::1"])
def test_loopback_needs_permission(address: str) -> None:
    assert OPEN.vet([address], 22) == [address]
    with pytest.raises(ssh.AddressNotAllowed):
        ssh.AddressPolicy().vet([address], 22)


def test_only_addresses_inside_the_networks_are_left() -> None:
    policy = ssh.AddressPolicy(networks=(ip_network("10.0.0.0/8"), ip_network("fd00::/8")))
    assert policy.vet(["192.0.2.1", "10.1.1.1", "fd00::5"], 22) == ["10.1.1.1", "fd00::5"]
    with pytest.raises(ssh.AddressNotAllowed):
        policy.vet(["192.0.2.1"], 22)


def test_a_name_that_also_leads_to_this_machine_is_refused_as_a_whole() -> None:
    with pytest.raises(ssh.AddressNotAllowed):
        ssh.AddressPolicy().vet(["10.1.1.1", "127.0.0.1"], 22)


def test_only_the_listed_ports_are_contacted() -> None:
    policy = ssh.AddressPolicy(ports=frozenset({22}))
    assert policy.vet(["10.1.1.1"], 22)
    with pytest.raises(ssh.AddressNotAllowed):
        policy.vet(["10.1.1.1"], 6379)


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "127.1", "localhost"])
def test_other_spellings_of_loopback_are_resolved_before_they_are_vetted(host: str) -> None:
    with pytest.raises(ssh.AddressNotAllowed):
        ssh.AddressPolicy().vet(ssh.resolve(host, 22, clock(5)), 22)


@pytest.mark.parametrize("host", ["", "-oProxyCommand=id", "no-such-host.invalid", "a\0b", "é" * 300, "a..b"])
def test_what_is_no_host_name_is_not_resolved(host: str) -> None:
    with pytest.raises(ssh.NameNotResolved):
        ssh.resolve(host, 22, clock(5))


def test_an_address_is_not_looked_up() -> None:
    def lookup(host: str, port: int) -> list[str]:
        raise AssertionError(host)

    assert ssh.resolve("127.0.0.1", 22, clock(5), lookup) == ["127.0.0.1"]


def test_doubles_are_left_out_and_many_addresses_are_cut() -> None:
    def lookup(host: str, port: int) -> list[str]:
        return ["10.0.0.1", "10.0.0.1", *(f"10.0.1.{number}" for number in range(99))]

    found = ssh.resolve("host", 22, clock(5), lookup)
    assert found[:2] == ["10.0.0.1", "10.0.1.0"]
    assert len(found) == ssh.ADDRESS_TRIES


def test_a_resolver_that_does_not_answer_has_an_end() -> None:
    answer = threading.Event()

    def lookup(host: str, port: int) -> list[str]:
        answer.wait(60)
        return []

    started = time.monotonic()
    with pytest.raises(ssh.NameNotResolved):
        ssh.resolve("host", 22, clock(0.2), lookup)
    assert time.monotonic() - started < 15
    answer.set()


@pytest.fixture
def full_port() -> Iterator[int]:
    """A port whose queue is full, so that the kernel answers no connection."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        port = server.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        yield port
        for filler in fillers:
            filler.close()


def test_connecting_has_an_end(full_port: int) -> None:
    started = time.monotonic()
    with pytest.raises(ssh.TimedOut):
        ssh.scan("127.0.0.1", full_port, policy=OPEN, deadlines=ssh.Deadlines(connect=0.3))
    assert time.monotonic() - started < 15


def test_a_second_address_is_tried() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        sock = dials.connect(
            ["127.0.0.2", "127.0.0.1"], port, ssh.Deadlines(connect=2), waits.Pulse(lambda: None)
        )
        assert sock.getpeername() == ("127.0.0.1", port)
        sock.close()


def without(monkeypatch: pytest.MonkeyPatch, family: int, number: int) -> None:
    """Have this machine refuse to make sockets of a family."""

    class Refusing(dials.MeteredSocket):
        def __init__(self, *args: int) -> None:
            if args[0] == family:
                raise OSError(number, "refused")
            super().__init__(*args)

    monkeypatch.setattr(dials, "MeteredSocket", Refusing)


def test_an_address_that_this_machine_cannot_use_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, socket.AF_INET6, errno.EAFNOSUPPORT)
    with pytest.raises(ssh.HostUnreachable):
        ssh.scan("fd00::1", 22, policy=OPEN)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        limits, pulse = ssh.Deadlines(connect=2), waits.Pulse(lambda: None)
        dials.connect(["fd00::1", "127.0.0.1"], port, limits, pulse).close()  # the next one is tried


def test_a_machine_without_a_descriptor_left_does_not_blame_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    without(monkeypatch, socket.AF_INET, errno.EMFILE)
    with pytest.raises(OSError, match="refused"):
        ssh.scan("127.0.0.1", 22, policy=OPEN)


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (errno.ECONNREFUSED, ssh.ConnectionRefused),
        (errno.EHOSTUNREACH, ssh.HostUnreachable),
        (errno.ENETUNREACH, ssh.HostUnreachable),
        (errno.ETIMEDOUT, ssh.TimedOut),
    ],
)
def test_what_the_kernel_says_becomes_a_code(number: int, error: type[ssh.SSHError]) -> None:
    with pytest.raises(error):
        dials._raise_for(number)


def test_a_port_where_nobody_listens_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(ssh.ConnectionRefused):
        ssh.scan("127.0.0.1", port, policy=OPEN)


def test_the_policy_is_asked_before_anything_is_contacted() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        with pytest.raises(ssh.AddressNotAllowed):
            ssh.scan("127.0.0.1", server.getsockname()[1], policy=ssh.AddressPolicy())
        with pytest.raises(BlockingIOError):
            server.accept()
