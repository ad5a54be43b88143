"""A connected socket and Paramiko's transport on it, every use of them bounded."""

import contextlib
import logging
import socket
import threading
from collections.abc import Callable, Sequence
from typing import Self, TypeVar

import paramiko

from instances.ssh.addresses import AddressPolicy, resolve
from instances.ssh.dials import MeteredSocket, connect
from instances.ssh.errors import (
    CommandRefused,
    ConnectionLost,
    ConnectionRefused,
    LoginRefused,
    SSHError,
    SSHTooOld,
)
from instances.ssh.host_keys import HostKey, fingerprint
from instances.ssh.keys import PrivateKey
from instances.ssh.waits import Clock, Deadlines, Pulse, beside

T = TypeVar("T")
OUTPUT_LIMIT = 4 * 1024 * 1024
# Headroom over OUTPUT_LIMIT for the protocol's own bytes and what Paramiko buffers before we count it.
WIRE_LIMIT = 2 * OUTPUT_LIMIT

WEAK = {
    "ciphers": ["3des-cbc", "aes128-cbc", "aes192-cbc", "aes256-cbc"],
    "macs": ["hmac-md5", "hmac-md5-96", "hmac-sha1", "hmac-sha1-96"],
}

logging.getLogger("paramiko").setLevel(logging.WARNING)
# Its transport logs what the other side said, with a traceback; our codes say what happened.
logging.getLogger("paramiko.transport").setLevel(logging.CRITICAL)


class Link:
    """A connected socket and Paramiko's transport on it, every use of them bounded."""

    def __init__(self, sock: MeteredSocket, deadlines: Deadlines, pulse: Pulse) -> None:
        self._sock = sock
        self._pulse = pulse
        self._transport = paramiko.Transport(sock, disabled_algorithms=WEAK)
        # Ours are the deadlines; Paramiko's only have to be later, so that an end is always ours to name.
        self._transport.banner_timeout = deadlines.negotiate + 5
        self._transport.handshake_timeout = deadlines.negotiate + 5
        self.deadlines = deadlines

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
            except (paramiko.SSHException, OSError, EOFError):
                raise ConnectionLost from None

        return beside(named, clock, abort=self.close)

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

    def _await(self, event: threading.Event, clock: Clock) -> None:
        while not event.wait(min(0.1, clock.step())) and self._transport.is_active():
            pass


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
