"""A rotation: the saved process that replaces an account's secret.

The row says how far it is and what it waits for. What it did is in its waves (rollouts of their own), its
calls that changed something at Adobe, and the gates that a person passed early.
"""

import uuid
from datetime import timedelta
from typing import Any, Self

from django.conf import settings
from django.contrib.auth.models import User
from django.db import models
from django.db.models import Max, Q
from django.db.models.functions import Now
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from credentials.adobe.console import Problem
from credentials.models import ClientSecret, TechnicalAccount
from credentials.rollouts.models import Rollout
from credentials.rotation.waits import EXPLANATIONS, Wait
from credentials.rotation.windows import LONGEST, Window
from instances.models import Installation, Instance
from portal.audit import append_only
from portal.audit.names import declare_names
from portal.audit.trail import Actor
from portal.choices import WithChoices


def lease() -> timedelta:
    """Return how long a worker has a rotation for one step, which calls Adobe twice at most."""
    return timedelta(seconds=settings.ROTATION_LEASE)


class PolicyKind(models.TextChoices):
    """What the portal does once the secret of an account is due."""

    REMIND = "remind", _("Remind")
    OPEN = "open", _("Open a rotation and stop after its canary")
    RUN = "run", _("Run a rotation to the end by itself")


class RotationQuerySet(models.QuerySet["Rotation"]):
    def open(self) -> Self:
        return self.filter(ended=None)

    def due(self) -> Self:
        """Open rotations that nobody works at and that are to be looked at now.

        A lease that ends too far ahead was given before the clock was set back, and so was such a `due`.
        """
        free = Q(lease_token=None) | Q(lease_expires__lt=Now()) | Q(lease_expires__gt=Now() + lease() * 2)
        return self.open().filter(free, Q(due__lte=Now()) | Q(put_off__gt=Now()))

    def claim(self, pk: uuid.UUID, token: uuid.UUID) -> bool:
        """Take a rotation for one worker, by compare-and-set in database time. False: it is taken."""
        return bool(self.due().filter(pk=pk).update(lease_token=token, lease_expires=Now() + lease()))


