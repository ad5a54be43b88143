"""Asking a server for its host keys, without logging in."""

from collections.abc import Sequence

from instances.ssh.addresses import AddressPolicy
from instances.ssh.errors import SSHTooOld
from instances.ssh.host_keys import HOST_KEY_FAMILIES, HostKey
from instances.ssh.link import Link
from instances.ssh.waits import Deadlines, Pulse, Tick


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
    limits, pulse = deadlines or Deadlines(), Pulse(tick)
    found = [_scan_family(host, port, family, policy, limits, pulse) for family in HOST_KEY_FAMILIES]
    keys = [key for key in found if key]
    if not keys:
        raise SSHTooOld
    return keys


def _scan_family(
    host: str, port: int, family: Sequence[str], policy: AddressPolicy, limits: Deadlines, pulse: Pulse
) -> HostKey | None:
    link = Link.reach(host, port, policy, limits, pulse)
    try:
        return link.negotiate(family)
    except SSHTooOld:
        return None
    finally:
        link.close()
