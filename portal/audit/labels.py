"""Plain words for what audit events say. Each app registers those of its own actions."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import ValidationError
from django.db.models import Manager
from django.forms import ChoiceField, Field, Form, ModelChoiceField
from django.forms.utils import pretty_name
from django.urls import reverse
from django.utils import timezone
from django.utils.choices import flatten_choices
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from portal.audit.detail_words import WORDS, word_for
from portal.audit.models import AuditEvent
from portal.audit.operator import in_words
from portal.punctuation import labelled, with_semicolons

GROUPS: dict[str, Promise] = {
    "user": _("Users"),
    "sign_in": _("Sign-in"),
    "history": _("Reading of the history"),
    "list": _("Exports of lists"),
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
    "user.password_change_failed": _("Own password entered incorrectly"),
    "user.password_change_locked": _("Change of own password locked"),
    "user.password_reset": _("Password set by an admin"),
    "user.name_erased": _("Name of a person erased"),
    "sign_in.succeeded": _("Signed in"),
    "sign_in.ended": _("Signed out"),
    "sign_in.failed": _("Sign-in failed"),
    "sign_in.locked": _("Sign-in locked"),
    "sign_in.unlocked": _("Sign-in lock lifted"),
    "sign_in.failures_counted": _("Failed sign-ins in a quarter of an hour"),
    "history.read": _("History read"),
    "history.exported": _("History exported"),
    "history.verified": _("History verified"),
    "history.head_explained": _("Missing noted head explained"),
    "history.break_sealed": _("Break in the history sealed"),
    "history.head_accepted": _("Missing end of the history accepted"),
    "list.exported": _("List exported"),
    "access.refused": _("Access refused"),
    "portal.backed_up": _("Database saved by a backup"),
    "portal.restored": _("Database restored from a backup"),
    "portal.old_removed": _("Data removed after its retention period"),
    "key.accepted": _("Key of the portal replaced"),
    "audit_key.replaced": _("Audit key replaced"),
}


def register(
    *,
    groups: Mapping[str, Promise],
    labels: Mapping[str, Promise],
    details: Mapping[str, Promise] | None = None,
) -> None:
    """Add an app's words: nouns of actions as the filter lists them, and labels of actions and details.

    An app that registers later is listed earlier: what is built on others comes first.
    """
    own = dict(GROUPS)
    GROUPS.clear()
    GROUPS.update({**groups, **own})
    LABELS.update(labels)
    WORDS.update(details or {})


EXPORTS: list[str] = ["history.exported", "list.exported"]
"""Actions by which something left the portal; a room adds its own."""
EXPORTED = "exports"
"""What narrows the history to them, as a group does."""

PRESETS: list[str] = []
"""Groups that the page of the history offers as links, in this order."""


def offer(*groups: str) -> None:
    """Let the page of the history offer these groups of an app as links: what people ask for most."""
    PRESETS.extend(group for group in groups if group not in PRESETS)


EMPTY: tuple[object, ...] = (None, "", [], {})


@dataclass(frozen=True)
class HistoryLine:
    """An event with plain words for what it says."""

    event: AuditEvent
    label: Promise | str
    facts: list[tuple[str, str]]
    """What was recorded, and so is sealed."""
    added: list[tuple[str, str]] = field(default_factory=list)
    """What the portal adds from elsewhere, and no seal covers."""
    is_alarm: bool = False
    who: str = ""
    """Who did it, as people read it: a person, or the portal in the name of one."""
    url: str = ""
    """The page of what it is about, where a row leads there."""


@dataclass(frozen=True)
class Meaning:
    """What an app knows about an event beyond what was recorded.

    `label` replaces the usual one. `facts` replace recorded ones of the same name, as other words for what
    they say; others are shown as added, since they are no part of the sealed entry.
    """

    label: Promise | str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    is_alarm: bool = False
    """Whether it gets a mark: something is wrong that somebody must look at."""
    who: str = ""
    """Who did it, where the portal acted in a person's name and it is known what for."""
    url: str = ""
    """Where the row leads besides its entry: to what the entry does not say, such as how a retry ended."""


