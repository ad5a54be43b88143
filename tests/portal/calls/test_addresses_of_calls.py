"""Calls under the rules of addresses: what may not be contacted never is, whatever a name says."""

import ipaddress
import socket
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from portal.calls import http
from portal.calls.addresses import AddressRules
from portal.calls.http import Failure, NoAnswer, Route

HERE = Route(rules=AddressRules(allow_loopback=True))
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


@pytest.fixture
def contacted() -> Iterator[tuple[int, list[bytes]]]:
    """A server on 127.0.0.1: its port, and what each connection sent."""
    heard: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:  # closed
                return
            with closing(peer):
                heard.append(peer.recv(65536))
                peer.sendall(ANSWER)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1], heard
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(10)


def answers(monkeypatch: pytest.MonkeyPatch, *lookups: list[str]) -> list[str]:
    """Let the name `hooks.example.com` lead to these addresses, to other ones each time it is asked."""
    asked: list[str] = []
    real, left = socket.getaddrinfo, list(lookups)

    def lookup(host: str, port: int, *args: object, **kwargs: object) -> object:
        if host != "hooks.example.com":
            return real(host, port, *args, **kwargs)  # type: ignore[arg-type]  # as it came
        asked.append(host)
        found = left.pop(0) if len(left) > 1 else left[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    return asked


def failure(url: str, route: Route = HERE) -> Failure:
    with pytest.raises(NoAnswer) as caught:
        http.call("POST", url, route, content=b"{}")
    return caught.value.failure


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "169.254.169.254", "::ffff:10.0.0.1", "0.0.0.0", "::1", "fe80::1", "224.0.0.1"]
)
def test_a_name_that_leads_inside_is_not_contacted(
    monkeypatch: pytest.MonkeyPatch, contacted: tuple[int, list[bytes]], address: str
) -> None:
    answers(monkeypatch, [address])
    port, heard = contacted
    found = failure(f"http://hooks.example.com:{port}/", Route(rules=AddressRules()))
    assert (found, heard) == (Failure.ADDRESS_NOT_ALLOWED, [])


@pytest.mark.parametrize("host", ["127.0.0.1", "169.254.169.254", "[::ffff:10.0.0.1]", "2130706433", "0"])
def test_an_address_in_the_url_is_judged_too(contacted: tuple[int, list[bytes]], host: str) -> None:
    port, heard = contacted
    found = failure(f"http://{host}:{port}/", Route(rules=AddressRules()))
    assert (found, heard) == (Failure.ADDRESS_NOT_ALLOWED, [])


def test_one_forbidden_address_spoils_the_name(
    monkeypatch: pytest.MonkeyPatch, contacted: tuple[int, list[bytes]]
) -> None:
    answers(monkeypatch, ["127.0.0.1", "169.254.169.254"])
    assert failure(f"http://hooks.example.com:{contacted[0]}/") == Failure.ADDRESS_NOT_ALLOWED
    assert contacted[1] == []


def test_an_address_outside_the_networks_is_not_contacted(contacted: tuple[int, list[bytes]]) -> None:
    rules = AddressRules(allow_loopback=True, networks=(ipaddress.ip_network("10.0.0.0/8"),))
    assert failure(f"http://127.0.0.1:{contacted[0]}/", Route(rules=rules)) == Failure.ADDRESS_NOT_ALLOWED
    assert contacted[1] == []


def test_the_judged_address_is_the_one_connected_to(
    monkeypatch: pytest.MonkeyPatch, contacted: tuple[int, list[bytes]]
) -> None:
    """A name that answers differently the second time is asked only once."""
    asked = answers(monkeypatch, ["127.0.0.1"], ["169.254.169.254"])
    port, heard = contacted
    answer = http.call("POST", f"http://hooks.example.com:{port}/x", HERE, content=b"{}")
    assert (answer.status, answer.body) == (200, b"ok")
    assert asked == ["hooks.example.com"]
    assert f"Host: hooks.example.com:{port}".encode() in heard[0]


def test_a_name_that_is_not_found_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def lookup(*args: object, **kwargs: object) -> object:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    assert failure("https://hooks.example.com/") == Failure.NAME_NOT_FOUND
