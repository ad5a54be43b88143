"""Names, the addresses that they lead to, and which of these may be contacted."""

import ipaddress
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from instances.ssh.errors import AddressNotAllowed, NameNotResolved, TimedOut
from instances.ssh.waits import Clock, beside

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Lookup = Callable[[str, int], Sequence[str]]
ADDRESS_TRIES = 6
THIS_NETWORK = ipaddress.ip_network("0.0.0.0/8")


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

    def vet_unresolved(self, host: str, port: int) -> str:
        """Return a host that another machine resolves: an address is vetted as ever, a name by its port."""
        if is_address(host):
            return self.vet([host], port)[0]
        if self.ports and port not in self.ports:
            raise AddressNotAllowed
        return host

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


def is_address(host: str) -> bool:
    """Whether this is an address, and no name that has to be looked up."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


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
