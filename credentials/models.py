"""Technical accounts, the versions of their client secrets, who uses them, and what is to be held where."""

import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Self

from django.contrib.auth.models import User
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now, Substr
from django.utils.translation import gettext_lazy as _

from instances.models import Installation, Instance
from portal.audit import append_only
from portal.audit.names import declare_names
from portal.choices import WithChoices
from portal.short_lived import ShortLived

KEY_ID = Substr("ciphertext", 4, 8)
"""Where a token of `credentials.keys.keyring` names its key."""


class TechnicalAccount(WithChoices):
    """An OAuth Server-to-Server credential of a project in the Adobe Developer Console."""

    audit_name = "technicalaccount"

    class State(models.TextChoices):
        DRAFT = "draft", _("Draft")
        ACTIVE = "active", _("Active")
        RETIRED = "retired", _("Retired")

    class Way(models.TextChoices):
        NEW = "new", _("New integration")
        MIGRATION = "migration", _("Migration of an existing JWT integration")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(_("name"), max_length=80, unique=True)
    state = models.CharField(_("state"), max_length=8, choices=State, default=State.DRAFT)
    way = models.CharField(_("way in"), max_length=10, choices=Way, default=Way.NEW)
    organization_id = models.CharField(_("Organization ID"), max_length=200, blank=True)
    client_id = models.CharField(_("Client ID"), max_length=200, blank=True)
    technical_account_id = models.CharField(_("Technical account ID"), max_length=200, blank=True)
    technical_account_email = models.CharField(_("technical account e-mail"), max_length=254, blank=True)
    numeric_organization_id = models.CharField(max_length=40, blank=True)
    credential_id = models.CharField(max_length=80, blank=True)
    product = models.CharField(_("product"), max_length=80, blank=True)
    product_profile = models.CharField(_("product profile"), max_length=120, blank=True)
    project = models.CharField(_("project"), max_length=120, blank=True)
    scopes = models.CharField(_("scopes"), max_length=1000, blank=True)
    goal = models.ForeignKey("ClientSecret", models.PROTECT, null=True, related_name="+")
    """The version that all its installations are to hold in the end; `credentials.desired` changes it."""
    is_rotating = models.BooleanField(default=False, db_default=False)
    """Whether an open rotation brings its goal to one wave of installations after the other."""
    created = models.DateTimeField(_("created"), auto_now_add=True)
    created_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")

    class Meta:
        ordering = ["name"]
        default_permissions = ("view",)
        permissions = [
            ("manage_account", "Can create, change, assign and retire technical accounts"),
            ("enter_secret", "Can enter a client secret (nobody can read one)"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["client_id"],
                condition=~Q(client_id="") & ~Q(state="retired"),
                name="credentials_account_client_id_once",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def newest_version(self) -> "ClientSecret | None":
        """The usable version that was entered last, or None where there is none."""
        return self.secrets.filter(state=ClientSecret.State.USABLE).order_by("-version").first()


class ClientSecretQuerySet(models.QuerySet["ClientSecret"]):
    """Client secrets by the key that they are encrypted under."""

    def kept(self) -> "ClientSecretQuerySet":
        """Those whose plaintext is still stored: not destroyed after they were deleted at Adobe."""
        return self.filter(ciphertext__isnull=False)

    def usable(self) -> "ClientSecretQuerySet":
        """Those that can be rolled out."""
        return self.filter(state=ClientSecret.State.USABLE)

    def newest_per_key(self) -> Iterator["ClientSecret"]:
        """Yield one secret for each key that any is encrypted under, the newest: one row read for each."""
        by_key = self.kept().annotate(key=KEY_ID).order_by("key", "-entered")
        found = by_key.first()
        while found:
            yield found
            found = by_key.filter(key__gt=(found.ciphertext or "")[3:11]).first()


class ClientSecret(WithChoices):
    """One version of an account's client secret. Stored encrypted; nobody can read it back.

    The ciphertext is bound to this row, its version and the client id it was entered for.
    """

    class State(models.TextChoices):
        USABLE = "usable", _("Usable")
        DELETING = "deleting", _("Being deleted at Adobe")
        DELETED = "deleted", _("Deleted at Adobe")
        ABANDONED = "abandoned", _("Abandoned")

    SLOTS = (1, 2)
    """Adobe allows two secrets at a time. A version that may still exist there takes one of two places."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    account = models.ForeignKey(TechnicalAccount, models.PROTECT, related_name="secrets")
    version = models.PositiveIntegerField(_("version"))
    client_id = models.CharField(_("Client ID"), max_length=200)
    ciphertext = models.TextField(null=True)  # noqa: DJ001  # none: destroyed, which an empty text is not
    fingerprint = models.CharField(_("fingerprint"), max_length=16)
    state = models.CharField(_("state"), max_length=9, choices=State, default=State.USABLE)
    slot = models.PositiveSmallIntegerField(null=True)
    adobe_id = models.CharField(max_length=64, blank=True, default="", db_default="")
    """The id by which Adobe lists this secret; empty where that is not known."""
    entered = models.DateTimeField(_("entered"), auto_now_add=True)
    entered_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")
    entered_by_name = models.CharField(_("entered by"), max_length=150)
    ims_verdict = models.CharField(_("IMS check"), max_length=20, blank=True)
    ims_checked = models.DateTimeField(_("IMS checked"), null=True)

    objects = ClientSecretQuerySet.as_manager()

    class Meta:
        ordering = ["account", "-version"]
        default_permissions = ()
        indexes = [models.Index(KEY_ID, F("entered").desc(), name="credentials_secret_per_key")]
        constraints = [
            models.UniqueConstraint(fields=["account", "version"], name="credentials_secret_version_once"),
            models.UniqueConstraint(fields=["account", "slot"], name="credentials_secret_one_per_slot"),
            models.CheckConstraint(
                # "Is not null" too: a comparison with nothing is not false, and so would be let through.
                condition=Q(state__in=["usable", "deleting"], slot__isnull=False, slot__in=[1, 2])
                | Q(state__in=["deleted", "abandoned"], slot=None),
                name="credentials_secret_two_at_adobe",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.account} v{self.version} ({self.fingerprint})"

    @property
    def is_usable(self) -> bool:
        return self.state == self.State.USABLE


declare_names(ClientSecret, "entered_by_name")


class Assignment(models.Model):
    """Which account an instance uses: one at most, since its file holds one."""

    instance = models.OneToOneField(Instance, models.PROTECT, related_name="assignment")
    account = models.ForeignKey(TechnicalAccount, models.PROTECT, related_name="assignments")
    assigned = models.DateTimeField(auto_now=True)
    assigned_by = models.CharField(max_length=150)

    class Meta:
        ordering = ["instance__name"]
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.instance} uses {self.account}"


declare_names(Assignment, "assigned_by")


class Why(models.TextChoices):
    """What changed a desire or a goal. Stored for ever."""

    ROLLOUT = "rollout", _("a rollout was started")
    CALLED_OFF = "called_off", _("its push was called off")
    WRITTEN_AFTER_ALL = "written_after_all", _("a push that was called off had been written after all")
    ASSIGNED = "assigned", _("the instance got another account")
    UNASSIGNED = "unassigned", _("the account was taken away from the instance")
    VERSION_ENDED = "version_ended", _("the version can no longer be used")
    CHOSEN = "chosen", _("a person made it the goal")
    CONFIRMED = "confirmed", _("a person confirmed what is there")
    UPGRADED = "upgraded", _("taken over from an earlier release")
    ROTATION = "rotation", _("a rotation began with its canary")
    TAKEN_BACK = "taken_back", _("a rotation was taken back")
    REPORTED = "reported", _("a person reported that it was set by hand")


class DesiredVersion(models.Model):
    """Which version an installation is to hold. None: whatever it holds is left as it is.

    It counts only while the version's account is the one that the instance uses.
    """

    installation = models.OneToOneField(
        Installation, models.CASCADE, primary_key=True, related_name="desired"
    )
    version = models.ForeignKey(ClientSecret, models.PROTECT, null=True, related_name="desired")
    since = models.DateTimeField(db_default=Now())
    push = models.UUIDField(null=True, db_index=True)
    """The push that is to bring it there; no foreign key, since pushes belong to a room above."""
    why = models.CharField(max_length=20, choices=Why)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.version} on {self.installation}"


class DesiredVersionChange(models.Model):
    """One change of what an installation is to hold: what `DesiredVersion` was from then on."""

    id = models.BigAutoField(primary_key=True)
    # What was desired stays known, even of an installation that was removed.
    installation = models.ForeignKey(
        Installation, models.DO_NOTHING, related_name="desired_changes", db_constraint=False
    )
    version = models.ForeignKey(ClientSecret, models.PROTECT, null=True, related_name="+")
    at = models.DateTimeField(db_default=Now())
    push = models.UUIDField(null=True)
    why = models.CharField(max_length=20, choices=Why)

    class Meta:
        ordering = ["-pk"]
        default_permissions = ()
        indexes = [models.Index(fields=["installation", "-id"], name="desired_change_by_number")]

    def __str__(self) -> str:
        return f"{self.version} on {self.installation_id}"


append_only.register(DesiredVersionChange)


class GoalChange(models.Model):
    """One change of an account's goal: what it was from then on."""

    id = models.BigAutoField(primary_key=True)
    account = models.ForeignKey(TechnicalAccount, models.PROTECT, related_name="goal_changes")
    version = models.ForeignKey(ClientSecret, models.PROTECT, null=True, related_name="+")
    at = models.DateTimeField(db_default=Now())
    why = models.CharField(max_length=20, choices=Why)
    by = models.CharField(max_length=150, blank=True)
    message = models.CharField(max_length=250, blank=True)

    class Meta:
        ordering = ["-pk"]
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.account}: {self.version}"


append_only.register(GoalChange)
declare_names(GoalChange, "by")


class Inquiry(ShortLived):
    """A question to Adobe about a version, put by a page and answered by a worker, which opens the secret."""

    KEPT = timedelta(hours=1)
    ABANDONED = timedelta(seconds=45)
    """A worker that has not stored its answer after this time never will."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    version = models.ForeignKey(ClientSecret, models.CASCADE, related_name="+")
    asked_by = models.CharField(max_length=150)
    person = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    ip = models.CharField(max_length=45, blank=True)
    request_id = models.CharField(max_length=40, blank=True)
    asked = models.DateTimeField(db_default=Now())
    taken = models.DateTimeField(null=True)
    answered = models.DateTimeField(null=True)
    problem = models.CharField(max_length=500, blank=True)
    """Why Adobe could not be asked; empty where its answer is with the version."""

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.version_id} asked by {self.asked_by}"

    @classmethod
    def expired(cls) -> models.QuerySet[Self]:
        """Return the questions that nobody waits for any more."""
        return cls.objects.filter(Q(asked__lt=Now() - cls.KEPT) | Q(asked__gt=Now() + cls.KEPT))


declare_names(Inquiry, "asked_by")