class Rotation(WithChoices):
    """One replacement of an account's secret."""

    audit_name = "rotation"

    class State(models.TextChoices):
        PREPARING = "preparing", _("Preparing")
        MAKING_ROOM = "making_room", _("Making room")
        CHECKING = "checking", _("Checking")
        CANARY = "canary", _("Canary")
        WAVES = "waves", _("Waves")
        VERIFYING = "verifying", _("Verifying")
        WATCHING = "watching", _("Watching the old secret")
        DELETING = "deleting", _("Deleting the old secret")
        TAKING_BACK = "taking_back", _("Taking back")
        DONE = "done", _("Done")
        TAKEN_BACK = "taken_back", _("Taken back")

    class Way(models.TextChoices):
        """Who makes and deletes secrets at Adobe."""

        API = "api", _("The portal, through Adobe's API")
        BY_HAND = "by_hand", _("A person, in the Developer Console")

    class Hold(models.TextChoices):
        NONE = "", ""
        PAUSED = "paused", _("Paused")
        STOPPED = "stopped", _("Stopped by its rule")
        OPENED = "opened", _("Opened by its policy")
        NOBODY = "nobody", _("Nobody is responsible for it")

    MOVING = (State.CANARY, State.WAVES, State.VERIFYING, State.WATCHING)
    """Installations have begun to move, or may have, and the way back is open."""
    BEFORE = (State.PREPARING, State.MAKING_ROOM, State.CHECKING)
    """Nothing was pushed yet."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    number = models.PositiveIntegerField(_("number"), unique=True)
    account = models.ForeignKey(TechnicalAccount, models.PROTECT, related_name="rotations")
    old = models.ForeignKey(ClientSecret, models.PROTECT, related_name="+")
    new = models.ForeignKey(ClientSecret, models.PROTECT, null=True, related_name="+")
    state = models.CharField(_("state"), max_length=11, choices=State, default=State.PREPARING)
    wait = models.CharField(max_length=20, choices=Wait, default=Wait.BEGINNING)
    params = models.JSONField(default=dict)
    """What the words of `wait` name: counts, moments, names."""
    hold = models.CharField(max_length=7, choices=Hold, blank=True)
    way = models.CharField(max_length=7, choices=Way)
    is_leak = models.BooleanField(default=False)
    wave_rule = models.CharField(_("waves"), max_length=100)
    stop_rule = models.CharField(_("stop rule"), max_length=10)
    canary = models.ForeignKey(Installation, models.SET_NULL, null=True, related_name="+")
    tolerated = models.JSONField(default=list)
    """Ids of installations that the stop rule does not count: a person went on despite them."""
    message = models.CharField(_("message"), max_length=250, blank=True)
    requested = models.DateTimeField(_("requested"), db_default=Now())
    requested_by_name = models.CharField(_("requested by"), max_length=150)
    acts_for = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")
    acts_for_name = models.CharField(max_length=150)
    """In whose name it acts: who started it, or went on with it last."""
    policy = models.CharField(max_length=6, choices=PolicyKind, blank=True)
    """Which policy started it, as it was then; empty: a person did."""
    told = models.CharField(max_length=40, blank=True)
    """State and wait that people were told of last: each is told once."""
    verified = models.DateTimeField(null=True)
    """Since when every installation is verified on the new secret; none while one is not."""
    proven = models.DateTimeField(null=True)
    """When the canary was seen to be proven."""
    listed = models.DateTimeField(null=True)
    """When Adobe last told what secrets there are; `adobe_secrets` is what it told."""
    adobe_secrets = models.JSONField(default=list)
    looked = models.DateTimeField(null=True)
    """When a person last looked in the console, where the API is not used; `looked_used` is what it said."""
    looked_used = models.DateTimeField(null=True)
    looked_by = models.CharField(max_length=150, blank=True)
    looked_note = models.CharField(max_length=250, blank=True)
    takes_back = models.BooleanField(default=False)
    """Whether a person wants it taken back; it may have to make room at Adobe before it ends."""
    used_before = models.CharField(max_length=40, blank=True)
    """When Adobe says that the new secret was used last before the canary, which was by the portal."""
    final_since = models.DateTimeField(null=True)
    """When the deletion was begun: every container is read once more after that."""
    confirmed = models.DateTimeField(null=True)
    """When a person said that the secret was deleted in the console; `confirmed_note` is what they saw."""
    confirmed_note = models.CharField(max_length=250, blank=True)
    room_id = models.CharField(max_length=64, blank=True)
    """Adobe's id of the secret that has to go before a new one is made."""
    due = models.DateTimeField(db_default=Now())
    put_off = models.DateTimeField(db_default=Now())
    """When `due` was set, by the same clock."""
    tried = models.DateTimeField(null=True)
    """When a worker last looked at it."""
    tries = models.PositiveIntegerField(default=0)
    """Calls to Adobe that failed, one after the other."""
    lease_token = models.UUIDField(null=True, editable=False)
    lease_expires = models.DateTimeField(null=True, editable=False)
    ended = models.DateTimeField(_("ended"), null=True)

    objects = RotationQuerySet.as_manager()

    class Meta:
        ordering = ["-number"]
        default_permissions = ("view",)
        permissions = [("manage_rotation", "Can start, steer and take back rotations")]
        constraints = [
            models.UniqueConstraint(
                fields=["account"], condition=Q(ended=None), name="rotation_one_open_per_account"
            ),
            models.CheckConstraint(
                condition=Q(ended=None, state__in=["done", "taken_back"])
                | ~Q(ended=None, state__in=["done", "taken_back"]),
                name="rotation_ended_in_an_end",
            ),
        ]
        indexes = [models.Index(fields=["due"], name="rotation_due", condition=Q(ended=None))]

    def __str__(self) -> str:
        return f"#{self.number} {self.account}"

    @property
    def actor(self) -> Actor:
        """In whose name it starts its rollouts."""
        return Actor.kept(self.acts_for_name, self.acts_for)

    @property
    def sign(self) -> str:
        """The sign of its state, as those of pushes are drawn."""
        if self.ended:
            return "succeeded" if self.state == self.State.DONE else "cancelled"
        return "needs_you" if self.needs_person else "under_way"

    @property
    def is_open(self) -> bool:
        return self.ended is None

    @property
    def needs_person(self) -> bool:
        """Whether it does not go on by itself."""
        return self.is_open and not EXPLANATIONS[self.wait].by_itself

    @property
    def adobe_ids(self) -> list[str]:
        """Adobe's ids of the secrets that it listed last."""
        return [each["id"] for each in self.adobe_secrets]

    def listed_as(self, adobe_id: str) -> dict[str, Any] | None:  # Any: what JSON holds
        """Return what Adobe listed last of one secret: `id`, and the moments `created` and `used`."""
        return next((each for each in self.adobe_secrets if each["id"] == adobe_id), None)

    @staticmethod
    def next_number() -> int:
        """Return the number of the next rotation; the caller holds the lock of starts."""
        last: int = Rotation.objects.aggregate(last=Max("number"))["last"] or 0
        return last + 1


