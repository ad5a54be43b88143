"""Plain words for what audit events say. Each app registers those of its own actions."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from portal.audit.models import AuditEvent

GROUPS: dict[str, Promise] = {
    "user": _("Users"),
    "sign_in": _("Sign-in"),
    "history": _("Reading of the history"),
    "access": _("Refused access"),
    "portal": _("The portal"),
    "key": _("The portal's keys"),
    "audit_key": _("Audit key"),
}

LABELS: dict[str, Promise] = {
    "user.created": _("User created"),
    "user.role_changed": _("Role changed"),
    "user.deactivated": _("User deactivated"),
    "user.reactivated": _("User reactivated"),
    "user.password_changed": _("Own password changed"),
    "user.password_change_failed": _("Own password entered wrong"),
    "user.password_change_locked": _("Change of the own password locked"),
    "user.password_reset": _("Password set by an admin"),
    "user.name_erased": _("Name of a person erased"),
    "sign_in.succeeded": _("Signed in"),
    "sign_in.ended": _("Signed out"),
    "sign_in.failed": _("Sign-in failed"),
    "sign_in.locked": _("Sign-in locked"),
    "sign_in.unlocked": _("Lock of a sign-in lifted"),
    "sign_in.failures_counted": _("Failed sign-ins of a quarter of an hour"),
    "history.read": _("History read"),
    "history.exported": _("History exported"),
    "history.verified": _("History verified"),
    "history.break_sealed": _("Break in the history sealed"),
    "history.head_accepted": _("Missing end of the history accepted"),
    "access.refused": _("Access refused"),
    "portal.backed_up": _("Database saved by a backup"),
    "portal.restored": _("Database restored from a backup"),
    "portal.old_removed": _("Removed: what was kept long enough"),
    "key.accepted": _("Key of the portal replaced"),
    "audit_key.replaced": _("Audit key replaced"),
}


def register(*, groups: Mapping[str, Promise], labels: Mapping[str, Promise]) -> None:
    """Add an app's words: the nouns of its actions as the filter lists them, and a label for each action.

    An app that registers later is listed earlier: what is built on others comes first.
    """
    own = dict(GROUPS)
    GROUPS.clear()
    GROUPS.update({**groups, **own})
    LABELS.update(labels)


EMPTY: tuple[object, ...] = (None, "", [], {})


@dataclass(frozen=True)
class HistoryLine:
    """An event with plain words for what it says."""

    event: AuditEvent
    label: Promise | str
    facts: list[tuple[str, str]]


@dataclass(frozen=True)
class Meaning:
    """What an app knows about an event beyond what was recorded.

    `label` replaces the usual one. `facts` replace recorded ones of the same name; others come first.
    """

    label: Promise | str = ""
    facts: Mapping[str, str] = field(default_factory=dict)


Teller = Callable[[Sequence[AuditEvent]], Mapping[int, Meaning]]
_tellers: dict[str, Teller] = {}


def tells(target_type: str) -> Callable[[Teller], Teller]:
    """Register a function that gives meanings, by number, for events about one kind of object."""

    def register(teller: Teller) -> Teller:
        _tellers[target_type] = teller
        return teller

    return register


def lines_of(events: Sequence[AuditEvent]) -> list[HistoryLine]:
    """Return events with their words. Each kind of object is asked once for all of its events."""
    meanings: dict[int, Meaning] = {}
    for kind, teller in _tellers.items():
        if about := [event for event in events if event.target_type == kind]:
            meanings |= teller(about)
    return [_line(event, meanings.get(event.seq, Meaning())) for event in events]


def line_of(event: AuditEvent) -> HistoryLine:
    """Return one event with its words."""
    return lines_of([event])[0]


def _line(event: AuditEvent, meaning: Meaning) -> HistoryLine:
    recorded = {key: _plain(value) for key, value in _flat(event.details) if value not in EMPTY}
    added = {key: text for key, text in meaning.facts.items() if text and key not in recorded}
    changed = {key: meaning.facts.get(key, text) for key, text in recorded.items()}
    facts = [(_named(key), text) for key, text in (added | changed).items()]
    return HistoryLine(event, meaning.label or label(event.action), facts)


def _flat(details: dict[str, object]) -> Iterator[tuple[str, object]]:
    """Yield the details, with a line of its own for each value that was changed."""
    changes = _changes(details)
    for key, value in details.items():
        if not changes or key not in ("before", "after", "changes"):
            yield key, value
    for key, (before, after) in changes.items():
        if before != after:
            yield key, f"{_plain(before) or '—'} → {_plain(after) or '—'}"


def _changes(details: dict[str, object]) -> dict[str, tuple[object, object]]:
    """Return former and new values by name. Events keep them in one of two ways."""
    before, after, pairs = details.get("before"), details.get("after"), details.get("changes")
    if isinstance(before, dict) and isinstance(after, dict):
        return {key: (before.get(key), value) for key, value in after.items()}
    if isinstance(pairs, dict) and all(isinstance(pair, list) and len(pair) == 2 for pair in pairs.values()):
        return {key: (pair[0], pair[1]) for key, pair in pairs.items()}
    return {}


def _named(key: str) -> str:
    return key.replace("_", " ")


def label(action: str) -> Promise | str:
    """Return plain words for an action; for one without an entry, its own words."""
    return LABELS.get(action) or action.replace(".", " ").replace("_", " ").capitalize()


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return gettext("yes") if value else gettext("no")
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return ", ".join(value)
    if isinstance(value, list) and all(isinstance(each, dict) for each in value):
        return "; ".join(_plain(each) for each in value)
    if isinstance(value, dict) and all(isinstance(each, str | int) for each in value.values()):
        return ", ".join(f"{_named(key)}: {each}" for key, each in value.items())
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
