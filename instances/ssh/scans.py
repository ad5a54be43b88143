"""Asking a server for its host keys, without logging in."""

from collections.abc import Sequence
from dataclasses import dataclass

from instances.ssh.addresses import AddressPolicy
from instances.ssh.errors import NoCommonAlgorithm, SSHError, SSHTooOld
from instances.ssh.host_keys import HOST_KEY_FAMILIES, PublicHostKey
from instances.ssh.jump import Jump, reach
from instances.ssh.waits import Deadlines, Pulse, Tick

Family = tuple[str, ...]
FAMILY_NAMES = dict(zip(HOST_KEY_FAMILIES, ("Ed25519", "ECDSA", "RSA"), strict=True))


@dataclass(frozen=True)
class Shown:
    """What a server showed: its keys, one per type; and what could not be asked for, and why."""

    keys: tuple[PublicHostKey, ...]
    missing: tuple[str, ...] = ()
    error: SSHError | None = None


def scan(
    host: str,
    port: int,
    *,
    policy: AddressPolicy,
    deadlines: Deadlines | None = None,
    tick: Tick = lambda: None,
    jump: Jump | None = None,
) -> Shown:
    """Return the host keys a server shows; logs in nowhere but at a jump host.

    Each type takes a connection of its own. If one of them fails after a key was seen, the types that are
    left are returned as missing. Raises an `SSHError` if no key was seen: the server cannot be reached, or
    has no key of a type that is still accepted.
    """
    limits, pulse, jump = deadlines or Deadlines(), Pulse(tick), jump and jump.remembering()
    keys: list[PublicHostKey] = []
    wanted: list[Family] = list(HOST_KEY_FAMILIES)
    while wanted:
        try:
            key, offered = _ask(host, port, jump, wanted, policy, limits, pulse)
        except SSHError as error:
            if jump and jump.offer.goes_on():
                continue
            if not keys:
                raise
            has_no_other = isinstance(error, SSHTooOld | NoCommonAlgorithm)
            missing = () if has_no_other else tuple(FAMILY_NAMES[family] for family in wanted)
            return Shown(tuple(keys), missing, error if missing else None)
        keys.append(key)
        wanted.remove(next((family for family in wanted if key.type in family), wanted[-1]))
        if offered:
            wanted = [family for family in wanted if offered & set(family)]
    return Shown(tuple(keys))


def _ask(
    host: str,
    port: int,
    jump: Jump | None,
    families: Sequence[Family],
    policy: AddressPolicy,
    limits: Deadlines,
    pulse: Pulse,
) -> tuple[PublicHostKey, set[str]]:
    """Return the server's key of the first of these families that it has, and the algorithms it offers."""
    link = reach(host, port, jump, policy=policy, deadlines=limits, pulse=pulse)
    try:
        key = link.negotiate([name for family in families for name in family])
        return key, set(link.offered_host_keys)
    finally:
        link.close()
