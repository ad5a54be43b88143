"""Who is told what, what is to be told, and what became of each message."""

import uuid
from datetime import timedelta
from typing import Self

from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from portal.audit.names import declare_names
from portal.choices import WithChoices
from portal.notices.codes import Code

LEASE = timedelta(minutes=2)
"""Longer than sending one message may take."""


class Channel(WithChoices):
    """Where messages go: a mail address, or a web address that takes JSON; and about what."""

    audit_name = "notice_channel"

    class Way(models.TextChoices):
        MAIL = "mail", _("Mail")
        WEBHOOK = "webhook", _("Webhook")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(_("name"), max_length=80, unique=True)
    way = models.CharField(_("way"), max_length=10, choices=Way)
    address = models.CharField(_("address"), max_length=500)
    wants_all = models.BooleanField(_("everything"), default=True)
    """Whether it gets every kind, also those of later releases."""
    kinds = models.JSONField(_("kinds"), default=list, blank=True)
    """Otherwise the codes of those that it gets."""
    language = models.CharField(_("language"), max_length=10, default="en", db_default="en")
    """Of the words that people read; kinds, names and JSON keys are the same in each."""
    is_on = models.BooleanField(pgettext_lazy("state", "on"), default=True)
    key_number = models.PositiveIntegerField(default=1)
    key_of = models.CharField(max_length=64, blank=True)
    """The fingerprint of the audit key that the signing key follows from."""

    class Meta:
        ordering = ["name"]
        default_permissions = ()
        permissions = [("manage_notices", "Can say who is told what, and see what became of messages")]

    def __str__(self) -> str:
        return self.name

    def wants(self, kind: str) -> bool:
        """Whether it gets messages of a kind."""
        return self.wants_all or kind in self.kinds


declare_names(Channel, "address")


class Note(models.Model):
    """Something that happened and is to be told, not yet gathered into a message."""

    kind = models.CharField(max_length=40)
    subject = models.CharField(max_length=250, blank=True)
    details = models.JSONField(default=dict)
    link = models.CharField(max_length=250, blank=True)
    at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["pk"]
        default_permissions = ()
        indexes = [models.Index(fields=["kind", "at"], name="note_by_kind")]  # what is ready to be gathered

    def __str__(self) -> str:
        return f"{self.kind} {self.subject}"


class MessageQuerySet(models.QuerySet["Message"]):
    def waiting(self) -> Self:
        """Messages that are to be sent, now or later."""
        return self.filter(state__in=Message.WAITING)

    def due(self) -> Self:
        """Messages to send now, that nobody is sending.

        What lies further in the future than it was put there means that the clock was set back. The rows are
        joined with nothing: PostgreSQL looks at a row again that somebody else took while a claim waited for
        it, but not at the rows of a subquery that chose it.
        """
        in_time = Q(due__lte=Now()) | Q(put_off__gt=Now())
        free = Q(lease_until=None) | Q(lease_until__lte=Now()) | Q(lease_until__gt=Now() + LEASE * 2)
        is_on = Exists(Channel.objects.filter(pk=OuterRef("channel"), is_on=True))
        return self.waiting().filter(in_time & free & Q(is_on))


class Message(WithChoices):
    """One message to one channel. It holds names, codes, counts and links; its words are made late."""

    audit_name = "notice"

    class State(models.TextChoices):
        QUEUED = "queued", _("Queued")
        FAILED = "failed", _("Failed, will be tried again")
        SENT = "sent", _("Sent")
        GAVE_UP = "gave_up", _("Gave up")

    WAITING = [State.QUEUED, State.FAILED]

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    channel = models.ForeignKey(Channel, models.SET_NULL, null=True, related_name="messages")
    channel_name = models.CharField(max_length=80)
    kind = models.CharField(max_length=40)
    count = models.PositiveIntegerField(default=1)
    """How many notes it tells of."""
    content = models.JSONField(default=dict)
    """What `portal.notices.batches` makes of them."""
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.QUEUED)
    code = models.CharField(_("code"), max_length=30, choices=Code, blank=True)
    status = models.PositiveIntegerField(null=True)
    """The number with which web or mail server refused it."""
    tries = models.PositiveIntegerField(default=0)
    queued = models.DateTimeField(_("queued"), db_default=Now())
    due = models.DateTimeField(_("due"), db_default=Now())
    put_off = models.DateTimeField(db_default=Now())
    """When `due` was set, by the same clock."""
    holder = models.UUIDField(null=True)
    lease_until = models.DateTimeField(null=True)
    ended = models.DateTimeField(_("ended"), null=True)

    objects = MessageQuerySet.as_manager()

    class Meta:
        ordering = ["-queued"]
        default_permissions = ()
        indexes = [
            models.Index(
                fields=["due"], name="message_due", condition=Q(state__in=["queued", "failed"])
            ),  # what to send
            models.Index(fields=["-queued"], name="message_by_time"),  # the page
            models.Index(fields=["ended"], name="message_by_end"),  # retention
            models.Index(
                fields=["ended"], name="message_given_up", condition=Q(state="gave_up")
            ),  # figures, and the command
        ]

    def __str__(self) -> str:
        return f"{self.kind} to {self.channel_name}"

    @property
    def can_be_sent_again(self) -> bool:
        """Whether a button offers that: its channel is on, and it does not wait for its first try."""
        is_open = self.channel is not None and self.channel.is_on
        return is_open and self.state != self.State.QUEUED
