"""What was seen on containers: readings, one for each read, and observations of installations."""

import uuid
from collections.abc import Collection
from datetime import timedelta
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import FilteredRelation, OuterRef, Q, Subquery
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from instances.models import CONTAINER_ON, NOT_BY_HAND, Container, Installation
from instances.requirements import all_met
from portal.audit import append_only
from portal.audit.names import declare_names
from portal.choices import WithChoices


class ReadingQuerySet(models.QuerySet["Reading"]):
    def due(self) -> Self:
        """Those that wait, on containers that are on and can be reached."""
        return self.filter(Reading.is_due())

    def at_hand(self) -> Self:
        """Those that are due, and those that were left running. A container has one of both at most."""
        return self.filter(Q(state=Reading.State.RUNNING) | Reading.is_due())

    def newest(self, *, containers: Collection[uuid.UUID] | None = None, **of: object) -> Self:
        """The newest of each container, or of some, among those of the container that meet these conditions.

        Containers are asked for theirs: readings are kept for ever, and asking each one takes ever longer.
        """
        mine = Reading.objects.filter(container=OuterRef("pk"), **of).order_by("-asked")
        asked = Container.objects.order_by()
        if containers is not None:
            asked = asked.filter(pk__in=containers)
        return self.filter(pk__in=asked.annotate(newest=Subquery(mine.values("pk")[:1])).values("newest"))


class Reading(WithChoices):
    """One read of one container: asked for, under way, or how it ended and what it found there."""

    class State(models.TextChoices):
        QUEUED = "queued", _("Queued")
        RUNNING = "running", _("Running")
        SUCCEEDED = "succeeded", _("Read")
        FAILED = "failed", _("Failed")

    OPEN = (State.QUEUED, State.RUNNING)
    FARTHEST = timedelta(days=7)
    MOST_TRIES = 3
    """A reading that a vanished worker left is begun again so often."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    container = models.ForeignKey(Container, models.PROTECT, related_name="container_readings")
    state = models.CharField(_("state"), max_length=9, choices=State, default=State.QUEUED)
    asked_by = models.CharField(_("asked by"), max_length=150)
    person = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    asked = models.DateTimeField(_("asked"), db_default=Now())
    due = models.DateTimeField(db_default=Now())
    tries = models.PositiveSmallIntegerField(default=0)
    lease_token = models.UUIDField(null=True, editable=False)
    worker = models.CharField(max_length=100, blank=True)
    started = models.DateTimeField(_("started"), null=True)
    finished = models.DateTimeField(_("finished"), null=True)
    code = models.CharField(_("code"), max_length=30, blank=True)
    build = models.PositiveIntegerField(_("build"), null=True)
    found = models.JSONField(default=dict)
    """Instance name -> why its file was not read, or an empty text."""
    strange = models.PositiveIntegerField(default=0)
    """Files whose names no instance can have."""
    further = models.PositiveIntegerField(default=0)
    """Files beyond the most that are read."""
    seen = models.JSONField(default=list, null=True)
    """The numbers of the observations that it began or went on with. None: an earlier release did not say."""

    objects = ReadingQuerySet.as_manager()

    class Meta:
        ordering = ["-asked"]
        default_permissions = ()
        permissions = [("read_container", "Can have containers read")]
        constraints = [
            models.UniqueConstraint(
                fields=["container"], condition=Q(finished=None), name="discovery_one_open_reading"
            ),
        ]
        indexes = [
            models.Index(fields=["due"], name="reading_due", condition=Q(state="queued")),
            models.Index(fields=["container"], name="reading_running", condition=Q(state="running")),
            models.Index(fields=["container", "-asked"], name="reading_by_container"),
        ]

    def __str__(self) -> str:
        return f"{self.container}: {self.state}"

    @classmethod
    def is_due(cls) -> Q:
        """Return the condition on readings that wait, on containers that are on and can be reached."""
        in_time = Q(due__lte=Now()) | Q(due__gt=Now() + cls.FARTHEST)  # the clock was set back
        is_reached = all_met([CONTAINER_ON.of("container"), NOT_BY_HAND.of("container")])
        return in_time & is_reached & Q(state=cls.State.QUEUED)


append_only.register(
    Reading,
    unless_open="finished",
    # No observation names it as what saw it first or last; what an earlier release wrote stays.
    removable=append_only.BetweenEquals(
        of="container_id",
        order="asked",
        equal=("state", "code", "build", "found", "strange", "further"),
        vendors={
            "sqlite": "OLD.seen IS NOT NULL AND NOT EXISTS (SELECT 1 FROM discovery_observation AS sight"
            " WHERE sight.id IN (SELECT value FROM json_each(OLD.seen))"
            " AND OLD.id IN (replace(sight.source_id, '-', ''), replace(sight.last_source_id, '-', '')))",
            # Begun with the few numbers, and OFFSET keeps it so: else every observation is gone through.
            "postgresql": "OLD.seen IS NOT NULL AND NOT EXISTS (SELECT 1"
            " FROM jsonb_array_elements_text(OLD.seen) AS numbers(number)"
            " JOIN discovery_observation AS sight ON sight.id = numbers.number::bigint"
            " WHERE OLD.id::text IN (sight.source_id, sight.last_source_id) OFFSET 0)",
        },
        named=("seen",),
    ),
)
declare_names(Reading, "asked_by")


EMPTY_ORGANIZATION = '""'
"""How an observation tells an empty organization in a file from none at all: it overrides the server's."""


