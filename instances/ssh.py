"""Reaching a host by SSH, with an end to every wait. The only importer of Paramiko.

Paramiko's own timeouts do not bound a conversation (they restart with every byte, or are missing), so the
calling thread waits with a monotonic deadline while the blocking call runs beside it, and closes the socket
when time is up. Errors carry a code and never a word that came from the other side.
"""

import base64
import binascii
import contextlib
import errno
import hashlib
import io
import ipaddress
import logging
import os
import re
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self, TypeVar

import paramiko

PrivateKey = paramiko.PKey
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Lookup = Callable[[str, int], Sequence[str]]
Tick = Callable[[], None]
T = TypeVar("T")

TICK_SECONDS = 1.0
# How often Paramiko's reading thread wakes for nothing. Its own tenth of a second costs a worker with
# hundreds of connections more than their traffic; closing wakes it anyway.
WAKE_SECONDS = 2.0
LINE_LIMIT = 16 * 1024
OUTPUT_LIMIT = 4 * 1024 * 1024
# Headroom over OUTPUT_LIMIT for the protocol's own bytes and what Paramiko buffers before we count it.
WIRE_LIMIT = 2 * OUTPUT_LIMIT
NEGOTIATION_WIRE_LIMIT = 256 * 1024
ADDRESS_TRIES = 6

WEAK = {
    "ciphers": ["3des-cbc", "aes128-cbc", "aes192-cbc", "aes256-cbc"],
    "macs": ["hmac-md5", "hmac-md5-96", "hmac-sha1", "hmac-sha1-96"],
}
ECDSA_TYPES = ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521")
RSA_ALGORITHMS = ("rsa-sha2-512", "rsa-sha2-256")
HOST_KEY_FAMILIES = (("ssh-ed25519",), ECDSA_TYPES, RSA_ALGORITHMS)

logging.getLogger("paramiko").setLevel(logging.WARNING)
# Its transport logs what the other side said, with a traceback; our codes say what happened.
logging.getLogger("paramiko.transport").setLevel(logging.CRITICAL)


class SSHError(Exception):
    """The conversation did not take place or broke; `code` is the failure code that people see explained."""

    code: ClassVar[str]

    def __str__(self) -> str:
        return self.code


class NameNotResolved(SSHError):
    code = "name_not_resolved"


class AddressNotAllowed(SSHError):
    code = "address_not_allowed"


class ConnectionRefused(SSHError):
    code = "connection_refused"


class HostUnreachable(SSHError):
    code = "host_unreachable"


class TimedOut(SSHError):
    code = "timed_out"


class SSHTooOld(SSHError):
    code = "ssh_too_old"


class LoginRefused(SSHError):
    code = "login_refused"


class CommandRefused(SSHError):
    """Logged in, but the server opens no session or runs no command."""

    code = "script_not_run"


class ConnectionLost(SSHError):
    code = "connection_lost"


class TooMuchOutput(ConnectionLost):
    """The other side did not stop talking; the connection was closed by us."""


class UnusableKey(ValueError):
    """A private key that is not one, is encrypted, or cannot sign."""


@dataclass(frozen=True)
class HostKey:
    """One public host key; `fingerprint` is OpenSSH's form, `SHA256:` and unpadded base64."""

    type: str
    base64: str
    fingerprint: str

    @classmethod
    def parse(cls, line: str) -> Self:
        """Read `<type> <base64>` (more words are ignored); `ValueError` if it is not a key line."""
        key_type, encoded = (*line.split(), "", "")[:2]
        try:
            blob = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            raise ValueError("not a host key line") from None
        if not key_type or blob[4 : 4 + len(key_type)] != key_type.encode():
            raise ValueError("not a host key line")
        return cls(key_type, encoded, fingerprint(blob))

    @property
    def line(self) -> str:
        """The form in which a key is pinned: `<type> <base64>`."""
        return f"{self.type} {self.base64}"


class _HostKeyError(SSHError):
    def __init__(self, offered: HostKey) -> None:
        super().__init__()
        self.offered = offered


class HostKeyUnknown(_HostKeyError):
    """No key is pinned for this host; `offered` is what it showed. No login was tried."""

    code = "host_key_unknown"


