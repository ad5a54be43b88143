"""Names, the addresses that they lead to, and which of these may be contacted."""

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from instances.ssh.errors import AddressNotAllowed, NameNotResolved, TimedOut
from instances.ssh.waits import Clock, beside
from portal.calls.addresses import AddressRules, is_address

Lookup = Callable[[str, int], Sequence[str]]
ADDRESS_TRIES = 6


@dataclass(frozen=True)
class AddressPolicy(AddressRules):
    """Which addresses and ports may be contacted. Empty `networks` or `ports` mean any."""

    ports: frozenset[int] = frozenset()

    def vet(self, addresses: Sequence[str], port: int) -> list[str]:
        """Return the addresses that may be contacted (`AddressRules`), or raise `AddressNotAllowed`."""
        if self.ports and port not in self.ports:
            raise AddressNotAllowed
        vetted = self.allowed(addresses)
        if not vetted:
            raise AddressNotAllowed
        return vetted

    def vet_unresolved(self, host: str, port: int) -> str:
        """Return a host that another machine resolves: an address is vetted as ever, a name by its port."""
        if is_address(host):
            return self.vet([host], port)[0]
        if self.ports and port not in self.ports:
            raise AddressNotAllowed
        return host


def _lookup(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(sockaddr[0]) for *_, sockaddr in found]


def resolve(host: str, port: int, clock: Clock, lookup: Lookup = _lookup) -> list[str]:
    """Return the addresses of a host without doubles, or raise `NameNotResolved`.

    The C resolver cannot be interrupted: when time is up its thread is left to end by itself.
    """
    if is_address(host):
        return [host]

    def named() -> Sequence[str]:
        try:
            return lookup(host, port)
        except (OSError, ValueError):
            raise NameNotResolved from None

    try:
        addresses = beside(named, clock, abort=None)
    except TimedOut:
        raise NameNotResolved from None
    return list(dict.fromkeys(addresses))[:ADDRESS_TRIES]
