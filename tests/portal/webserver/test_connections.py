"""The web server with a small application: phases that end, bodies that are bounded, an order of stopping."""

import contextlib
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from django.http import HttpResponse

from portal.web import tickets
from portal.web.request_shape import REFUSED
from portal.web.tickets import Ticket
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
        self._is_stopping = False
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
        if environ["PATH_INFO"] == "/file/":
            raise FileNotFoundError("gone")
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

    @contextlib.contextmanager
    def halted(self) -> Iterator[None]:
        """Hold the loop between two looks at its connections: it finds at once what the block has done."""
        is_halted, may_go_on = threading.Event(), threading.Event()

        def halt() -> None:
            is_halted.set()
            may_go_on.wait(60)

        self.server.trigger.pull_trigger(halt)
        assert is_halted.wait(60)
        try:
            yield
        finally:
            may_go_on.set()

    def stop(self, *, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Stop it once, as a signal does: while the loop stands still, which may be over before otherwise."""
        if not self._is_stopping:
            with self.halted():
                self._is_stopping = True
                meanwhile()
                self.server.stop()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    monkeypatch.setattr("portal.webserver.limits.RECYCLED_MEGABYTES", 10_000)  # the tests' own process grows
    running = Running()
    yield running
    running.may_end.set()
    running.stop()
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


def only_channel(server: Running) -> tuple[int, connections.Connection]:
    """Return the only connection, once it is there, with its descriptor."""
    wait_until(lambda: server.connected() == 1, within=60, what="a connection")
    [(descriptor, channel)] = server.server.active_channels.items()
    return descriptor, channel


@contextlib.contextmanager
def next_descriptor(number: int) -> Iterator[None]:
    """Take all that are free below, so that this one is the next to be given out once it is closed."""
    with contextlib.ExitStack() as stack:
        while (taken := os.dup(1)) < number:
            stack.callback(os.close, taken)
        os.close(taken)
        yield


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@pytest.mark.parametrize("reason", ["slow", "for others"])
def test_who_comes_as_another_one_is_closed_is_not_taken_for_it(
    server: Running, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    with socket.socket() as new, connect(server.port) as old, contextlib.ExitStack() as stack:
        old.sendall(b"GET / HTT")
        descriptor, channel = only_channel(server)
        wait_until(lambda: channel.phase == "head", within=60, what="a half-sent request")
        with server.halted():
            if reason == "slow":
                channel.look(time.monotonic())
                channel.began -= 1000
                server.server.next_channel_cleanup = 0
                server.server.next_look = time.monotonic() + 1
            else:
                monkeypatch.setattr(limits, "CONNECTIONS", 1)
                reset(old)
            stack.enter_context(next_descriptor(descriptor))
            new.connect(("127.0.0.1", server.port))
            new.sendall(request())
        assert read(new).status == 200
        wait_until(lambda: not server.connected(), within=60, what="the end of the old one")


def test_who_has_just_come_stays_when_others_have_to_go(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CONNECTIONS", 10)
    with held_open(server.port, [b"GET / HTT"] * 9):
        wait_until(lambda: server.connected() == 9, within=60, what="nine that are slow")
        with server.halted():
            server.server.maintain(time.monotonic())
            server.server.next_look = float("inf")  # nobody is looked at from here on
        with connect(server.port) as young, connect(server.port):
            wait_until(lambda: server.server.closed["for others"], within=60, what="room for the last one")
            young.sendall(request())
            assert read(young).status == 200


def test_who_has_just_come_stays_when_nobody_else_can_go(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CONNECTIONS", 1)
    with connect(server.port) as working:
        working.sendall(request("GET /wait/"))
        wait_until(lambda: server.asked, within=60, what="a request at work")
        assert ask(server.port, request()).status == 200
        server.may_end.set()
        assert read(working).status == 200


def test_the_idle_time_begins_anew_with_each_answer(server: Running) -> None:
    with connect(server.port) as connection:
        _, channel = only_channel(server)
        server.server.next_look = float("inf")
        for number in range(3):
            connection.sendall(request(headers={"Connection": "keep-alive"}))
            while not connection.recv(1000).endswith(b"ok"):
                pass
            wait_until(lambda: channel.phase == "idle", within=60, what="an idle connection")
            with server.halted():
                channel.look(time.monotonic() + number * 0.9 * limits.IDLE_SECONDS)
            assert channel.connected
        with server.halted():
            channel.look(time.monotonic() + 3 * limits.IDLE_SECONDS)
        assert read(connection).status == 0


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


@pytest.mark.parametrize("path", ["/fail/", "/file/"])
def test_an_application_that_fails_is_answered_for(
    server: Running, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    assert ask(server.port, request(f"GET {path}")).status == 500
    assert f"Exception while serving {path}" in caplog.messages
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
        server.stop()
        wait_until(ended(half), within=60, what="the end of the half-sent one")
        assert server.thread.is_alive()
        server.may_end.set()
        assert read(waiting).body == b"ok"
    server.thread.join(60)
    with pytest.raises(ConnectionRefusedError):
        connect(server.port)


def test_a_request_that_has_come_when_the_server_is_stopped_is_answered(server: Running) -> None:
    with connect(server.port) as connection:
        only_channel(server)
        server.stop(meanwhile=lambda: connection.sendall(request()))
        assert read(connection).status == 200


def test_the_page_of_a_refusal_may_fail(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> Environ:
        raise RuntimeError("broken")

    monkeypatch.setattr(connections, "Misfit", fail)
    assert ask(server.port, b"nonsense\r\n\r\n").status == 500