declare_names(Rotation, "requested_by_name", "acts_for_name", "looked_by")


class Wave(models.Model):
    """A rollout that a rotation started."""

    class Kind(models.TextChoices):
        CANARY = "canary", _("Canary")
        WAVE = "wave", _("Wave")
        BACK = "back", _("Back to the old secret")

    rotation = models.ForeignKey(Rotation, models.PROTECT, related_name="waves")
    rollout = models.OneToOneField(Rollout, models.PROTECT, related_name="wave")
    kind = models.CharField(max_length=6, choices=Kind)
    position = models.PositiveIntegerField()
    """Which wave of the rule it belongs to; one that was paused goes on in another rollout."""
    label = models.CharField(max_length=60)
    """What the rule says of it: an environment, a role, or a size."""
    is_released = models.BooleanField(default=False)
    """Whether what was cancelled of it is to be pushed after all: the rotation itself cancelled it."""

    class Meta:
        ordering = ["pk"]
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.kind} {self.position} of {self.rotation_id}"

    @property
    def label_in_words(self) -> str:
        """What people read of `label`."""
        words = dict([*Instance.Environment.choices, *Instance.Role.choices])
        return str(words.get(self.label, self.label))


class ConsoleCall(models.Model):
    """A call that changes something at Adobe: written down before it is made, so that none is forgotten."""

    class What(models.TextChoices):
        CREATE = "create", _("Create a secret")
        DELETE = "delete", _("Delete a secret")

    LOST = "answer_lost"
    DONE = "done"

    id = models.BigAutoField(primary_key=True)
    rotation = models.ForeignKey(Rotation, models.PROTECT, related_name="calls")
    what = models.CharField(max_length=6, choices=What)
    adobe_id = models.CharField(max_length=64, blank=True)
    """Which secret is deleted, or was created where that is known."""
    known = models.JSONField(default=list)
    """Adobe's ids of the secrets that there were before."""
    began = models.DateTimeField(db_default=Now())
    ended = models.DateTimeField(null=True)
    outcome = models.CharField(max_length=20, blank=True)
    """`done`, or a `credentials.adobe.console.Problem`."""
    may_have_been_done = models.BooleanField(default=False)

    class Meta:
        ordering = ["pk"]
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                fields=["rotation"], condition=Q(ended=None), name="rotation_one_unfinished_call"
            )
        ]

    def __str__(self) -> str:
        return f"{self.what} {self.adobe_id}"

    @property
    def outcome_in_words(self) -> str:
        """What came of it; under way while it has not ended."""
        if self.ended is None:
            return gettext("under way")
        known = {value: str(label) for value, label in Problem.choices}
        return gettext("done") if self.outcome == self.DONE else known.get(self.outcome, self.outcome)


append_only.register(ConsoleCall, unless_open="ended")