Pages = Callable[[str, User | AnonymousUser], str]
_pages: dict[str, Pages] = {}


def page_of(target_type: str, name: str, rows: "Manager[Any]", *, permission: str = "") -> None:
    """Let entries about one kind of object lead to its page, as long as there is one to see."""

    def page(target_id: str, user: User | AnonymousUser) -> str:
        if permission and not user.has_perm(permission):
            return ""
        try:
            is_there = rows.filter(pk=target_id).exists()
        except (ValueError, ValidationError):  # an id of another kind
            return ""
        return reverse(name, args=[target_id]) if is_there else ""

    _pages[target_type] = page


def page_url(event: AuditEvent, user: User | AnonymousUser) -> str:
    """Return the address of the page about an event's object; empty if there is none for this person."""
    page = _pages.get(event.target_type)
    return page(event.target_id, user) if page else ""


_values: dict[str, dict[str, Promise | str]] = {}
_names: dict[str, Callable[[str], str]] = {}


def name_values(detail: str, choices: Iterable[tuple[str, Promise | str]]) -> None:
    """Let the codes that a detail may have be read as words; any other text stays as it is."""
    _values.setdefault(detail, {}).update(choices)


_sayers: dict[str, Callable[[str], str]] = {}


def say_values(words: Callable[[str], str], *details: str) -> None:
    """Let a function make words of the text that these details keep; it returns any other as it is."""
    _sayers.update(dict.fromkeys(details, words))


HISTORY = "history"
"""The list whose filters are those of the history."""
_forms: dict[str, Callable[[], Form]] = {}


def name_filters(of: str, form: Callable[[], Form]) -> None:
    """Let the filters of a list be read by the labels and choices of the form that has them."""
    _forms[of] = form


def form_of(of: str) -> Form | None:
    """Return the form with the filters of a list, if it is still known."""
    return _forms[of]() if of in _forms else None


def in_words_of(
    filters: Mapping[str, object], names: Mapping[str, Mapping[str, str]], form: Form | None
) -> str:
    """Return filters in words, given the names of rows by detail and id, and the form that has them."""
    parts = []
    for key, each in filters.items():
        field = form.fields.get(key) if form else None
        label = field.label if field else ""
        if not label or label == pretty_name(key):  # nobody gave it one
            label = word_for(key)
        parts.append(labelled(label, names.get(key, {}).get(str(each)) or _of_field(field, key, each)))
    return ", ".join(parts)


def _of_field(field: Field | None, key: str, value: object) -> str:
    if str(value) == "True":
        return gettext("yes")
    if isinstance(field, ChoiceField) and not isinstance(field, ModelChoiceField):
        choices: Iterable[tuple[object, object]] = flatten_choices(field.choices)  # type: ignore[arg-type]  # a list
        words = {str(code): str(word) for code, word in choices}
        return words.get(str(value)) or value_in_words(key, value)
    return value_in_words(key, value)


_rows: dict[str, "Manager[Any]"] = {}


def name_rows(detail: str, rows: "Manager[Any]") -> None:
    """Let the ids that a filter of an export keeps be read as the names of these rows."""
    _rows[detail] = rows


def named(detail: str, ids: Iterable[str]) -> dict[str, str]:
    """Return the names of the rows with these ids, as far as there are any; one statement."""
    asked = []
    for each in ids:
        with suppress(ValueError):  # a number, a word, or what somebody changed by hand
            asked.append(UUID(each))
    rows = _rows.get(detail)
    return {str(pk): str(row) for pk, row in rows.in_bulk(asked).items()} if rows and asked else {}


def name_in_words(target_type: str, words: Callable[[str], str]) -> None:
    """Let the kept name of one kind of object, which is English, be read in the language of the page."""
    _names[target_type] = words


