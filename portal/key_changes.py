"""Replacing a key of the portal: always on purpose, and always in the history."""

from collections.abc import Collection

from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from portal.audit.trail import Actor, Details, record
from portal.keys import holders, known
from portal.keys.registry import Key, registered
from portal.punctuation import some_of

MOST_NAMES = 100
"""Names that an event keeps; their number is always whole."""
MOST_SHOWN = 20


def replaceable() -> list[str]:
    """Return the names of the keys that may be given up for another one if they are lost."""
    return [key.name for key in registered() if key.can_be_replaced]


def accept(key: Key, *, actor: Actor, reason: str = "") -> str:
    """Make the newest key that this process holds the portal's own; return what was done, as a sentence.

    `KeysRefused` while a running process lacks it, or while somebody still needs the former key; the latter
    can be overruled with a `reason`, which the history keeps.
    """
    if key.takes_over:
        if not key.held():
            _refuse_unless_it_fits(key)
        return key.takes_over(actor=actor)
    if key.held():
        holders.refuse_while_lacking(key)
    left_behind = _left_behind(key, reason)
    details: Details = {"reason": reason} if reason else {}
    if left_behind:
        details |= {"left_behind": left_behind[:MOST_NAMES], "left_behind_count": len(left_behind)}
    with transaction.atomic():
        accept_keys([key.name], actor=actor, details=details)
    return _("%s is the portal's own now. Restart every process that still has the former one.") % key.name


def _left_behind(key: Key, reason: str) -> list[str]:
    """Return who needs the former key; `KeysRefused` if somebody does and no reason was given."""
    if not key.held() or known.is_first(key):
        return []
    names = key.still_needed()
    if names and not reason:
        shown = some_of(names[:MOST_SHOWN], len(names))
        text = ngettext(
            "%(setting)s: %(count)s has not taken the new key %(new)s and may need the former "
            "one: %(shown)s. Nothing was changed. If the portal can do without it: "
            "--reason TEXT; the history keeps it.",
            "%(setting)s: %(count)s have not taken the new key %(new)s and may need the former "
            "one: %(shown)s. Nothing was changed. If the portal can do without them: "
            "--reason TEXT; the history keeps it.",
            len(names),
        ) % {"setting": key.setting, "count": len(names), "new": key.held()[0], "shown": shown}
        raise known.KeysRefused([text])
    return names


def accept_keys(names: Collection[str], *, actor: Actor, details: Details | None = None) -> None:
    """Let the keys that this process holds be the portal's own, in the transaction of the caller.

    `details` are added to the event.

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
            told: Details = {"key": key.name, "before": former, "after": row.fingerprint}
            record("key.accepted", actor=actor, details=told | (details or {}))


def _refuse_unless_it_fits(key: Key) -> None:
    if not key.held():
        raise known.KeysRefused(
            [
                _("%(setting)s is missing: %(place)s is not there, or holds no usable key.")
                % {"setting": key.setting, "place": key.place}
            ]
        )
    if problems := key.evidence():
        raise known.KeysRefused(problems)