class HostKeyChanged(_HostKeyError):
    """The host showed a key that is not pinned; `offered` is that key. No login was tried."""

    code = "host_key_changed"


@dataclass(frozen=True)
class Target:
    """Whom to reach: `host_keys` are the pinned ones, each `<type> <base64>`."""

    host: str
    port: int
    login: str
    host_keys: tuple[str, ...]


@dataclass(frozen=True)
class AddressPolicy:
    """Which addresses may be contacted. Empty `networks` or `ports` mean any."""

    allow_loopback: bool = False
    networks: tuple[Network, ...] = ()
    ports: frozenset[int] = frozenset()

    def vet(self, addresses: Sequence[str], port: int) -> list[str]:
        """Return the addresses that may be contacted, or raise `AddressNotAllowed`.

        A name that also leads to an address that is never a container (loopback, link-local, multicast, IPv4
        dressed up as IPv6) is refused as a whole; one outside the allowed networks is merely left out.
        """
        parsed = [ipaddress.ip_address(address) for address in addresses]
        if (self.ports and port not in self.ports) or not all(map(self._ordinary, parsed)):
            raise AddressNotAllowed
        vetted = [str(address) for address in parsed if self._inside(address)]
        if not vetted:
            raise AddressNotAllowed
        return vetted

    def _ordinary(self, address: Address) -> bool:
        if address.is_loopback:
            return self.allow_loopback
        if address.is_multicast or address.is_unspecified or address.is_link_local or address.is_reserved:
            return False
        if isinstance(address, ipaddress.IPv6Address):
            return not (address.ipv4_mapped or address.sixtofour or address.teredo)
        return address not in THIS_NETWORK

    def _inside(self, address: Address) -> bool:
        return not self.networks or any(address in network for network in self.networks)


THIS_NETWORK = ipaddress.ip_network("0.0.0.0/8")


@dataclass(frozen=True)
class Deadlines:
    """Seconds each stage may take, whatever the other side does."""

    resolve: float = 5
    connect: float = 10
    negotiate: float = 20
    login: float = 15
    channel: float = 10
    send: float = 10


class _Pulse:
    """Calls `tick` in the caller's thread, about once a second, whichever wait is going on."""

    def __init__(self, tick: Tick) -> None:
        self._tick = tick
        self._last = time.monotonic()

    def beat(self) -> None:
        if time.monotonic() - self._last >= TICK_SECONDS:
            self._last = time.monotonic()
            self._tick()


class _Clock:
    """One deadline, on the monotonic clock."""

    def __init__(self, seconds: float, pulse: _Pulse) -> None:
        self._ends = time.monotonic() + seconds
        self._pulse = pulse

    def step(self) -> float:
        """Tick if due, and return how long (seconds) the next wait may last; `TimedOut` once time is up."""
        self._pulse.beat()
        remaining = self._ends - time.monotonic()
        if remaining <= 0:
            raise TimedOut
        return min(TICK_SECONDS, remaining)


def _beside(call: Callable[[], T], clock: _Clock, abort: Callable[[], None] | None) -> T:
    """Run a blocking call in a thread and wait for it under the clock.

    `abort` makes the call return early; without one it is left to end by itself.
    """
    outcome: Future[T] = Future()
    thread = threading.Thread(target=_fulfil, args=(outcome, call), daemon=True)
    thread.start()
    try:
        while not _settled(outcome, clock.step()):
            pass
    except BaseException:
        if abort:
            abort()
            thread.join(2)
        raise
    thread.join()
    return outcome.result()


def _fulfil(outcome: Future[T], call: Callable[[], T]) -> None:
    try:
        outcome.set_result(call())
    except BaseException as error:  # noqa: BLE001  # handed over to the waiting thread, which raises it
        outcome.set_exception(error)


def _settled(outcome: Future[T], seconds: float) -> bool:
    try:
        outcome.exception(seconds)
    except TimeoutError:
        return False
    return True


def _lookup(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(sockaddr[0]) for *_, sockaddr in found]


