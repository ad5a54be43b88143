"""Recording in the audit trail: who acts, and what is added to the chain in the transaction of a change."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Self

from django.contrib.auth.models import User
from django.db import connection, models, transaction
from django.dispatch import Signal
from django.http import HttpRequest
from django.utils import timezone

from portal.audit import names
from portal.audit.chain import canonical
from portal.audit.models import AuditEvent, AuditHead
from portal.plaintext import cut_out

RECORDED_AT_ONCE = 500  # events in one statement
Details = dict[str, object]
recorded = Signal()
"""Sent after the commit of a transaction that recorded events."""


@dataclass(frozen=True)
class Actor:
    """Who acts: a person at a request, a person at the command line, or a part of the portal."""

    name: str
    user: User | None = None
    ip: str = ""
    request_id: str = ""
    is_person: bool = True
    """Whether the name is a person's, and so can be erased from the history one day."""

    @classmethod
    def of(cls, request: HttpRequest) -> Self:
        """Return the signed-in person behind a request."""
        user = request.user
        if not isinstance(user, User):
            return cls(name="anonymous", ip=request.META["portal.client_ip"], is_person=False)
        meta = request.META
        return cls(cut_out(user.get_username()), user, meta["portal.client_ip"], meta["portal.request_id"])

    @classmethod
    def kept(cls, name: str, user: User | None) -> Self:
        """Return who acted earlier, from a row that kept name and user.

        Without a user it was a person at the command line, whose name is a person's as well.
        """
        return cls(name, user, is_person=user is not None or name != PORTAL.name)


PORTAL = Actor("portal", is_person=False)
"""The portal itself: what it does without being asked by a person."""


@dataclass(frozen=True)
class Entry:
    """What is to be recorded: an action, its object and plain JSON values, never a secret."""

    action: str
    target: models.Model | None = None
    details: Details = field(default_factory=dict)


def record(
    action: str, *, actor: Actor, target: models.Model | None = None, details: Details | None = None
) -> AuditEvent:
    """Append one event, in the transaction of the change that it describes.

    `action` is `noun.verb_past`; `details` hold plain JSON values and never a secret. The head row stays
    locked until the transaction ends, which makes the numbers gapless: record last, and keep it short.
    """
    return record_all([Entry(action, target, details or {})], actor=actor)[0]


def record_all(entries: Iterable[Entry], *, actor: Actor, key: str = "") -> list[AuditEvent]:
    """Append several events of one actor as `record` does, but with few statements for all of them.

    Only the replacement of the audit key gives a `key`: from these events on it is the one in use.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("an audit event is recorded in the transaction of the change it describes")
    head = AuditHead.objects.select_for_update().get(pk=1)
    key = key or head.key_in_use
    events = [_chained(entry, actor, head, key) for entry in entries]
    AuditEvent.objects.bulk_create(events, batch_size=RECORDED_AT_ONCE)
    head.seal = head.expected_seal(key)
    head.save(update_fields=["seq", "hash", "seal"])
    transaction.on_commit(_tell)
    return events


def _tell() -> None:
    recorded.send_robust(AuditEvent)


def _chained(entry: Entry, actor: Actor, head: AuditHead, key: str) -> AuditEvent:
    """Return the event that comes after `head`, and move `head` on to it."""
    event = AuditEvent(
        form=canonical.NEWEST,
        seq=head.seq + 1,
        at=timezone.now(),
        actor=actor.user,
        actor_name=cut_out(actor.name)[:150],
        ip=actor.ip,
        action=entry.action,
        request_id=actor.request_id,
        details=_recordable(entry.details),
    )
    if entry.target is not None:
        event.target_type = audit_name(entry.target)
        event.target_id = str(entry.target.pk)
        event.target_name = cut_out(str(entry.target))[:250]
    event.names = names.salted(
        [
            *(["/actor_name"] if actor.is_person else []),
            *(["/target_name"] if isinstance(entry.target, User) else []),
            *names.marked(entry.details, "/details"),
        ]
    )
    event.chain(head.hash, key)
    head.seq, head.hash = event.seq, event.hash
    return event


_OF_OTHERS = {"auth.User": "user"}
"""Names of models that are not the portal's own."""


def audit_name(row: models.Model) -> str:
    """Return the name by which events know this kind of object, for ever: `audit_name` of its model.

    It is no name of a class: a model that is renamed keeps its history. `TypeError` if it has none.
    """
    name = getattr(row, "audit_name", "") or _OF_OTHERS.get(row._meta.label, "")  # noqa: SLF001  # Django's API
    if not name:
        raise TypeError(f"{type(row).__name__} has no audit_name: events about it could not be found again")
    return name


def _recordable(value: Any) -> Any:  # Any: whatever JSON holds
    """Return details without client secrets: people search for them, and nothing is ever removed here.

    `TypeError` for a fraction: not everybody who recomputes a hash would write it in the same way.
    """
    if isinstance(value, str):
        return cut_out(value)
    if isinstance(value, dict):
        return {cut_out(str(key)): _recordable(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_recordable(each) for each in value]
    if isinstance(value, float):
        raise TypeError("an event holds no fractions: record a whole number of a smaller unit, or a text")
    return value
