"""The audit trail: append-only events, each chained to the one before by a keyed hash."""

import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Self

from django.contrib.auth.models import User
from django.db import connection, models, transaction
from django.db.models import F, Value
from django.db.models.functions import StrIndex, Substr
from django.dispatch import Signal
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from portal.audit import append_only, audit_keys, canonical, names
from portal.audit.audit_keys import Epochs
from portal.plaintext import cut_out

FIRST = "0" * 64
seal = audit_keys.seal
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


UNREADABLE = (AttributeError, LookupError, TypeError, ValueError)
"""What a row raises that no release of the portal wrote, such as one with a text that is no time."""

PORTAL = Actor("portal", is_person=False)
"""The portal itself: what it does without being asked by a person."""

GROUP = Substr("action", 1, StrIndex("action", Value(".")))
"""The noun of an action, with its dot: `push.` of `push.failed`."""


class AuditEvent(models.Model):
    """One line of history. Rows are only ever added; database triggers refuse everything else."""

    seq = models.BigIntegerField(_("number"), primary_key=True)
    at = models.DateTimeField(_("time"))
    actor = models.ForeignKey(User, models.PROTECT, null=True, verbose_name=_("person"), related_name="+")
    actor_name = models.CharField(_("who"), max_length=150)
    ip = models.CharField(_("address"), max_length=45, blank=True)
    action = models.CharField(_("action"), max_length=60)
    target_type = models.CharField(_("kind"), max_length=60, blank=True)
    target_id = models.CharField(_("id"), max_length=60, blank=True)
    target_name = models.CharField(_("what"), max_length=250, blank=True)
    details = models.JSONField(_("details"), default=dict)
    request_id = models.CharField(_("request"), max_length=32, blank=True)
    prev_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64)
    form = models.PositiveSmallIntegerField(null=True)
    """Which canonical form the hash is made over; empty: form 1."""
    names = models.JSONField(null=True)
    """Where names of people are (`portal.audit.canonical.Names`); empty in form 1."""
    seal = models.CharField(max_length=64, null=True)  # noqa: DJ001  # with a default, SQLite rebuilds the table
    """The audit key's seal on the hash; empty in form 1, whose hash is made with the key."""

    class Meta:
        ordering = ["-seq"]
        default_permissions = ("view",)
        permissions = [
            ("view_all_events", "Can see everybody's events"),
            ("export_events", "Can export events and verify the chain"),
        ]
        indexes = [
            models.Index(fields=["at"], name="audit_by_time"),  # history: from, until
            models.Index(fields=["action", "-seq"], name="audit_by_action"),  # the last verification
            models.Index(GROUP, F("seq").desc(), name="audit_by_group"),  # history: about one kind of thing
            models.Index(fields=["actor", "-seq"], name="audit_by_actor"),  # history: own events
            models.Index(
                fields=["target_type", "target_id", "-seq"], name="audit_by_target"
            ),  # an object's page
        ]

    def __str__(self) -> str:
        return f"{self.seq} {self.action}"

    def digest(self, key: str = "") -> str:
        """Return the hash over this event and the hash before it.

        In form 1 under `key`, or else the newest one. `ValueError`, `TypeError`, `AttributeError` or
        `LookupError` for a row that no release of the portal wrote.
        """
        if self.form is None:
            return seal(canonical.encode(self._form_1()), key)
        return canonical.hash_2(self.text, self.prev_hash)

    @property
    def text(self) -> str:
        """The canonical text of an event in form 2. Errors as of `digest`."""
        if self.form != canonical.NEWEST:
            raise ValueError(f"form {self.form} has no text")
        return canonical.encode(canonical.form_2(self.readable, self.names or {}))

    @property
    def text_or_nothing(self) -> str:
        """The canonical text; empty in form 1, and for a row that no release of the portal wrote."""
        try:
            return self.text
        except UNREADABLE:
            return ""

    def exported(self) -> dict[str, object]:
        """Return all of the row, from which anybody can recompute the hash of form 2."""
        chained = {"prev_hash": self.prev_hash, "hash": self.hash}
        if self.form is None:
            return {**self._form_1(), **chained}
        return {**self.readable, "form": self.form, "names": self.names, **chained, "seal": self.seal}

    @property
    def readable(self) -> dict[str, object]:
        """The content as form 2 has it, with the names of people in clear."""
        return canonical.readable(**self._columns())

    def chain(self, prev_hash: str, key: str = "") -> None:
        """Make this the event after the one with that hash, sealed under `key` or else the newest one."""
        self.prev_hash = prev_hash
        self.hash = self.digest(key)
        if self.form is not None:
            self.seal = self._expected_seal(key)

    @property
    def is_as_recorded(self) -> bool:
        """Whether nothing in this event was changed since the portal recorded it."""
        return self.is_sealed_with(epochs().at(self.seq).key)

    def is_sealed_with(self, key: str) -> bool:
        """Whether the event is as it was when this key sealed it."""
        try:
            is_whole = bool(key) and hmac.compare_digest(self.hash.encode(), self.digest(key).encode())
            if not is_whole or self.form is None:
                return is_whole
            return hmac.compare_digest(str(self.seal).encode(), self._expected_seal(key).encode())
        except UNREADABLE:
            return False

    def _expected_seal(self, key: str) -> str:
        return seal(f"event|{self.hash}", key)

    def as_it_is(self) -> str:
        """Return all of the row, right or wrong, as one text. An erased name does not change it."""
        if self.form is None:
            return canonical.encode({**self._form_1(), "hash": self.hash})
        text = self.text_or_nothing or repr([self.form, *self._columns().values(), self.names])
        return canonical.encode([text, self.prev_hash, self.hash, self.seal])

    def _form_1(self) -> dict[str, object]:
        return canonical.form_1(**self._columns(), prev_hash=self.prev_hash)

    def _columns(self) -> dict[str, Any]:  # Any: each column has a type of its own
        return {name: getattr(self, name) for name in CONTENT}


CONTENT = (
    "seq",
    "at",
    "actor_id",
    "actor_name",
    "ip",
    "action",
    "target_type",
    "target_id",
    "target_name",
    "details",
    "request_id",
)
"""The columns that say what happened; the others chain and seal it."""

append_only.register(AuditEvent)


class AuditHead(models.Model):
    """The end of the chain: one row, locked while an event is added. Its seal shows a cut-off tail."""

    seq = models.BigIntegerField()
    hash = models.CharField(max_length=64)
    seal = models.CharField(max_length=64)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"

    def expected_seal(self, key: str = "") -> str:
        return seal(self._text, key)

    @property
    def sealed_with(self) -> str:
        """The key of this process that sealed it, or an empty string if none of them did."""
        return audit_keys.sealed_with(self._text, self.seal)

    @property
    def key_in_use(self) -> str:
        """The key to seal new events with."""
        return audit_keys.in_use(self._text, self.seal)

    @property
    def _text(self) -> str:
        return f"head|{self.seq}|{self.hash}"


def epochs() -> Epochs:
    """Return which audit key sealed which events."""
    return Epochs(AuditEvent.objects.filter(action=audit_keys.REPLACED).order_by("seq"))


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
