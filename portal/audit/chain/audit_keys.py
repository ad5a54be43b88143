"""Which audit key sealed which events. What a former key sealed is always verified with that key.

The setting holds one key a line, the newest first. `keys accept audit_key` records an event under the new
key; from that event on only the new key counts. Its `prev_hash` vouches, under the new key, for every
event before it, so a former key that was stolen can no longer change them, nor add any: an event is
verified with the key of its time and with no other.
"""

import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from portal.keys import known, registry

NAME = "audit_key"
REPLACED = "audit_key.replaced"


def fingerprint(key: str) -> str:
    """Return what tells an audit key from another one."""
    return registry.fingerprint(key.encode(), NAME)


def held() -> list[str]:
    """Return the audit keys of this process, the newest first."""
    return registry.keys_of(NAME)


def seal(text: str, key: str = "") -> str:
    """Return HMAC-SHA256 of `text` in hex, under a key or else under the newest one."""
    return hmac.digest((key or (held() or [""])[0]).encode(), text.encode(), "sha256").hex()


def sealed_with(text: str, found: str) -> str:
    """Return the key of this process under which `found` is the seal of `text`, or an empty string."""
    for key in held():
        if hmac.compare_digest(found.encode(), seal(text, key).encode()):
            return key
    return ""


class Replacement(Protocol):
    """An event that says that another audit key is in use from now on."""

    seq: int
    details: dict[str, Any]  # Any: plain JSON values

    def is_sealed_with(self, key: str) -> bool:
        """Whether the event is as it was when this key sealed it."""


@dataclass(frozen=True)
class Epoch:
    """The time of one audit key: from its first event until the next epoch begins."""

    first: int
    fingerprint: str
    key: str
    """Empty if this process does not hold it: then the events of that time cannot be verified here."""


class Epochs:
    """The times of all audit keys. With one key that was never replaced there is one."""

    def __init__(self, replacements: Iterable[Replacement]) -> None:
        keys = {fingerprint(key): key for key in held()}
        valid = []
        for event in replacements:
            after = str(event.details.get("after"))
            if after in keys and event.is_sealed_with(keys[after]):
                valid.append((event.seq, str(event.details.get("before")), after))
        begun = valid[0][1] if valid else _recorded(keys)
        self._epochs = [Epoch(0, begun, keys.get(begun, ""))]
        for seq, _, after in valid:
            if all(each.fingerprint != after for each in self._epochs):  # nobody goes back to a former key
                self._epochs.append(Epoch(seq, after, keys[after]))

    def at(self, seq: int) -> Epoch:
        """Return the epoch of an event's number."""
        return next(each for each in reversed(self._epochs) if each.first <= max(seq, 0))

    @property
    def unheld(self) -> list[tuple[Epoch, int]]:
        """The epochs whose key is not here, each with the number of its last event."""
        pairs = zip(self._epochs, self._epochs[1:], strict=False)
        return [(epoch, following.first - 1) for epoch, following in pairs if not epoch.key]


def _recorded(keys: dict[str, str]) -> str:
    """Return the fingerprint of the key in use: the database's, if this process holds it."""
    if len(keys) > 1:
        row = known.known_keys().get(NAME)
        if row and row.fingerprint in keys:
            return row.fingerprint
    return next(iter(keys), "")


def in_use(text: str, found: str) -> str:
    """Return the key to seal new events with: the one that sealed the head, whose seal is `found`.

    `KeysRefused` if that was none of this process's keys and the database has recorded another one: it was
    replaced meanwhile, and what this process wrote would never verify.
    """
    if key := sealed_with(text, found):
        return key
    if problem := known.problem_of(registry.named(NAME)):
        raise known.KeysRefused([problem])
    keys = {fingerprint(each): each for each in held()}
    return keys.get(_recorded(keys), "")