def target_in_words(event: AuditEvent) -> str:
    """Return the name of an event's object as people read it."""
    words = _names.get(event.target_type)
    return words(event.target_name) if words else event.target_name


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
    told = {key: value for key, value in _flat(event.details) if _is_told(key, value, meaning)}
    recorded = {key: value_in_words(key, value) for key, value in told.items()}
    added = [(key, text) for key, text in meaning.facts.items() if text and key not in recorded]
    return HistoryLine(
        event,
        meaning.label or label(event.action),
        facts=[(word_for(key), meaning.facts.get(key, text)) for key, text in recorded.items()],
        added=[(word_for(key), text) for key, text in added],
        is_alarm=meaning.is_alarm,
        who=meaning.who or _who(event),
        url=meaning.url,
    )


def _is_told(key: str, value: object, meaning: Meaning) -> bool:
    """Whether a row says a detail: nothing was recorded as None on purpose, where there are words for it."""
    return value not in EMPTY or (value is None and key in meaning.facts)


def is_in_the_name_of_somebody(event: AuditEvent) -> bool:
    """Whether the portal did it for a person who did not ask for it just then.

    What people ask for has an address and a request; what runs on their behalf later has neither.
    """
    return event.actor_id is not None and not event.ip and not event.request_id


def _who(event: AuditEvent) -> str:
    name = in_words(event.actor_name)
    return gettext("%(name)s (by the portal)") % {"name": name} if is_in_the_name_of_somebody(event) else name


def _flat(details: dict[str, object]) -> Iterator[tuple[str, object]]:
    """Yield the details, with a line of its own for each value that was changed."""
    changes = _changes(details)
    for key, value in details.items():
        if not changes or key not in ("before", "after", "changes"):
            yield key, value
    for key, (before, after) in changes.items():
        if before != after:
            yield key, f"{value_in_words(key, before) or '—'} → {value_in_words(key, after) or '—'}"


def _changes(details: dict[str, object]) -> dict[str, tuple[object, object]]:
    """Return former and new values by name. Events keep them in one of two ways."""
    before, after, pairs = details.get("before"), details.get("after"), details.get("changes")
    if isinstance(before, dict) and isinstance(after, dict):
        return {key: (before.get(key), value) for key, value in after.items()}
    if isinstance(pairs, dict) and all(isinstance(pair, list) and len(pair) == 2 for pair in pairs.values()):
        return {key: (pair[0], pair[1]) for key, pair in pairs.items()}
    return {}


def label(action: str) -> Promise | str:
    """Return plain words for an action; for one without an entry, its own words."""
    return LABELS.get(action) or action.replace(".", " ").replace("_", " ").capitalize()


def value_in_words(key: str, value: object) -> str:
    """Return the value of a detail as people read it; empty for none."""
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return ", ".join(value_in_words(key, each) for each in value)
    if not isinstance(value, str):
        return _plain(value)
    words = _values.get(key, {})
    if value in words:
        return str(words[value])
    return _sayers[key](value) if key in _sayers else _local(value) or in_words(value)


_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


def _local(text: str) -> str:
    """Return a kept moment in the time zone of the reader; an empty text for anything else."""
    try:
        at = datetime.fromisoformat(text) if _MOMENT.fullmatch(text) else None
    except ValueError:  # changed by hand
        return ""
    return f"{timezone.localtime(at):%Y-%m-%d %H:%M:%S}" if at else ""


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return gettext("yes") if value else gettext("no")
    if isinstance(value, list) and all(isinstance(each, dict) for each in value):
        return with_semicolons(map(_plain, value))
    if isinstance(value, dict):
        parts = ((key, value_in_words(key, each)) for key, each in _flat(value) if each not in EMPTY)
        return ", ".join(labelled(word_for(key), text) for key, text in parts)
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


name_values("method", [("GET", _("opening a page")), ("POST", _("doing something"))])
