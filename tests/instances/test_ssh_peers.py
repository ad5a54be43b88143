"""Servers that do not behave: every conversation with them ends in time, and leaves nothing behind."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import paramiko
import pytest

from instances import ssh
from tests.services.waiting import wait_until

POLICY = ssh.AddressPolicy(allow_loopback=True)
SHORT = ssh.Deadlines(resolve=1, connect=1, negotiate=0.5, login=0.5, channel=0.5, send=0.5)
SERVER_KEY = ssh.load_private_key(ssh.generate_private_key())
CLIENT_KEY = ssh.load_private_key(ssh.generate_private_key())
BANNER = b"SSH-2.0-OpenSSH_9.2p1\r\n"

Behaviour = Callable[[socket.socket, threading.Event], None]


@contextmanager
def peer(behaviour: Behaviour) -> Iterator[int]:
    """A server on a free port that treats every connection in this way until the test is over."""
    over = threading.Event()

    def treat(sock: socket.socket) -> None:
        with sock, suppress(OSError, EOFError, paramiko.SSHException):
            behaviour(sock, over)

    def serve() -> None:
        while True:
            sock, _ = server.accept()
            if over.is_set():
                sock.close()
                return
            treating.append(threading.Thread(target=treat, args=(sock,)))
            treating[-1].start()

    treating: list[threading.Thread] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        serving = threading.Thread(target=serve)
        serving.start()
        port = server.getsockname()[1]
        try:
            yield port
        finally:
            over.set()
            socket.create_connection(("127.0.0.1", port)).close()
            for thread in (serving, *treating):
                thread.join()


def connect(port: int, tick: ssh.Tick = lambda: None, deadlines: ssh.Deadlines = SHORT) -> ssh.Connection:
    pinned = f"{SERVER_KEY.get_name()} {SERVER_KEY.get_base64()}"
    target = ssh.Target("127.0.0.1", port, "neolane", (pinned,))
    return ssh.Connection.open(target, key=CLIENT_KEY, policy=POLICY, deadlines=deadlines, tick=tick)


@contextmanager
def nothing_left(within: float) -> Iterator[None]:
    """What happens inside is over in time, and no thread or descriptor stays."""
    before = set(threading.enumerate())
    started = time.monotonic()
    yield
    assert time.monotonic() - started < within
    # The peer's own threads are not ours; a cancelled timer takes a moment to end.
    wait_until(
        lambda: all("treat" in thread.name for thread in set(threading.enumerate()) - before),
        within=1,
        what="our threads to end",
    )


def silent(sock: socket.socket, over: threading.Event) -> None:
    over.wait()


def drips_a_banner(sock: socket.socket, over: threading.Event) -> None:
    while not over.wait(0.05):
        sock.sendall(b"x")


def floods_a_banner(sock: socket.socket, over: threading.Event) -> None:
    while not over.is_set():
        sock.sendall(b"x" * 65536)


def banner_lines(sock: socket.socket, over: threading.Event) -> None:
    while not over.wait(0.05):
        sock.sendall(b"Please wait\r\n")


def banner_only(sock: socket.socket, over: threading.Event) -> None:
    sock.sendall(BANNER)
    over.wait()


def huge_packet(sock: socket.socket, over: threading.Event) -> None:
    sock.sendall(BANNER + b"\x7f\xff\xff\xff")
    while not over.is_set():
        sock.sendall(b"\0" * 65536)


def web_server(sock: socket.socket, over: threading.Event) -> None:
    sock.sendall(b"HTTP/1.1 400 Bad Request\r\n" + b"\r\n" * 120)
    over.wait(0.3)


def hangs_up(sock: socket.socket, over: threading.Event) -> None:
    pass


def hangs_up_after_banner(sock: socket.socket, over: threading.Event) -> None:
    sock.sendall(BANNER)
    sock.recv(10000)


def too_many(sock: socket.socket, over: threading.Event) -> None:
    sock.sendall(b"Exceeded MaxStartups\r\n")


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [
        (silent, ssh.TimedOut),
        (drips_a_banner, ssh.TimedOut),
        (floods_a_banner, ssh.ConnectionLost),
        (banner_lines, ssh.TimedOut),
        (banner_only, ssh.TimedOut),
        (huge_packet, ssh.ConnectionLost),
        (web_server, ssh.ConnectionRefused),
        (hangs_up, ssh.ConnectionLost),
        (hangs_up_after_banner, ssh.ConnectionLost),
        (too_many, ssh.ConnectionLost),
    ],
)
def test_a_peer_that_does_not_negotiate(behaviour: Behaviour, error: type[ssh.SSHError]) -> None:
    with peer(behaviour) as port, nothing_left(within=2):
        with pytest.raises(error) as caught:
            connect(port)
        assert type(caught.value) is error


@pytest.mark.parametrize("behaviour", [silent, floods_a_banner, huge_packet])
def test_a_scan_of_a_peer_that_does_not_negotiate(behaviour: Behaviour) -> None:
    with peer(behaviour) as port, nothing_left(within=2), pytest.raises(ssh.SSHError):
        ssh.scan("127.0.0.1", port, policy=POLICY, deadlines=SHORT)


class Server(paramiko.ServerInterface):
    """Lets everybody in, and starts every command; subclasses misbehave at one point."""

    def __init__(self, over: threading.Event) -> None:
        self.over = over
        self.channel: paramiko.Channel | None = None
        self.running = threading.Event()

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        return paramiko.common.AUTH_SUCCESSFUL

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.common.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        self.channel = channel
        self.running.set()
        return True

    def speak(self, channel: paramiko.Channel) -> None:
        self.over.wait()


class NeverAuthenticates(Server):
    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        self.over.wait()
        return paramiko.common.AUTH_FAILED


class RefusesAuthentication(Server):
    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        return paramiko.common.AUTH_FAILED


class WantsMore(Server):
    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        return paramiko.common.AUTH_PARTIALLY_SUCCESSFUL


class WantsPasswords(RefusesAuthentication):
    def get_allowed_auths(self, username: str) -> str:
        return "password"


class NeverOpens(Server):
    def check_channel_request(self, kind: str, chanid: int) -> int:
        self.over.wait()
        return paramiko.common.OPEN_SUCCEEDED


class NeverStarts(Server):
    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        self.over.wait()
        return True


class RefusesToStart(Server):
    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        return False


class SpeaksThenStops(Server):
    def speak(self, channel: paramiko.Channel) -> None:
        channel.sendall(b"half a li")
        self.over.wait()


class Drips(Server):
    def speak(self, channel: paramiko.Channel) -> None:
        while not self.over.wait(0.1):
            channel.sendall(b".")


class Floods(Server):
    def speak(self, channel: paramiko.Channel) -> None:
        while not self.over.is_set():
            channel.sendall(b"no newline " * 3000)


class HangsUp(Server):
    def speak(self, channel: paramiko.Channel) -> None:
        channel.get_transport().close()


class EndsWithoutStatus(Server):
    def speak(self, channel: paramiko.Channel) -> None:
        channel.sendall(b"bye\n")
        channel.close()
        self.over.wait()


def server(kind: type[Server]) -> Behaviour:
    def behave(sock: socket.socket, over: threading.Event) -> None:
        interface = kind(over)
        transport = paramiko.Transport(sock)
        transport.add_server_key(SERVER_KEY)
        transport.start_server(threading.Event(), interface)
        while not (interface.running.wait(0.02) or over.is_set()):
            pass
        if interface.channel:
            interface.speak(interface.channel)
        over.wait()
        transport.close()

    return behave


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        (NeverAuthenticates, ssh.TimedOut),
        (RefusesAuthentication, ssh.LoginRefused),
        (WantsMore, ssh.LoginRefused),
        (WantsPasswords, ssh.LoginRefused),
    ],
)
def test_a_server_that_does_not_let_in(kind: type[Server], error: type[ssh.SSHError]) -> None:
    with peer(server(kind)) as port, ended_in_time(2), pytest.raises(error):
        connect(port)


@pytest.mark.parametrize(
    ("kind", "error"),
    [(NeverOpens, ssh.TimedOut), (NeverStarts, ssh.TimedOut), (RefusesToStart, ssh.CommandRefused)],
)
def test_a_server_that_does_not_start_the_command(kind: type[Server], error: type[ssh.SSHError]) -> None:
    with peer(server(kind)) as port, connect(port) as connection, ended_in_time(2), pytest.raises(error):
        connection.talk("true")


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        (Server, ssh.TimedOut),
        (SpeaksThenStops, ssh.TimedOut),
        (Drips, ssh.TimedOut),
        (Floods, ssh.TooMuchOutput),
        (HangsUp, ssh.ConnectionLost),
    ],
)
def test_a_server_that_does_not_come_to_an_end(kind: type[Server], error: type[ssh.SSHError]) -> None:
    limit = 10 if kind is Floods else 0.5
    with (
        peer(server(kind)) as port,
        connect(port) as connection,
        ended_in_time(limit + 1),
        pytest.raises(error),
    ):
        run(connection, limit)


def run(connection: ssh.Connection, limit: float) -> bytes:
    return connection.talk("true").read_to_end(limit)


def test_an_end_without_a_status_is_told_as_such() -> None:
    with peer(server(EndsWithoutStatus)) as port, connect(port) as connection:
        talk = connection.talk("true")
        assert talk.read_to_end(5) == b"bye\n"
        assert talk.exit_status(5) is None


@contextmanager
def ended_in_time(seconds: float) -> Iterator[None]:
    started = time.monotonic()
    yield
    assert time.monotonic() - started < seconds


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize(
    "behaviour", [silent, banner_only, hangs_up, server(NeverAuthenticates), server(RefusesAuthentication)]
)
def test_no_thread_and_no_descriptor_stays(behaviour: Behaviour) -> None:
    before = threading.active_count(), descriptors()
    with peer(behaviour) as port:
        for _ in range(2):
            with pytest.raises(ssh.SSHError):
                connect(port)
    wait_for_count(before)


def wait_for_count(before: tuple[int, int]) -> None:
    """The peer's own transports end a moment later."""
    wait_until(lambda: (threading.active_count(), descriptors()) == before, within=3, what="an empty table")


