"""Connecting: one host in a thread that waits, or thousands in one that does not."""

import contextlib
import errno
import select
import socket
import time
from collections.abc import Sequence
from typing import Self

from instances.ssh import greeting
from instances.ssh.addresses import AddressPolicy, resolve
from instances.ssh.errors import ConnectionRefused, HostUnreachable, Silent, SSHError, TimedOut
from instances.ssh.waits import TICK_SECONDS, Clock, Deadlines, Pulse

NEGOTIATION_WIRE_LIMIT = 256 * 1024
OUR_GREETING = b"SSH-2.0-portal\r\n"
ANSWER_SECONDS = 2
"""How long somebody who said nothing may take to answer when spoken to."""
OUT_OF_MEANS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
"""What this machine has too little of, which says nothing about the other one."""


class MeteredSocket(socket.socket):
    """A socket that ends after a number of bytes; Paramiko would collect an endless banner in memory."""

    def __init__(self, family: int, kind: int) -> None:
        super().__init__(family, kind)
        self._meter = Meter()

    @property
    def heard(self) -> bytes:
        """What came first, until more was allowed."""
        return self._meter.heard

    def allow(self, count: int) -> None:
        """Take this number of bytes from now on."""
        self._meter.allow(count)

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        return self._meter.count(super().recv(bufsize, flags))


class Meter:
    """Counts what a wire takes in, and keeps the beginning for who has to say what was at the other end."""

    def __init__(self) -> None:
        self.heard = b""
        self._allowance = NEGOTIATION_WIRE_LIMIT
        self._is_beginning = True

    def allow(self, count: int) -> None:
        """Take this number of bytes from now on. What came so far is no longer needed."""
        self._allowance = count
        self._is_beginning, self.heard = False, b""

    def count(self, data: bytes) -> bytes:
        """Return the bytes again, or raise `EOFError` for more than is allowed."""
        if self._is_beginning:
            self.heard += data[: greeting.HEARD_LIMIT - len(self.heard)]
        self._allowance -= len(data)
        if self._allowance < 0:
            raise EOFError
        return data


