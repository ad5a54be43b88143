"""Reaching a host behind a jump host (bastion): log in there, and have it connect us.

What runs through it is a whole SSH connection to the host, whose own key is checked as always: the jump
host passes on what it cannot read. Whatever goes wrong before that is named as the jump host's failure.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Self

import paramiko

from instances.ssh.addresses import AddressPolicy
from instances.ssh.dials import Dial, Meter
from instances.ssh.errors import (
    AddressNotAllowed,
    ForwardingForbidden,
    JumpHostError,
    JumpHostLoginBarred,
    JumpHostLoginRefused,
    JumpHostNoAlgorithm,
    JumpHostNotAllowed,
    JumpHostTooOld,
    JumpHostUnreachable,
    LoginBarred,
    LoginRefused,
    NoCommonAlgorithm,
    SSHError,
    SSHTooOld,
)
from instances.ssh.host_keys import (
    HostKeyChanged,
    HostKeyUnknown,
    JumpHostKeyChanged,
    PublicHostKey,
    check_host_key,
    preference,
)
from instances.ssh.keys import PrivateKey
from instances.ssh.link import Link
from instances.ssh.offers import Offer
from instances.ssh.waits import Deadlines, Pulse


@dataclass(frozen=True)
class Jump:
    """A jump host: how to log in there. Without a pinned key in `host_keys` nobody does."""

    host: str
    port: int
    login: str
    host_keys: tuple[str, ...]
    key: PrivateKey | Offer = field(repr=False)

    @property
    def offer(self) -> Offer:
        """What is offered there over the next connection."""
        return Offer.of(self.key)

    def remembering(self) -> Self:
        """Return the same jump host, whose answer is remembered from one connection to the next."""
        return replace(self, key=self.offer)


class Tunnel:
    """A channel through a jump host in the place of a socket. Closing it closes the way there as well.

    It never asks the jump host to close the channel: that could wait, while closing its connection cannot.
    """

    def __init__(self, link: Link, channel: paramiko.Channel) -> None:
        self._link = link
        self._channel = channel
        self._meter = Meter()

    @property
    def heard(self) -> bytes:
        """What came first, until more was allowed."""
        return self._meter.heard

    def allow(self, count: int) -> None:
        """Take this number of bytes from now on; on the way there they are wrapped once more."""
        self._meter.allow(count)
        self._link.allow(2 * count)

    def settimeout(self, seconds: float | None) -> None:
        self._channel.settimeout(seconds)

    def recv(self, count: int) -> bytes:
        return self._meter.count(self._channel.recv(count))

    def send(self, data: bytes) -> int:
        return self._channel.send(data)

    def shutdown(self, _how: int) -> None:
        self._link.close()

    def close(self) -> None:
        self._link.close()

    @property
    def _closed(self) -> bool:
        """Paramiko asks every socket for this one, by Python's own name."""
        return self._channel.closed


def reach(
    host: str,
    port: int,
    jump: Jump | None,
    *,
    policy: AddressPolicy,
    deadlines: Deadlines,
    pulse: Pulse,
    dialed: Dial | None = None,
) -> Link:
    """Return a link to a host, through its jump host if it has one. Every stage has its own deadline.

    `dialed` is a dial that is over: to the jump host, or to the host itself where there is none.
    """
    if jump is None:
        return _connect(host, port, policy, deadlines, pulse, dialed)
    with _at_the_jump_host():
        link = _connect(jump.host, jump.port, policy, deadlines, pulse, dialed)
    try:
        destination = policy.vet_unresolved(host, port)  # a name is resolved by the jump host
        with _at_the_jump_host():
            _log_in(link, jump)
            channel = _forwarded(link, jump, destination, port)
        return Link(Tunnel(link, channel), deadlines, pulse)
    except BaseException:
        link.close()
        raise


def _connect(
    host: str, port: int, policy: AddressPolicy, deadlines: Deadlines, pulse: Pulse, dialed: Dial | None
) -> Link:
    if dialed:
        return Link(dialed.take(), deadlines, pulse)
    return Link.reach(host, port, policy, deadlines, pulse)


def _log_in(link: Link, jump: Jump) -> None:
    pinned = tuple(PublicHostKey.parse(line) for line in jump.host_keys)
    check_host_key(link.negotiate(preference(pinned)), pinned)
    jump.offer.over(link, jump.login)


def _forwarded(link: Link, jump: Jump, host: str, port: int) -> paramiko.Channel:
    try:
        return link.forward(host, port)
    except ForwardingForbidden as error:
        jump.offer.let_down(error)
        raise


@contextmanager
def _at_the_jump_host() -> Iterator[None]:
    """Name what goes wrong inside as the jump host's failure."""
    try:
        yield
    except JumpHostError:
        raise
    except (HostKeyChanged, HostKeyUnknown) as error:
        raise JumpHostKeyChanged(error.offered) from None
    except SSHError as error:
        raise _NAMES.get(type(error), JumpHostUnreachable)(*error.details) from None


_NAMES: dict[type[SSHError], type[JumpHostError]] = {
    AddressNotAllowed: JumpHostNotAllowed,
    SSHTooOld: JumpHostTooOld,
    NoCommonAlgorithm: JumpHostNoAlgorithm,
    LoginRefused: JumpHostLoginRefused,
    LoginBarred: JumpHostLoginBarred,
}
