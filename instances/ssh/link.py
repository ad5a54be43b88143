"""A connected socket and Paramiko's transport on it, every use of them bounded."""

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol, Self, TypeVar

import paramiko

from instances.ssh import greeting
from instances.ssh.addresses import AddressPolicy, resolve
from instances.ssh.dials import connect
from instances.ssh.errors import (
    CommandRefused,
    ConnectionLost,
    ForwardingForbidden,
    KeyRefused,
    LoginBarred,
    LoginRefused,
    NoWayBehind,
    SessionRefused,
    SSHError,
    TimedOut,
)
from instances.ssh.host_keys import PublicHostKey, fingerprint
from instances.ssh.keys import PrivateKey
from instances.ssh.waits import Clock, Deadlines, Pulse, beside

T = TypeVar("T")
OUTPUT_LIMIT = 4 * 1024 * 1024
# Headroom over OUTPUT_LIMIT for the protocol's own bytes and what Paramiko buffers before we count it.
WIRE_LIMIT = 2 * OUTPUT_LIMIT
# How often Paramiko's reading thread wakes for nothing. Its own tenth of a second costs a worker with
# hundreds of connections more than their traffic; closing wakes it anyway.
WAKE_SECONDS = 2.0
SESSION_PAUSE = 0.2

WEAK = {
    "ciphers": ["3des-cbc", "aes128-cbc", "aes192-cbc", "aes256-cbc"],
    "macs": ["hmac-md5", "hmac-md5-96", "hmac-sha1", "hmac-sha1-96"],
}

logging.getLogger("paramiko").setLevel(logging.WARNING)
# Its transport logs what the other side said, with a traceback; our codes say what happened.
logging.getLogger("paramiko.transport").setLevel(logging.CRITICAL)


# RFC 4254, 5.1; every other reason means that the server tried.
ADMINISTRATIVELY_PROHIBITED = 1


class Wire(Protocol):
    """What a transport runs on: a socket, or something that acts as one."""

    @property
    def heard(self) -> bytes: ...
    def allow(self, count: int, /) -> None: ...
    def settimeout(self, seconds: float | None, /) -> None: ...
    def recv(self, count: int, /) -> bytes: ...
    def send(self, data: bytes, /) -> int: ...
    def shutdown(self, how: int, /) -> None: ...
    def close(self) -> None: ...