class PassedGate(models.Model):
    """A gate that an admin passed early, with a reason that stays."""

    class Gate(models.TextChoices):
        ACCEPTED = "accepted", _("Adobe accepted the new secret")
        CANARY_USE = "canary_use", _("The new secret was used by the canary")
        VERIFIED = "verified", _("Every installation is verified")
        IDLE = "idle", _("The old secret was no longer used")

    id = models.BigAutoField(primary_key=True)
    rotation = models.ForeignKey(Rotation, models.PROTECT, related_name="passed")
    gate = models.CharField(max_length=10, choices=Gate)
    installations = models.JSONField(default=list)
    """The installations that were in the way then, and for what; others that are so later are not passed."""
    reason = models.CharField(max_length=250)
    by = models.CharField(max_length=150)
    at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["pk"]
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.gate} passed by {self.by}"


append_only.register(PassedGate)
declare_names(PassedGate, "by")


class Weekday(models.TextChoices):
    """In the order of Python's `date.weekday`."""

    MONDAY = "mon", _("Monday")
    TUESDAY = "tue", _("Tuesday")
    WEDNESDAY = "wed", _("Wednesday")
    THURSDAY = "thu", _("Thursday")
    FRIDAY = "fri", _("Friday")
    SATURDAY = "sat", _("Saturday")
    SUNDAY = "sun", _("Sunday")


class MaintenanceWindow(WithChoices):
    """When rotations may push to an environment. An environment without any is always open."""

    audit_name = "maintenance_window"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    environment = models.CharField(_("environment"), max_length=12, choices=Instance.Environment)
    weekdays = models.JSONField(_("weekdays"), default=list)
    """Codes of `Weekday`: the days on which it begins."""
    starts = models.TimeField(_("from"))
    minutes = models.PositiveIntegerField(_("minutes"))
    zone = models.CharField(_("time zone"), max_length=64)

    class Meta:
        ordering = ["environment", "starts", "pk"]
        default_permissions = ()
        constraints = [
            models.CheckConstraint(
                condition=Q(minutes__gte=1, minutes__lte=LONGEST), name="rotation_window_of_a_day_at_most"
            )
        ]

    def __str__(self) -> str:
        return f"{self.environment} {'+'.join(self.weekdays)} {self.starts:%H:%M} {self.zone}"

    @property
    def window(self) -> Window:
        """The same for `credentials.rotation.windows`."""
        days = frozenset(number for number, code in enumerate(Weekday.values) if code in self.weekdays)
        return Window(days, self.starts, self.minutes, self.zone)


class Policy(WithChoices):
    """How often an account's secret is to be replaced, and what the portal does by itself when it is due."""

    SHORTEST, LONGEST = 7, 730
    """Days."""

    account = models.OneToOneField(TechnicalAccount, models.CASCADE, related_name="rotation_policy")
    interval = models.PositiveIntegerField(_("interval"))
    """Days from the day on which a secret was entered, or its rotation ended."""
    kind = models.CharField(_("policy"), max_length=6, choices=PolicyKind, default=PolicyKind.REMIND)
    wave_rule = models.CharField(_("waves"), max_length=100)
    stop_rule = models.CharField(_("stop rule"), max_length=10)
    is_migration_closed = models.BooleanField(default=False)
    """Whether somebody said that the account's JWT credential is gone, without which nothing is rotated."""
    message = models.CharField(_("message"), max_length=250, blank=True)
    set_at = models.DateTimeField(db_default=Now())
    set_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")
    set_by_name = models.CharField(max_length=150)
    """In whose name it acts."""
    started_for = models.ForeignKey(ClientSecret, models.SET_NULL, null=True, related_name="+")
    """The version for which it started a rotation: it starts one at most, whatever became of that."""
    told_for = models.DateTimeField(null=True)
    """The due date that people were told of last; `told` is when."""
    told = models.DateTimeField(null=True)

    class Meta:
        ordering = ["account__name"]
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.account}: {self.kind} every {self.interval} days"

    @property
    def actor(self) -> Actor:
        """In whose name it starts rotations."""
        return Actor.kept(self.set_by_name, self.set_by)


declare_names(Policy, "set_by_name")
