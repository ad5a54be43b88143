"""What the settings say about reaching containers, in the words of `instances.ssh`."""

import time
from ipaddress import ip_network

from django.conf import settings

from instances.ssh import AddressPolicy, Deadlines, Tick, TimedOut

SCAN_SECONDS = 12.0


def address_policy() -> AddressPolicy:
    """Return which addresses the portal may contact."""
    return AddressPolicy(
        allow_loopback=settings.ALLOW_LOOPBACK_TARGETS,
        networks=tuple(ip_network(network) for network in settings.TARGET_NETWORKS),
    )


def deadlines() -> Deadlines:
    """Return how long each stage of a delivery's connection may take."""
    return Deadlines(connect=settings.PUSH_CONNECT_TIMEOUT)


def scan_deadlines() -> Deadlines:
    """Return how long each stage of a host key scan may take: a person is waiting for the page."""
    return Deadlines(resolve=3, connect=4, negotiate=5)


def ends_after(seconds: float) -> Tick:
    """Return a tick that ends everything with `TimedOut` once `seconds` have passed from now."""
    ends = time.monotonic() + seconds

    def tick() -> None:
        if time.monotonic() > ends:
            raise TimedOut

    return tick
