"""Which addresses of other servers may be contacted. No models, no settings."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
THIS_NETWORK = ipaddress.ip_network("0.0.0.0/8")


@dataclass(frozen=True)
class AddressRules:
    """Which addresses may be contacted. Empty `networks` mean any."""

    allow_loopback: bool = False
    networks: tuple[Network, ...] = ()

    def allowed(self, addresses: Sequence[str]) -> list[str]:
        """Return the addresses that may be contacted, given all those that one name leads to.

        None of them if one is never a server of ours (loopback, link-local, multicast, IPv4 dressed up as
        IPv6); one outside the allowed networks is merely left out. `ValueError` for what is no address.
        """
        parsed = [ipaddress.ip_address(address) for address in addresses]
        if not all(map(self._is_ordinary, parsed)):
            return []
        return [str(address) for address in parsed if self._is_inside(address)]

    def _is_ordinary(self, address: Address) -> bool:
        if address.is_loopback:
            return self.allow_loopback
        if address.is_multicast or address.is_unspecified or address.is_link_local or address.is_reserved:
            return False
        if isinstance(address, ipaddress.IPv6Address):
            return not (address.ipv4_mapped or address.sixtofour or address.teredo)
        return address not in THIS_NETWORK

    def _is_inside(self, address: Address) -> bool:
        return not self.networks or any(address in network for network in self.networks)


def is_address(host: str) -> bool:
    """Whether this is an address, and no name that has to be looked up."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