@pytest.mark.parametrize("behaviour", [silent, server(NeverAuthenticates)])
def test_a_tick_can_end_a_wait_for_a_connection(behaviour: Behaviour) -> None:
    def tick() -> None:
        raise InterruptedError

    with peer(behaviour) as port, ended_in_time(3), pytest.raises(InterruptedError):
        connect(port, tick, ssh.Deadlines())


class TestExcerpt:
    def test_short_output_stays_whole(self) -> None:
        excerpt = ssh.Excerpt()
        excerpt.add(b"a\n")
        excerpt.add(b"b\n")
        assert excerpt.text() == b"a\nb\n"

    def test_what_just_fits_stays_whole(self) -> None:
        excerpt = ssh.Excerpt(head_limit=10, tail_limit=10)
        excerpt.add(b"x" * 20)
        assert excerpt.text() == b"x" * 20

    def test_memory_stays_bounded(self) -> None:
        excerpt = ssh.Excerpt(head_limit=10, tail_limit=10)
        for _ in range(1000):
            excerpt.add(b"01 234 678")
        assert excerpt.text() == b"01 234 \n[...]\n 234 678"
        assert len(excerpt._head) + len(excerpt._tail) == 20

    @pytest.mark.parametrize("blank", [b" ", b"\n", b"."])
    def test_a_secret_is_whole_or_gone(self, blank: bytes) -> None:
        for position in range(60):
            excerpt = ssh.Excerpt(head_limit=18, tail_limit=18)
            excerpt.add(b"log:" + blank * position + b"SECRET" + blank * (60 - position))
            text = excerpt.text()
            assert b"SECRET" in text or not set(text) & set(b"SECRET")
