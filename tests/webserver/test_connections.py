"""The web server with a small application: phases that end, bodies that are bounded, an order of stopping."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from django.http import HttpResponse

from portal import tickets
from portal.request_shape import REFUSED
from portal.tickets import Ticket
from portal.webserver import connections, limits
from portal.webserver import requests as incoming
from portal.webserver.connections import Server
from tests.services.waiting import wait_until
from tests.services.wire import Answer, ask, connect, held_open, parsed, read, request

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
Environ = dict[str, Any]


class Running:
    """A server in a thread, and what its application was asked."""

    def __init__(self) -> None:
        self.asked: list[Environ] = []
        self.may_end = threading.Event()
        self.streamed = 0
        self.has_ended_stream = threading.Event()
        listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port: int = listener.getsockname()[1]
        self.server = Server(self._application, listener)
        self.thread = threading.Thread(target=self.server.run)
        self.thread.start()

    def _application(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        self.asked.append(environ | {"body": environ["wsgi.input"].read()})
        problem = environ.get(REFUSED)
        start_response(f"{problem.status} Refused" if problem else "200 OK", [("X-App", "yes")])
        if environ["PATH_INFO"] == "/wait/":
            self.may_end.wait(60)
        if environ["PATH_INFO"] == "/stream/":
            return self._stream()
        if environ["PATH_INFO"] == "/fail/":
            raise RuntimeError("broken")
        return [b"ok"]

    def _stream(self) -> Iterator[bytes]:
        try:
            for _ in range(2000):
                self.streamed += 1
                yield b"x" * 100_000
        finally:
            self.has_ended_stream.set()

    def connected(self) -> int:
        return len(self.server.active_channels)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    monkeypatch.setattr("portal.webserver.limits.RECYCLED_MEGABYTES", 10_000)  # the tests' own process grows
    running = Running()
    yield running
    running.may_end.set()
    running.server.stop()
    running.thread.join(60)
    assert not running.thread.is_alive()


@pytest.fixture
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """All phases that wait for the client last half a second."""
    for phase in connections.SECONDS:
        if phase != "work":
            monkeypatch.setitem(connections.SECONDS, phase, 0.5)


def ended(connection: socket.socket) -> Callable[[], bool]:
    """Say whether the server has closed a connection; take what comes before."""
    connection.setblocking(False)

    def look() -> bool:
        try:
            return connection.recv(1 << 16) == b""
        except BlockingIOError:
            return False
        except ConnectionResetError:
            return True

    return look


@pytest.mark.parametrize(
    ("beginning", "more"),
    [
        (b"", b""),
        (b"GET / HTTP/1.1\r\nX: ", b"y"),
        (request("POST /", FORM | {"Content-Length": "60000"}), b"a"),
        (request("POST /", FORM | {"Transfer-Encoding": "chunked"}) + b"ffff\r\n", b"a"),
        (request(headers={"Connection": "keep-alive"}), b""),
    ],
    ids=["nothing", "headers", "body", "chunk", "idle"],
)
@pytest.mark.usefixtures("_short")
def test_whoever_lets_the_server_wait_is_left_in_the_end(
    server: Running, beginning: bytes, more: bytes
) -> None:
    with connect(server.port) as connection:
        connection.sendall(beginning)
        is_ended = ended(connection)

        def trickle() -> bool:
            with contextlib.suppress(OSError):
                connection.send(more)  # byte after byte is no progress
            return is_ended()

        wait_until(trickle, within=60, what="the end of the connection")
    wait_until(lambda: not server.connected(), within=60, what="nobody connected")


@pytest.mark.usefixtures("_short")
def test_who_takes_an_answer_byte_by_byte_holds_its_thread_not_for_long(server: Running) -> None:
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", server.port))
        connection.sendall(request("GET /stream/"))

        def trickle() -> bool:
            with contextlib.suppress(OSError):
                connection.recv(1)
            return server.has_ended_stream.is_set()

        wait_until(trickle, within=60, what="the end of the stream")
    assert server.streamed < 2000


def test_forty_half_sent_requests_take_no_thread(server: Running) -> None:
    half = [b"GET / HTT", request("POST /", FORM | {"Content-Length": "60000"}) + b"a=b"]
    with held_open(server.port, half * 20):
        assert ask(server.port, request()).body == b"ok"


def test_beyond_the_limit_those_go_that_have_waited_longest(server: Running) -> None:
    with held_open(server.port, [b"GET / HTT"] * (limits.CONNECTIONS + 20)):
        assert ask(server.port, request()).status == 200
        assert server.connected() <= limits.CONNECTIONS


def test_what_comes_behind_an_unanswered_request_is_dropped(server: Running) -> None:
    one = request(headers={"Connection": "keep-alive"})
    answer = ask(server.port, one * 100)
    assert answer.status == 200
    assert len(server.asked) == 1


def test_one_connection_serves_one_request_after_the_other(server: Running) -> None:
    one = request(headers={"Connection": "keep-alive"})
    with connect(server.port) as connection:
        for _ in range(3):
            connection.sendall(one + b"\r\n")  # with the line break of an old browser
            data = b""
            while not data.endswith(b"ok"):
                data += connection.recv(1000)
            assert parsed(data).header("X-App")


def cookie(ticket: Ticket) -> dict[str, str]:
    response = HttpResponse()
    tickets.give(response, ticket)
    return {"Cookie": response.cookies.output(attrs=[], header="").strip()}


def post(server: Running, size: int, headers: dict[str, str] | None = None) -> Answer:
    return ask(server.port, request("POST /", FORM | (headers or {}), b"a" * size))


@pytest.mark.parametrize(
    ("ticket", "limit"),
    [
        (None, limits.STRANGER_BYTES),
        (Ticket.PERSON, limits.PERSON_BYTES),
        (Ticket.IMPORTER, limits.IMPORT_BYTES),
    ],
)
def test_a_body_is_bounded_by_the_ticket(server: Running, ticket: Ticket | None, limit: int) -> None:
    headers = cookie(ticket) if ticket else {}
    assert post(server, limit, headers).status == 200
    assert len(server.asked[-1]["body"]) == limit
    refused = post(server, limit + 1, headers)
    assert (refused.status, refused.header("X-App")) == (413, "yes")  # though all of it was sent
    assert server.asked[-1]["body"] == b""


def test_a_made_up_ticket_is_none(server: Running) -> None:
    genuine = cookie(Ticket.PERSON)["Cookie"]
    for made_up in (
        genuine[:-1] + ("A" if genuine[-1] != "A" else "B"),
        genuine.replace("person", "importer"),
    ):
        assert post(server, limits.STRANGER_BYTES + 1, {"Cookie": made_up}).status == 413


def test_one_large_file_at_a_time(server: Running) -> None:
    size = limits.PERSON_BYTES + 1
    headers = cookie(Ticket.IMPORTER)
    beginning = request("POST /", FORM | headers | {"Content-Length": str(size)})
    with held_open(server.port, [beginning]):
        wait_until(
            lambda: incoming.places.taken[Ticket.IMPORTER] == 1, within=60, what="the first one's place"
        )
        assert post(server, size, headers).status == 503
    wait_until(lambda: incoming.places.taken[Ticket.IMPORTER] == 0, within=60, what="the place given back")
    assert post(server, size, headers).status == 200
    wait_until(lambda: incoming.places.taken[Ticket.IMPORTER] == 0, within=60, what="the place given back")


@pytest.mark.parametrize(
    "data",
    [
        request("POST /", FORM | {"Content-Length": "9" * 5000}),
        request("POST /", FORM | {"Content-Length": "5", "content-length": "6"}, b"abcdef"),
        request("POST /", FORM | {"Content-Length": "5", "Transfer-Encoding": "chunked"}, b"0\r\n\r\n"),
        request("POST /", FORM | {"Transfer-Encoding": "gzip"}),
        request("POST /", FORM | {"Transfer-Encoding": "chunked"}, b"xyz\r\n\r\n"),
        request("GET http://[/"),
        request("GET /\xff\x00"),
        b"\x16\x03\x01\r\n\r\n",
        b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
    ids=[
        "digits",
        "two lengths",
        "length and chunks",
        "gzip",
        "chunk",
        "address",
        "NUL",
        "TLS",
        "old chunks",
    ],
)
def test_what_is_no_http_gets_the_applications_page(
    server: Running, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    answer = ask(server.port, data)
    assert (answer.status, answer.header("X-App")) == (400, "yes")
    assert not caplog.records


def test_headers_without_an_end_are_cut(server: Running) -> None:
    assert ask(server.port, request(headers={"X": "y" * limits.HEAD_BYTES})).status == 431


def test_a_client_that_waits_to_be_told_is_refused_before_it_sends(server: Running) -> None:
    headers = FORM | {"Expect": "100-continue", "Content-Length": "20000000"}
    assert ask(server.port, request("POST /", headers)).status == 413


def test_a_length_that_lies_ends_where_it_says(server: Running) -> None:
    assert (
        ask(server.port, request("POST /", FORM | {"Content-Length": "5"}, b"a=b&c" + b"d" * 10_000)).status
        == 200
    )
    assert [each["body"] for each in server.asked] == [b"a=b&c"]


def test_an_application_that_fails_is_answered_for(server: Running, caplog: pytest.LogCaptureFixture) -> None:
    assert ask(server.port, request("GET /fail/")).status == 500
    assert ask(server.port, request()).status == 200
    caplog.clear()


def test_what_proxies_say_reaches_the_application(server: Running) -> None:
    ask(server.port, request(headers={"X-Forwarded-For": "198.51.100.1", "X_Forwarded_For": "10.0.0.1"}))
    assert server.asked[0]["HTTP_X_FORWARDED_FOR"] == "198.51.100.1"
    assert server.asked[0]["REMOTE_ADDR"] == "127.0.0.1"


def test_a_stop_lets_what_is_answered_end_and_nobody_else_wait(server: Running) -> None:
    with connect(server.port) as waiting, held_open(server.port, [b"GET / HTT"]) as [half]:
        waiting.sendall(request("GET /wait/"))
        wait_until(lambda: server.asked, within=60, what="a request at work")
        server.server.stop()
        wait_until(ended(half), within=60, what="the end of the half-sent one")
        assert server.thread.is_alive()
        server.may_end.set()
        assert read(waiting).body == b"ok"
    server.thread.join(60)
    with pytest.raises(ConnectionRefusedError):
        connect(server.port)


def test_the_page_of_a_refusal_may_fail(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> Environ:
        raise RuntimeError("broken")

    monkeypatch.setattr(connections, "Misfit", fail)
    assert ask(server.port, b"nonsense\r\n\r\n").status == 500
