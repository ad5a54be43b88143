"""Asking a server for its host keys, without logging in."""

from collections.abc import Sequence

from instances.ssh.addresses import AddressPolicy
from instances.ssh.errors import SSHTooOld
from instances.ssh.host_keys import HOST_KEY_FAMILIES, HostKey
from instances.ssh.jump import Jump, reach
from instances.ssh.waits import Deadlines, Pulse, Tick


def scan(
    host: str,
    port: int,
    *,
    policy: AddressPolicy,
    deadlines: Deadlines | None = None,
    tick: Tick = lambda: None,
    jump: Jump | None = None,
) -> list[HostKey]:
    """Return the host keys a server shows, one per key type it has; logs in nowhere but at a jump host.

    Raises an `SSHError` if it cannot be reached or has no key of a type that is still accepted.
    """
    limits, pulse = deadlines or Deadlines(), Pulse(tick)
    found = [_scan_family(host, port, jump, family, policy, limits, pulse) for family in HOST_KEY_FAMILIES]
    keys = [key for key in found if key]
    if not keys:
        raise SSHTooOld
    return keys


def _scan_family(
    host: str,
    port: int,
    jump: Jump | None,
    family: Sequence[str],
    policy: AddressPolicy,
    limits: Deadlines,
    pulse: Pulse,
) -> HostKey | None:
    link = reach(host, port, jump, policy=policy, deadlines=limits, pulse=pulse)
    try:
        return link.negotiate(family)
    except SSHTooOld:
        return None
    finally:
        link.close()