def resolve(host: str, port: int, clock: _Clock, lookup: Lookup = _lookup) -> list[str]:
    """Return the addresses of a host without doubles, or raise `NameNotResolved`.

    The C resolver cannot be interrupted: when time is up its thread is left to end by itself.
    """
    try:
        return [str(ipaddress.ip_address(host))]
    except ValueError:
        pass

    def named() -> Sequence[str]:
        try:
            return lookup(host, port)
        except (OSError, ValueError):
            raise NameNotResolved from None

    try:
        addresses = _beside(named, clock, abort=None)
    except TimedOut:
        raise NameNotResolved from None
    return list(dict.fromkeys(addresses))[:ADDRESS_TRIES]


class _MeteredSocket(socket.socket):
    """A socket that ends after so many bytes; Paramiko would collect an endless banner in memory."""

    allowance = NEGOTIATION_WIRE_LIMIT

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        data = super().recv(bufsize, flags)
        self.allowance -= len(data)
        if self.allowance < 0:
            raise EOFError
        return data


class Dial:
    """A connection being made without a thread that waits: to one address after another, until one answers.

    Wait for `fileno` to be writable while it `is_connecting`, else readable, and call `advance` then or when
    the time `ends` has come. With `until_heard` an answer is the first byte that the server sends (an SSH
    server speaks first): who only accepts does not count. Once `is_over`, `take` gives the socket or raises
    what the last address failed with.
    """

    def __init__(self, addresses: Sequence[str], port: int, limits: Deadlines, *, until_heard: bool) -> None:
        self._left = list(addresses)
        self._port = port
        self._limits = limits
        self._share = limits.connect / len(addresses)
        self._until_heard = until_heard
        self._sock: _MeteredSocket | None = None
        self._failure: SSHError = HostUnreachable()
        self.started = time.monotonic()
        self.ends = self.started
        self.is_connecting = True
        self.is_over = False
        self._try_next()

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
                raise TimedOut
        except SSHError as error:
            self._fail(error)

    @property
    def is_connected(self) -> bool:
        """Whether somebody answered; only asked of a dial that is over."""
        return self._sock is not None

    def take(self) -> "_MeteredSocket":
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

    def _answered(self, sock: "_MeteredSocket") -> None:
        _raise_for(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
        if self._until_heard and self.is_connecting:
            self.is_connecting = False
            self.ends = time.monotonic() + self._limits.negotiate
        else:
            self.is_over = True

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
        sock = _MeteredSocket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
        self._sock, self.is_connecting = sock, True
        self.ends = time.monotonic() + self._share
        try:
            sock.setblocking(False)
            _raise_for(sock.connect_ex((address, self._port)))
        except SSHError as error:
            self._fail(error)
        except BaseException:
            sock.close()
            raise


def _is_ready(sock: socket.socket, *, writing: bool, seconds: float = 0) -> bool:
    poll = select.poll()
    poll.register(sock, select.POLLOUT if writing else select.POLLIN)
    return bool(poll.poll(1000 * max(seconds, 0)))


def dial(host: str, port: int, *, policy: AddressPolicy, deadlines: Deadlines) -> Dial:
    """Begin to connect, for a caller that polls many dials. Waits for nothing but a name to be resolved.

    Raises `NameNotResolved` or `AddressNotAllowed`.
    """
    addresses = policy.vet(resolve(host, port, _Clock(deadlines.resolve, _Pulse(lambda: None))), port)
    return Dial(addresses, port, deadlines, until_heard=True)


def _connect(addresses: Sequence[str], port: int, limits: Deadlines, pulse: _Pulse) -> _MeteredSocket:
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


class _Link:
    """A connected socket and Paramiko's transport on it, every use of them bounded."""

    def __init__(self, sock: _MeteredSocket, deadlines: Deadlines, pulse: _Pulse) -> None:
        self._sock = sock
        self._pulse = pulse
        self._transport = paramiko.Transport(sock, disabled_algorithms=WEAK)
        sock.settimeout(WAKE_SECONDS)
        # Ours are the deadlines; Paramiko's only have to be later, so that an end is always ours to name.
        self._transport.banner_timeout = deadlines.negotiate + 5
        self._transport.handshake_timeout = deadlines.negotiate + 5
        self.deadlines = deadlines

    @classmethod
    def reach(cls, host: str, port: int, policy: AddressPolicy, deadlines: Deadlines, pulse: _Pulse) -> Self:
        """Resolve, vet and connect."""
        addresses = policy.vet(resolve(host, port, _Clock(deadlines.resolve, pulse)), port)
        return cls(_connect(addresses, port, deadlines, pulse), deadlines, pulse)

    def clock(self, seconds: float) -> _Clock:
        return _Clock(seconds, self._pulse)

    def run(self, call: Callable[[], T], clock: _Clock) -> T:
        """Run one of Paramiko's blocking calls; closing the link is what ends it early."""

        def named() -> T:
            try:
                return call()
            except (paramiko.SSHException, OSError, EOFError):
                raise ConnectionLost from None

        return _beside(named, clock, abort=self.close)

    def negotiate(self, key_types: Sequence[str]) -> HostKey:
        """Agree on keys and ciphers, and return the host key that was shown (and proven)."""
        self._transport.get_security_options().key_types = tuple(key_types)
        agreed = threading.Event()
        self._transport.start_client(event=agreed)
        self._await(agreed, self.clock(self.deadlines.negotiate))
        key = self._transport.host_key
        if key is None or not self._transport.is_active():
            raise _negotiation_failure(self._transport.get_exception())
        return HostKey(key.get_name(), key.get_base64(), fingerprint(key.asbytes()))

    def log_in(self, login: str, key: PrivateKey) -> None:
        answered = threading.Event()
        try:
            self._transport.auth_publickey(login, key, answered)
        except (paramiko.SSHException, OSError, EOFError):
            raise ConnectionLost from None
        self._await(answered, self.clock(self.deadlines.login))
        if not self._transport.is_authenticated():
            raise _login_failure(self._transport.get_exception())

    def start(self, command: str) -> paramiko.Channel:
        """Open a session and start a command in it."""
        self._sock.allowance = WIRE_LIMIT
        return self.run(lambda: self._exec(command), self.clock(self.deadlines.channel))

    def _exec(self, command: str) -> paramiko.Channel:
        try:
            channel = self._transport.open_session(timeout=self.deadlines.channel + 5)
            # Two streams read one after the other can deadlock; one cannot.
            channel.set_combine_stderr(True)
            channel.exec_command(command)
        except paramiko.SSHException:
            if self._transport.is_active():
                raise CommandRefused from None
            raise
        return channel

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._transport.close()
        self._sock.close()
        if self._transport.is_alive():
            self._transport.join(2)
        # An unfinished handshake leaves a timer thread behind, which would live for its full time.
        self._transport.packetizer.complete_handshake()

    def _await(self, event: threading.Event, clock: _Clock) -> None:
        while not event.wait(min(0.1, clock.step())) and self._transport.is_active():
            pass


class Connection:
    """One logged-in SSH connection, for one thread; carries one command after another."""

    def __init__(self, link: _Link, host_key: HostKey) -> None:
        self._link = link
        self._host_key = host_key

    @classmethod
    def open(
        cls,
        target: Target,
        *,
        key: PrivateKey,
        policy: AddressPolicy,
        deadlines: Deadlines | None = None,
        tick: Tick = lambda: None,
        dialed: Dial | None = None,
    ) -> Self:
        """Resolve, vet, connect, check the host key and log in, or raise an `SSHError`.

        `tick` is called about every second during this and every later wait; what it raises ends the
        connection and reaches the caller. `dialed` is a dial to this target that is over: its socket is used,
        or what it failed with is raised.
        """
        pinned = tuple(HostKey.parse(line) for line in target.host_keys)
        limits, pulse = deadlines or Deadlines(), _Pulse(tick)
        if dialed:
            link = _Link(dialed.take(), limits, pulse)
        else:
            link = _Link.reach(target.host, target.port, policy, limits, pulse)
        try:
            offered = link.negotiate(_preference(pinned))
            _check_host_key(offered, pinned)
            link.log_in(target.login, key)
        except BaseException:
            link.close()
            raise
        return cls(link, offered)

    @property
    def host_key(self) -> str:
        """Fingerprint of the host key that this connection was checked against."""
        return self._host_key.fingerprint

    def talk(self, command: str) -> "Talk":
        """Start a command and return the conversation with it; earlier ones must have ended."""
        return Talk(self._link, self._link.start(command))

    def close(self) -> None:
        """Close the socket and end Paramiko's threads. May be called again."""
        self._link.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Talk:
    """A running command: lines from it (stdout and stderr as one stream), bytes to it."""

    def __init__(self, link: _Link, channel: paramiko.Channel) -> None:
        self._link = link
        self._channel = channel
        self._buffer = b""
        self._received = 0

    def send(self, data: bytes) -> None:
        """Hand bytes to the connection, or raise `ConnectionLost` or `TimedOut`. Nothing is added to them."""
        self._link.run(lambda: self._channel.sendall(data), self._link.clock(self._link.deadlines.send))

    def lines(self, seconds: float) -> Iterator[bytes]:
        """Yield lines with their line ends until the command closes its output; one deadline for all.

        A line longer than `LINE_LIMIT` comes in pieces. Raises `TimedOut`, `ConnectionLost`, and
        `TooMuchOutput` once `OUTPUT_LIMIT` bytes came.
        """
        clock = self._link.clock(seconds)
        while line := self._next_line(clock):
            yield line

    def read_line(self, seconds: float) -> bytes:
        """Return the next line with its line end, or `b""` at the end of the output."""
        return next(self.lines(seconds), b"")

    def read_to_end(self, seconds: float) -> bytes:
        """Return the rest of the output, its middle left out if it is long (see `Excerpt`)."""
        excerpt = Excerpt()
        for line in self.lines(seconds):
            excerpt.add(line)
        return excerpt.text()

    def exit_status(self, seconds: float) -> int | None:
        """Return the exit status, or None if the server told none (killed by a signal, connection lost)."""
        clock = self._link.clock(seconds)
        while not self._channel.status_event.wait(min(0.2, clock.step())):
            pass
        status = self._channel.exit_status
        return None if status < 0 else status

    def close(self) -> None:
        """End this conversation; the connection stays usable unless it is broken."""
        with contextlib.suppress(SSHError):
            self._link.run(self._channel.close, self._link.clock(5))

    def _next_line(self, clock: _Clock) -> bytes:
        while b"\n" not in self._buffer and len(self._buffer) < LINE_LIMIT:
            chunk = self._chunk(clock)
            self._buffer += chunk
            if not chunk:
                break
        end = self._buffer.find(b"\n", 0, LINE_LIMIT) + 1 or LINE_LIMIT
        line, self._buffer = self._buffer[:end], self._buffer[end:]
        return line

    def _chunk(self, clock: _Clock) -> bytes:
        data = self._receive(clock)
        self._received += len(data)
        if self._received > OUTPUT_LIMIT:
            self._link.close()
            raise TooMuchOutput
        if not data and not self._channel.eof_received:
            raise ConnectionLost
        return data

    def _receive(self, clock: _Clock) -> bytes:
        """Wait for the next bytes, empty at the end; the one wait that Paramiko itself bounds."""
        while True:
            try:
                self._channel.settimeout(clock.step())
            except BaseException:  # time is up, or what the tick raised
                self._link.close()
                raise
            try:
                return self._channel.recv(LINE_LIMIT)
            except TimeoutError:
                continue
            except (paramiko.SSHException, OSError, EOFError):
                raise ConnectionLost from None
            finally:
                self._channel.settimeout(None)


@dataclass
class Excerpt:
    """Keeps the beginning and the end of an output of any length, in bounded memory.

    The gap lies between two blanks or line ends. A secret has none in it, so it is either whole, and a later
    redaction finds it, or gone.
    """

    head_limit: int = 16 * 1024
    tail_limit: int = 48 * 1024
    _head: bytearray = field(default_factory=bytearray)
    _tail: bytearray = field(default_factory=bytearray)
    _dropped: bool = False

    def add(self, data: bytes) -> None:
        """Take in the next bytes of the output."""
        room = self.head_limit - len(self._head)
        self._head += data[:room]
        self._tail += data[room:]
        excess = len(self._tail) - self.tail_limit
        if excess > 0:
            self._dropped = True
            del self._tail[:excess]

    def text(self) -> bytes:
        """Return what was kept, with a line of its own in the place of what was not."""
        if not self._dropped:
            return bytes(self._head + self._tail)
        return _UNFINISHED_END.sub(b"", self._head) + b"\n[...]\n" + _UNFINISHED_START.sub(b"", self._tail)


_UNFINISHED_END = re.compile(rb"\S*\Z")
_UNFINISHED_START = re.compile(rb"\A\S*")


def _check_host_key(offered: HostKey, pinned: Sequence[HostKey]) -> None:
    if not pinned:
        raise HostKeyUnknown(offered)
    if offered not in pinned:
        raise HostKeyChanged(offered)


def _preference(pinned: Sequence[HostKey]) -> list[str]:
    """Order key types so that the pinned ones are negotiated wherever the server still has them.

    The others follow, for a server that was reinstalled with another type must show as changed, not as old.
    """
    types = {key.type for key in pinned}
    families = [RSA_ALGORITHMS if kind == "ssh-rsa" else (kind,) for kind in types]
    first = [name for family in families for name in family]
    rest = [name for family in HOST_KEY_FAMILIES for name in family if name not in first]
    known = {name for family in HOST_KEY_FAMILIES for name in family}
    return [name for name in first if name in known] + rest


def _negotiation_failure(error: Exception | None) -> SSHError:
    if isinstance(error, paramiko.ssh_exception.IncompatiblePeer):
        return SSHTooOld()
    # Paramiko has no class of its own for "that is not an SSH server".
    if str(error).startswith(("Indecipherable protocol version", "Invalid SSH banner")):
        return ConnectionRefused()
    return ConnectionLost()


def _login_failure(error: Exception | None) -> SSHError:
    """A server that says goodbye (no exception) has refused; one that just vanishes has not."""
    if error is None or isinstance(error, paramiko.AuthenticationException):
        return LoginRefused()
    return ConnectionLost()


def scan(
    host: str,
    port: int,
    *,
    policy: AddressPolicy,
    deadlines: Deadlines | None = None,
    tick: Tick = lambda: None,
) -> list[HostKey]:
    """Return the host keys a server shows, one per key type it has; logs in nowhere.

    Raises an `SSHError` if it cannot be reached or has no key of a type that is still accepted.
    """
    limits, pulse = deadlines or Deadlines(), _Pulse(tick)
    found = [_scan_family(host, port, family, policy, limits, pulse) for family in HOST_KEY_FAMILIES]
    keys = [key for key in found if key]
    if not keys:
        raise SSHTooOld
    return keys


def _scan_family(
    host: str, port: int, family: Sequence[str], policy: AddressPolicy, limits: Deadlines, pulse: _Pulse
) -> HostKey | None:
    link = _Link.reach(host, port, policy, limits, pulse)
    try:
        return link.negotiate(family)
    except SSHTooOld:
        return None
    finally:
        link.close()


def fingerprint(blob: bytes) -> str:
    """Return OpenSSH's fingerprint of a public key in wire form."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def load_private_key(source: Path | str) -> PrivateKey:
    """Load an unencrypted private key from a file, or from text that begins with `-----BEGIN`.

    Raises `UnusableKey`, or `OSError` if the file cannot be read.
    """
    text = source if isinstance(source, str) and source.startswith("-----BEGIN") else _read(source)
    for kind in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
        # What a wrong kind raises differs by kind and by what is wrong.
        with contextlib.suppress(paramiko.SSHException, ValueError, IndexError, AssertionError, TypeError):
            return kind.from_private_key(io.StringIO(text))
    raise UnusableKey("not an unencrypted private key of a known type")


def _read(source: Path | str) -> str:
    return Path(source).read_text(encoding="ascii", errors="replace")


def generate_private_key() -> str:
    """Return a new private key as OpenSSH text.

    ECDSA on P-256, because that is what Paramiko can write; every OpenSSH since 5.7 accepts it.
    """
    text = io.StringIO()
    paramiko.ECDSAKey.generate().write_private_key(text, file_format=paramiko.pkey.OPENSSH)
    return text.getvalue()


def write_private_key(path: Path, text: str) -> None:
    """Create a key file that only its owner can read; `FileExistsError` rather than overwrite one."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def public_line(key: PrivateKey, comment: str) -> str:
    """Return the line for `authorized_keys`."""
    return f"{key.get_name()} {key.get_base64()} {comment}".strip()
