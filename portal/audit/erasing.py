"""Erases a name from the history, and records that. What was done stays, and the chain verifies as before.

Only events in form 2 can lose a name: form 1 has the names themselves in its text.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from django.contrib.auth.models import User
from django.db import connection, models
from django.db.models import Q, TextField
from django.db.models.functions import Cast

from portal.audit.append_only import registered, without_triggers
from portal.audit.chain.canonical import commitment, put_at, value_at
from portal.audit.chain.erased_names import ACTION, Erased, replacement
from portal.audit.models import AuditEvent, AuditHead
from portal.audit.names import name_columns
from portal.audit.trail import Actor, Details, record

BATCH = 500  # events
COLUMNS = ["actor_name", "target_name", "details", "names"]


@dataclass(frozen=True)
class Erasure:
    """What an erasure did."""

    event: AuditEvent
    replacement: str
    names: int
    """Names in the history that are erased."""
    rows: int
    """Rows of other tables that held the name."""
    kept: int
    """Events in form 1 that still hold it."""


def erase(name: str, *, user: User | None, reason: str, actor: Actor) -> Erasure:
    """Replace a name wherever the portal keeps it as a name; in a transaction.

    `user` is renamed, if the name is a user's. Texts that people typed, such as messages, are not searched.
    """
    head = AuditHead.objects.select_for_update().get(pk=1)  # nothing is recorded meanwhile
    number = head.seq + 1
    instead = replacement(number)
    kept = AuditEvent.objects.filter(_holds(name), form=None).count()
    erased = Erased()
    for event, pointer in _places(name):
        erased.add(event.seq, pointer, _commitment(event, pointer))
    if user:
        user.username = instead
        user.save(update_fields=["username"])
    details: Details = {
        "reason": reason,
        "names": erased.count,
        "digest": erased.digest,
        "kept_in_form_1": kept,
    }
    event = record(ACTION, actor=actor, target=user, details=details)
    _erase_events(name, number)
    rows = sum(_erase_column(model, field, name, instead) for model, field in name_columns())
    return Erasure(event, instead, erased.count, rows, kept)


def name_at(event: AuditEvent, pointer: str) -> str:
    """Return the name that an event shows at a place."""
    return str(value_at(event.readable, pointer))


def _commitment(event: AuditEvent, pointer: str) -> str:
    return commitment((event.names or {})[pointer]["salt"], name_at(event, pointer))


def _holds(name: str) -> Q:
    return Q(actor_name=name) | Q(target_type="user", target_name=name)


def _events_with(name: str) -> Iterator[AuditEvent]:
    """Yield events in form 2 that may hold the name."""
    in_details = Q(as_text__contains='"/details/')
    events = AuditEvent.objects.filter(form=2).alias(as_text=Cast("names", TextField()))
    yield from events.filter(_holds(name) | in_details).order_by("seq").iterator(BATCH)


def _places(name: str) -> Iterator[tuple[AuditEvent, str]]:
    for event in _events_with(name):
        for pointer, known in sorted((event.names or {}).items()):
            if "salt" in known and name_at(event, pointer).casefold() == name.casefold():
                yield event, pointer


def _erase_events(name: str, number: int) -> None:
    changed: dict[int, AuditEvent] = {}
    with without_triggers(connection, AuditEvent._meta.db_table):  # noqa: SLF001  # Django's documented API
        for event, pointer in _places(name):
            if event.seq < number:
                _erase(changed.setdefault(event.seq, event), pointer, number)
        _store(changed.values())


def _erase(event: AuditEvent, pointer: str, number: int) -> None:
    content = event.readable
    known = _commitment(event, pointer)
    put_at(content, pointer, replacement(number))
    event.actor_name, event.target_name = str(content["actor_name"]), str(content["target_name"])
    event.names = {**(event.names or {}), pointer: {"commitment": known, "erased_by": number}}


def _store(events: Iterable[AuditEvent]) -> None:
    AuditEvent.objects.bulk_update(events, COLUMNS, batch_size=BATCH)


def _erase_column(model: type[models.Model], field: str, name: str, instead: str) -> int:
    table = model._meta.db_table  # noqa: SLF001  # Django's documented API
    rows = model._default_manager.filter(**{field: name})  # noqa: SLF001
    if all(each.model is not model for each in registered()):
        return rows.update(**{field: instead})
    with without_triggers(connection, table):
        return rows.update(**{field: instead})
