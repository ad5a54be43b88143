"""Replacing a key of the portal: always on purpose, and always in the history."""

from collections.abc import Collection

from django.db import transaction

from portal.audit.trail import Actor, record
from portal.keys import holders, known
from portal.keys.registry import Key, registered


def replaceable() -> list[str]:
    """Return the names of the keys that may be given up for another one if they are lost."""
    return [key.name for key in registered() if key.can_be_replaced]


def accept(key: Key, *, actor: Actor) -> str:
    """Make the newest key that this process holds the portal's own; return what was done, as a sentence.

    `KeysRefused` while a running process lacks it. The SSH key alone is one that they cannot hold before.
    """
    if key.takes_over:
        if not key.held():
            _refuse_unless_it_fits(key)
        return key.takes_over(actor=actor)
    if key.name != "ssh_key":
        holders.refuse_while_lacking(key)
    with transaction.atomic():
        accept_keys([key.name], actor=actor)
    return f"{key.name} is the portal's own now. Restart every process that still has the former one."


def accept_keys(names: Collection[str], *, actor: Actor) -> None:
    """Let the keys that this process holds be the portal's own, in the transaction of the caller.

    `KeysRefused` for a key that is missing, or that does not open what is stored.
    """
    before = known.known_keys()
    for key in registered():
        if key.name in names and key.takes_over:
            key.takes_over(actor=actor)
        elif key.name in names:
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
