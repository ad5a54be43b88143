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
    changed = []
    for event in _events_with(name):
        places = _places(event, name)
        for pointer in places:
            erased.add(event.seq, pointer, _erase(event, pointer, number))
        changed += [event] if places else []
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
    _store(changed)
    rows = sum(_erase_column(model, field, name, instead) for model, field in name_columns())
    return Erasure(event, instead, erased.count, rows, kept)


def is_known(name: str) -> bool:
    """Whether an event in form 2 holds this name as one: also a mail address, say."""
    return any(_places(event, name) for event in _events_with(name))


def _holds(name: str) -> Q:
    return Q(actor_name=name) | Q(target_type="user", target_name=name)


def _events_with(name: str) -> Iterator[AuditEvent]:
    """Yield events in form 2 that may hold the name."""
    in_details = Q(as_text__contains='"/details/')
    events = AuditEvent.objects.filter(form=2).alias(as_text=Cast("names", TextField()))
    yield from events.filter(_holds(name) | in_details).order_by("seq").iterator(BATCH)


def _places(event: AuditEvent, name: str) -> list[str]:
    """Return the places at which an event shows the name."""
    content = event.readable
    return [
        pointer
        for pointer, known in sorted((event.names or {}).items())
        if "salt" in known and str(value_at(content, pointer)).casefold() == name.casefold()
    ]


def _erase(event: AuditEvent, pointer: str, number: int) -> str:
    """Take a name out of an event that is not stored yet; return the commitment that stays."""
    content, names = event.readable, event.names or {}
    known = commitment(names[pointer]["salt"], str(value_at(content, pointer)))
    put_at(content, pointer, replacement(number))
    event.actor_name, event.target_name = str(content["actor_name"]), str(content["target_name"])
    event.names = {**names, pointer: {"commitment": known, "erased_by": number}}
    return known


def _store(events: Iterable[AuditEvent]) -> None:
    with without_triggers(connection, AuditEvent._meta.db_table):  # noqa: SLF001  # Django's documented API
        AuditEvent.objects.bulk_update(events, COLUMNS, batch_size=BATCH)


def _erase_column(model: type[models.Model], field: str, name: str, instead: str) -> int:
    table = model._meta.db_table  # noqa: SLF001  # Django's documented API
    rows = model._default_manager.filter(**{field: name})  # noqa: SLF001
    if all(each.model is not model for each in registered()):
        return rows.update(**{field: instead})
    with without_triggers(connection, table):
        return rows.update(**{field: instead})