class Observation(models.Model):
    """What an installation was seen to hold, from its first sight to the last one that was equal.

    The newest row of an installation is open: equal sights move `last_seen` and `sights`. The first that
    differs ends it, and a trigger freezes it. Their order is that of the numbers, never of a clock.
    """

    class Source(models.TextChoices):
        PUSH = "push", _("Push")
        LOOK = "look", _("Look")
        READ = "read", _("Reading")
        HAND = "hand", _("Reported by hand")

    id = models.BigAutoField(primary_key=True)
    # What was seen stays, even of an installation that was removed.
    installation = models.ForeignKey(
        Installation, models.DO_NOTHING, related_name="observations", db_constraint=False
    )
    at = models.DateTimeField(_("first seen"), db_default=Now())
    last_seen = models.DateTimeField(_("last seen"), db_default=Now())
    sights = models.PositiveIntegerField(default=1)
    ended = models.DateTimeField(null=True)
    source = models.CharField(max_length=4, choices=Source)
    source_id = models.CharField(max_length=60)
    """What saw it first: a reading, or an attempt of a room above; plain text, and no foreign key upwards."""
    last_source = models.CharField(max_length=4, choices=Source)
    last_source_id = models.CharField(max_length=60)
    build = models.PositiveIntegerField(null=True)
    client_id = models.CharField(max_length=200, blank=True)
    account_id = models.CharField(max_length=200, blank=True)
    organization_id = models.CharField(max_length=200, blank=True)
    digest = models.CharField(max_length=64, blank=True)
    is_jwt = models.BooleanField()
    stamp = models.CharField(max_length=120, blank=True)
    """Changes when the file is written. Empty where it is not known: such a sight equals no other one."""
    is_milestone = models.BooleanField(default=True)
    """JWT or build may differ from the observation before. Of a million rows few are, and the way from JWT to
    OAuth is told from these alone."""
    is_only_read = models.BooleanField(default=False)
    """Nothing but readings saw it: no push or look rests on it. Earlier releases did not say."""

    class Meta:
        ordering = ["-pk"]
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                fields=["installation"], condition=Q(ended=None), name="discovery_one_open_observation"
            ),
        ]
        indexes = [
            models.Index(fields=["installation", "-id"], name="observation_by_number"),
            models.Index(
                fields=["installation", "at"], name="observation_milestones", condition=Q(is_milestone=True)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.pk} of {self.installation_id}"


_ONLY_READ = "OLD.ended IS NOT NULL AND OLD.is_only_read"
append_only.register(
    Observation,
    unless_open="ended",
    # The file was written anew with the same content, and written anew again. What a room above refers to
    # stays, by its foreign key.
    removable=append_only.BetweenEquals(
        of="installation_id",
        order="id",
        equal=("client_id", "account_id", "organization_id", "digest", "is_jwt", "build"),
        vendors={"sqlite": _ONLY_READ, "postgresql": _ONLY_READ},
        named=("ended", "is_only_read"),
    ),
)


def open_sight() -> FilteredRelation:
    """Return the relation from installations to their open observations; a query keeps what it is given."""
    return FilteredRelation("observations", condition=Q(observations__ended=None))


class Dismissal(WithChoices):
    """A proposal that somebody decided to leave as it is, and why.

    `proposal` names what was seen as well, so a dismissal says nothing of what is seen there later.
    """

    class Kind(models.TextChoices):
        CREATE = "create_instance", _("Unknown instance")
        ADD = "add_installation", _("Not listed there")
        GONE = "gone", _("File gone")
        ORGANIZATION = "organization_empty", _("Empty organization")
        MIXED = "builds_mixed", _("Mixed builds")
        BUILD = "build_changed", _("Build changed")
        OLD = "build_old", _("Build below 7.4.1")
        JWT = "jwt_present", _("JWT still there")

    proposal = models.CharField(max_length=16, unique=True)
    kind = models.CharField(max_length=20, choices=Kind)
    reason = models.CharField(_("reason"), max_length=200)
    left_by = models.CharField(_("left by"), max_length=150)
    at = models.DateTimeField(_("left"), db_default=Now())

    class Meta:
        ordering = ["-at"]
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.kind}: {self.reason}"


declare_names(Dismissal, "left_by")
