"""The audit trail: append-only events, each chained to the one before by its hash, and sealed with a key."""

import hmac
from typing import Any

from django.contrib.auth.models import User
from django.db import models
from django.db.models import F, Value
from django.db.models.functions import StrIndex, Substr
from django.utils.translation import gettext_lazy as _

from portal.audit import append_only
from portal.audit.chain import audit_keys, canonical
from portal.audit.chain.audit_keys import Epochs

FIRST = "0" * 64
seal = audit_keys.seal
UNREADABLE = (AttributeError, LookupError, TypeError, ValueError)
"""What is raised by a row that no release of the portal wrote, such as one whose time is no time."""

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
    """Where names of people are (`portal.audit.chain.canonical.Names`); empty in form 1."""
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
            return seal(self.form_1_text, key)
        return canonical.hash_2(self.text, self.prev_hash)

    @property
    def text(self) -> str:
        """The canonical text of an event in form 2. Errors as of `digest`."""
        if self.form != canonical.NEWEST:
            raise ValueError(f"form {self.form} has no text")
        return canonical.encode(canonical.form_2(self.readable, self.names or {}))

    @property
    def form_1_text(self) -> str:
        """The canonical text of an event in form 1, over which its keyed hash was made."""
        return canonical.encode(self._form_1())

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
        return self.verified_text(key) is not None

    def verified_text(self, key: str) -> str | None:
        """Return the canonical text if the event is as it was when this key sealed it; None otherwise.

        Making the text is most of the work of a verification: who needs it too gets it from here.
        """
        if not key:
            return None
        try:
            text = self.form_1_text if self.form is None else self.text
            found = seal(text, key) if self.form is None else canonical.hash_2(text, self.prev_hash)
            is_whole = hmac.compare_digest(self.hash.encode(), found.encode())
            if is_whole and self.form is not None:
                is_whole = hmac.compare_digest(str(self.seal).encode(), self._expected_seal(key).encode())
        except UNREADABLE:
            return None
        return text if is_whole else None

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


class SignedHead(models.Model):
    """A head of the chain that the portal signed with its signing key, for people outside."""

    id = models.BigAutoField(primary_key=True)
    seq = models.BigIntegerField()
    hash = models.CharField(max_length=64)
    at = models.DateTimeField()
    public_key = models.CharField(max_length=200)
    signature = models.TextField()

    class Meta:
        ordering = ["-pk"]
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["seq", "hash"], name="audit_head_signed_once")]

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"


append_only.register(SignedHead)


def epochs() -> Epochs:
    """Return which audit key sealed which events."""
    return Epochs(AuditEvent.objects.filter(action=audit_keys.REPLACED).order_by("seq"))
