"""The proxy does to a connection what the suite's faults say it does."""

import gc
import socket
import threading
import warnings
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.chaos.proxy import NEW_KEYS, Loop, Proxy
from tests.services.waiting import free_port, wait_until

WITHIN = 10.0


@pytest.fixture
def echo() -> Iterator[tuple[str, int]]:
    """A server that sends back what it gets."""
    listener = socket.create_server(("127.0.0.1", 0))

    def answer(peer: socket.socket) -> None:
        with peer, suppress(OSError):
            while data := peer.recv(4096):
                peer.sendall(data)

    def serve() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(WITHIN)


@pytest.fixture
def proxy(echo: tuple[str, int]) -> Iterator[Proxy]:
    loop = Loop()
    proxy = Proxy(loop, host="127.0.0.1", port=free_port(), server=echo)
    proxy.listen()
    yield proxy
    proxy.close()
    loop.close()
    # What was accepted while its loop ended, asyncio leaves to the collector.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def client(proxy: Proxy) -> Iterator[socket.socket]:
    with socket.create_connection((proxy.host, proxy.port), timeout=WITHIN) as client:
        client.sendall(b"hello")
        assert client.recv(100) == b"hello"
        yield client


def test_what_was_held_goes_out_once_it_may(proxy: Proxy, client: socket.socket) -> None:
    proxy.set("hold", ("in",))
    client.sendall(b"later")
    wait_until(lambda: proxy.held("in") == 5, within=WITHIN, what="the held bytes")
    assert proxy.passed("in") == 5
    proxy.heal()
    assert client.recv(100) == b"later"


def test_what_was_swallowed_never_arrives(proxy: Proxy, client: socket.socket) -> None:
    proxy.set("drop", ("out",))
    client.sendall(b"lost")
    wait_until(lambda: proxy.passed("in") == 9, within=WITHIN, what="the way there")
    client.settimeout(0.3)
    with pytest.raises(TimeoutError):
        client.recv(100)


def test_a_reset_is_no_farewell(proxy: Proxy, client: socket.socket) -> None:
    proxy.reset()
    with pytest.raises(ConnectionResetError):
        client.recv(100)


def test_a_refusing_proxy_listens_again(proxy: Proxy, client: socket.socket) -> None:
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((proxy.host, proxy.port), timeout=WITHIN)
    proxy.heal()
    socket.create_connection((proxy.host, proxy.port), timeout=WITHIN).close()


def test_a_drip_comes_byte_by_byte(proxy: Proxy, client: socket.socket) -> None:
    proxy.set("drip", ("out",))
    client.sendall(b"slowly")
    assert client.recv(100) == b"s"
    proxy.heal()
    rest = b""
    while rest != b"lowly":
        rest += client.recv(100)


def test_a_new_connection_can_be_held_after_its_key_exchange(proxy: Proxy) -> None:
    proxy.set_entry("pass", ("in",), after_keys=True)
    with socket.create_connection((proxy.host, proxy.port), timeout=WITHIN) as client:
        packet = NEW_KEYS + bytes(10)
        client.sendall(packet)
        assert client.recv(100) == packet
        client.sendall(b"login")
        wait_until(lambda: proxy.held("in") == 5, within=WITHIN, what="the held bytes")


def test_the_second_of_two_pieces_can_be_held(proxy: Proxy, client: socket.socket) -> None:
    proxy.hold_after_pieces(1)
    client.sendall(b"first")
    assert client.recv(100) == b"first"
    client.sendall(b"\n")
    wait_until(lambda: proxy.held("in") == 1, within=WITHIN, what="the held byte")
