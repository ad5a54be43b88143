"""Replacing a key of the portal: always on purpose, and always in the history."""

from collections.abc import Collection

from portal.audit.models import Actor, record
from portal.keys import known
from portal.keys.registry import Key, registered


def replaceable() -> list[str]:
    """Return the names of the keys that may be replaced at all."""
    return [key.name for key in registered() if key.can_be_replaced]


def accept_keys(names: Collection[str], *, actor: Actor) -> None:
    """Let the keys that this process holds be the portal's own, in the transaction of the caller.

    `KeysRefused` for a key that is missing, or that does not open what is stored.
    """
    before = known.known_keys()
    for key in registered():
        if key.name in names:
            _refuse_unless_it_fits(key)
            former = before[key.name].fingerprint if key.name in before else ""
            row = known.replace(key)
            details: dict[str, object] = {"key": key.name, "before": former, "after": row.fingerprint}
            record("key.accepted", actor=actor, details=details)


def _refuse_unless_it_fits(key: Key) -> None:
    if not key.held():
        raise known.KeysRefused(
            [f"{key.setting} is missing: {key.place} is not there, or holds no usable key."]
        )
    if problems := key.evidence():
        raise known.KeysRefused(problems)
