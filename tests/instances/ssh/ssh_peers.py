"""Servers that do not behave, each in its own way."""

import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from operator import le
from pathlib import Path

import paramiko

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
        within=120,
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


def endless_lines(sock: socket.socket, over: threading.Event) -> None:
    while not over.is_set():
        sock.sendall(b"Authorized users only.\r\n" * 200)


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


def lets_through(port: int, times: int) -> Behaviour:
    """Leads so many connections to a server on another port, and drops all later ones."""
    connections: list[socket.socket] = []

    def behave(sock: socket.socket, over: threading.Event) -> None:
        connections.append(sock)
        if len(connections) > times:
            return
        with socket.create_connection(("127.0.0.1", port)) as behind:
            pass_on(sock, behind, over.is_set)

    return behave


def pass_on(one: socket.socket, other: socket.socket, is_over: Callable[[], bool]) -> None:
    while not is_over():
        for ready in select.select([one, other], [], [], 0.1)[0]:
            data = ready.recv(65536)
            if not data:
                return
            (other if ready is one else one).sendall(data)


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


def server(kind: Callable[[threading.Event], Server]) -> Behaviour:
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


def run(connection: ssh.Connection, limit: float) -> bytes:
    return connection.talk("true").read_to_end(limit)


@contextmanager
def ended_in_time(seconds: float) -> Iterator[None]:
    started = time.monotonic()
    yield
    assert time.monotonic() - started < seconds


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def wait_for_count(before: tuple[int, int]) -> None:
    """No more threads and descriptors than before; the peer's own transports end a moment later.

    There may be fewer: what earlier tests left to the garbage collector is closed at any time.
    """

    def now() -> tuple[int, int]:
        return threading.active_count(), descriptors()

    wait_until(
        lambda: all(map(le, now(), before)),
        within=120,
        what="an empty table",
        hint=lambda: f"threads and descriptors: {now()}, before: {before}",
    )