class Link:
    """A connected wire and Paramiko's transport on it, every use of them bounded."""

    def __init__(self, wire: Wire, deadlines: Deadlines, pulse: Pulse) -> None:
        self._wire = wire
        self._pulse = pulse
        # The stubs know two classes that can be a wire; Paramiko asks for no more than the protocol.
        self._transport = paramiko.Transport(wire, disabled_algorithms=WEAK)  # type: ignore[arg-type]
        wire.settimeout(WAKE_SECONDS)
        # Ours are the deadlines; Paramiko's only have to be later, so that an end is always ours to name.
        self._transport.banner_timeout = deadlines.negotiate + 5
        self._transport.handshake_timeout = deadlines.negotiate + 5
        self.deadlines = deadlines
        self._sessions = 0

    @classmethod
    def reach(cls, host: str, port: int, policy: AddressPolicy, deadlines: Deadlines, pulse: Pulse) -> Self:
        """Resolve, vet and connect."""
        addresses = policy.vet(resolve(host, port, Clock(deadlines.resolve, pulse)), port)
        return cls(connect(addresses, port, deadlines, pulse), deadlines, pulse)

    def clock(self, seconds: float) -> Clock:
        return Clock(seconds, self._pulse)

    def run(self, call: Callable[[], T], clock: Clock) -> T:
        """Run one of Paramiko's blocking calls; closing the link is what ends it early."""

        def named() -> T:
            try:
                return call()
            except paramiko.ChannelException:
                raise SessionRefused from None
            except (paramiko.SSHException, OSError, EOFError):
                raise ConnectionLost from None

        return beside(named, clock, abort=self.close)

    def negotiate(self, key_types: Sequence[str]) -> PublicHostKey:
        """Agree on keys and ciphers, and return the host key that was shown (and proven)."""
        self._transport.get_security_options().key_types = tuple(key_types)
        agreed = threading.Event()
        self._transport.start_client(event=agreed)
        clock = self.clock(self.deadlines.negotiate)
        try:
            self._await(agreed, clock)
        except TimedOut as error:
            # The tick's own end says nothing about the server.
            raise self._negotiation_failure(error) if clock.is_over else error from None
        key = self._transport.host_key
        if key is None or not self._transport.is_active():
            raise self._negotiation_failure()
        return PublicHostKey(key.get_name(), key.get_base64(), fingerprint(key.asbytes()))

    def _negotiation_failure(self, error: Exception | None = None) -> SSHError:
        ours = {
            greeting.KEY_EXCHANGE: self._transport.preferred_kex,
            greeting.HOST_KEY: self._transport.preferred_keys,
            greeting.CIPHER: self._transport.preferred_ciphers,
            greeting.MAC: self._transport.preferred_macs,
        }
        return greeting.failure(self._wire.heard, ours, error)

    @property
    def offered_host_keys(self) -> Sequence[str]:
        """The algorithms of the keys that the server said it has."""
        return greeting.parse(self._wire.heard).offered.get(greeting.HOST_KEY, ())

    def log_in(self, login: str, key: PrivateKey) -> None:
        """Log in with this key. After a `KeyRefused`, and no other error, another one may be tried."""
        answered = threading.Event()
        try:
            self._transport.auth_publickey(login, key, answered)
        except (paramiko.SSHException, OSError, EOFError):
            raise ConnectionLost from None
        self._await(answered, self.clock(self.deadlines.login))
        if not self._transport.is_authenticated():
            raise self._login_failure()

    def _login_failure(self) -> SSHError:
        """A server that answers (no exception), or says farewell (none either), has refused.

        OpenSSH whose PAM bars the account hangs up without a word, after it has accepted the key. A
        connection that breaks ends in another way, unless something between closes it in good form.
        """
        error = self._transport.get_exception()
        if error is None and self._transport.is_active():
            return KeyRefused(*self.words)
        if error is None or isinstance(error, paramiko.AuthenticationException):
            return LoginRefused(*self.words)
        return LoginBarred(*self.words) if isinstance(error, EOFError) else ConnectionLost()

    @property
    def words(self) -> list[str]:
        """What the server had to say about the login, as a line for people, if it said anything."""
        words = self._transport.get_banner() or b""
        return [f"The server said: {greeting.quoted(words.decode('utf-8', 'replace'))}"] if words else []

    def start(self, command: str) -> paramiko.Channel:
        """Open a session and start a command in it.

        A server may allow few sessions at once (`MaxSessions`), and frees one only when its command has
        ended. So after another one, a session that is refused is asked for again until the deadline.
        """
        self.allow(WIRE_LIMIT)
        patience = self.clock(self.deadlines.channel)
        while (channel := self._open_session()) is None:
            if not self._sessions or patience.is_over:
                raise SessionRefused
            time.sleep(SESSION_PAUSE)
        self._sessions += 1
        return self.run(lambda: self._exec(channel, command), self.clock(self.deadlines.channel))

    @property
    def has_carried(self) -> bool:
        """Whether a session was opened on it."""
        return self._sessions > 0

    def _open_session(self) -> paramiko.Channel | None:
        """Return a session, None if the server refuses to open one."""
        later = self.deadlines.channel + 5
        try:
            return self.run(
                lambda: self._transport.open_session(timeout=later), self.clock(self.deadlines.channel)
            )
        except SessionRefused:
            return None

    def _exec(self, channel: paramiko.Channel, command: str) -> paramiko.Channel:
        try:
            # Two streams read one after the other can deadlock; one cannot.
            channel.set_combine_stderr(True)
            channel.exec_command(command)
        except paramiko.SSHException:
            if self._transport.is_active():
                raise CommandRefused from None
            raise
        return channel

    def forward(self, host: str, port: int) -> paramiko.Channel:
        """Have the server connect to another host, and return the channel that leads there."""
        # What that host sends may come before we know that it is there; the channel's window bounds it.
        self.allow(WIRE_LIMIT)
        try:
            return self.run(lambda: self._forward(host, port), self.clock(self.deadlines.connect))
        except TimedOut:
            raise NoWayBehind from None

    def _forward(self, host: str, port: int) -> paramiko.Channel:
        later = self.deadlines.connect + 5
        try:
            return self._transport.open_channel("direct-tcpip", (host, port), ("127.0.0.1", 0), timeout=later)
        except paramiko.ChannelException as error:
            is_forbidden = error.code == ADMINISTRATIVELY_PROHIBITED
            raise (ForwardingForbidden if is_forbidden else NoWayBehind) from None

    def allow(self, count: int) -> None:
        """Take this number of bytes from now on, and then end."""
        self._wire.allow(count)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._wire.shutdown(socket.SHUT_RDWR)
        self._transport.close()
        self._wire.close()
        if self._transport.is_alive():
            self._transport.join(2)
        # An unfinished handshake leaves a timer thread behind, which would live for its full time.
        self._transport.packetizer.complete_handshake()

    def _await(self, event: threading.Event, clock: Clock) -> None:
        while not event.wait(min(0.1, clock.step())) and self._transport.is_active():
            pass