class Dial:
    """A connection being made without a thread that waits: to one address after another, until one answers.

    Wait for `fileno` to be writable while it `is_connecting`, else readable, and call `advance` then or when
    the time `ends` has come. With `until_heard` an answer is the first byte that the server sends (an SSH
    server speaks first): who only accepts does not count, but is spoken to at the end, to find out what it
    is. Once `is_over`, `take` gives the socket or raises what the last address failed with.
    """

    def __init__(self, addresses: Sequence[str], port: int, limits: Deadlines, *, until_heard: bool) -> None:
        self._left = list(addresses)
        self._port = port
        self._limits = limits
        self._share = limits.connect / max(1, len(addresses))
        self._until_heard = until_heard
        self._is_asked = False
        self._sock: MeteredSocket | None = None
        self._failure: SSHError = HostUnreachable()
        self.started = time.monotonic()
        self.ends = self.started
        self.is_connecting = True
        self.is_over = False
        self._try_next()

    @classmethod
    def failed(cls, error: SSHError) -> Self:
        """A dial that is over before it began, for who needs one to learn of the failure."""
        dial = cls([], 0, Deadlines(), until_heard=False)
        dial._failure = error
        return dial

    def fileno(self) -> int:
        """The descriptor to poll, of another socket after each failed address."""
        return self._sock.fileno() if self._sock else -1

    def advance(self, seconds: float = 0) -> None:
        """Go on as far as possible, waiting so long at most."""
        if self.is_over or self._sock is None:
            return
        try:
            if _is_ready(self._sock, writing=self.is_connecting, seconds=seconds):
                self._answered(self._sock)
            elif time.monotonic() >= self.ends:
                self._waited_in_vain(self._sock)
        except SSHError as error:
            self._fail(error)

    @property
    def is_connected(self) -> bool:
        """Whether somebody answered; only asked of a dial that is over."""
        return self._sock is not None

    def take(self) -> "MeteredSocket":
        """Return the connected socket, or raise an `SSHError`."""
        if self._sock is None:
            raise self._failure
        return self._sock

    def close(self) -> None:
        """Give up."""
        self.is_over = True
        if self._sock:
            self._sock.close()
            self._sock = None

    def _answered(self, sock: "MeteredSocket") -> None:
        _raise_for(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
        if self._is_asked:
            raise _who_answered(sock)
        if self._until_heard and self.is_connecting:
            self.is_connecting = False
            self.ends = time.monotonic() + self._limits.negotiate
        else:
            self.is_over = True

    def _waited_in_vain(self, sock: "MeteredSocket") -> None:
        """End a wait; who is there but silent may be a server whose client has to speak first, so speak."""
        if self.is_connecting:
            raise TimedOut
        if self._is_asked:
            raise Silent
        self._is_asked = True
        self.ends = time.monotonic() + min(ANSWER_SECONDS, self._limits.negotiate)
        with contextlib.suppress(OSError):
            sock.send(OUR_GREETING)

    def _fail(self, error: SSHError) -> None:
        self._failure = error
        if self._sock:
            self._sock.close()
            self._sock = None
        self._try_next()

    def _try_next(self) -> None:
        if not self._left:
            self.is_over = True
            return
        address = self._left.pop(0)
        self.is_connecting, self._is_asked = True, False
        self.ends = time.monotonic() + self._share
        try:
            self._sock = _new_socket(address)
            _raise_for(self._sock.connect_ex((address, self._port)))
        except SSHError as error:
            self._fail(error)
        except BaseException:
            self.close()
            raise


def _new_socket(address: str) -> MeteredSocket:
    """Return a socket for an address, which this machine may have no way to: then nothing can reach it."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        sock = MeteredSocket(family, socket.SOCK_STREAM)
    except OSError as error:
        if error.errno in OUT_OF_MEANS:
            raise
        raise HostUnreachable from None
    sock.setblocking(False)
    return sock


def _is_ready(sock: socket.socket, *, writing: bool, seconds: float = 0) -> bool:
    poll = select.poll()
    poll.register(sock, select.POLLOUT if writing else select.POLLIN)
    return bool(poll.poll(1000 * max(seconds, 0)))


def _who_answered(sock: MeteredSocket) -> SSHError:
    """Return the error for somebody who said nothing before being spoken to: no SSH server in good health."""
    try:
        heard = sock.recv(greeting.HEARD_LIMIT)
    except (OSError, EOFError):
        heard = b""
    is_ssh = not heard or greeting.parse(heard).identification
    return Silent() if is_ssh else greeting.failure(heard, {}, TimedOut())


def look_up(host: str, port: int, deadlines: Deadlines) -> list[str]:
    """Return the addresses of a name, not vetted yet, or raise `NameNotResolved`. Waits."""
    return resolve(host, port, Clock(deadlines.resolve, Pulse(lambda: None)))


def dial(addresses: Sequence[str], port: int, *, policy: AddressPolicy, deadlines: Deadlines) -> Dial:
    """Begin to connect, for a caller that polls many dials. Waits for nothing.

    Raises `AddressNotAllowed`.
    """
    return Dial(policy.vet(addresses, port), port, deadlines, until_heard=True)


def connect(addresses: Sequence[str], port: int, limits: Deadlines, pulse: Pulse) -> MeteredSocket:
    """Connect to the first address that answers; each gets an equal share of the time."""
    dial = Dial(addresses, port, limits, until_heard=False)
    try:
        while not dial.is_over:
            pulse.beat()
            dial.advance(min(TICK_SECONDS, dial.ends - time.monotonic()))
    except BaseException:
        dial.close()
        raise
    return dial.take()


def _raise_for(number: int) -> None:
    if number in (0, errno.EINPROGRESS):
        return
    if number == errno.ECONNREFUSED:
        raise ConnectionRefused
    raise TimedOut if number == errno.ETIMEDOUT else HostUnreachable
