"""The inventory: instances, containers and the installations of one on the other."""

import uuid
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Self, TypeVar

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models, transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from instances.nlserver import MIN_BUILD
from instances.requirements import Is, IsNot, Requirement, all_met
from portal.audit.names import declare_names
from portal.choices import WithChoices
from portal.short_lived import ShortLived

M = TypeVar("M", bound=models.Model)
NOT_RETIRED = Is("retired", "retired", None)
"""Asked of an instance or a container, or of an installation by itself."""
NONE_RETIRED = (
    NOT_RETIRED,
    replace(NOT_RETIRED.of("instance"), code="instance_retired"),
    replace(NOT_RETIRED.of("container"), code="container_retired"),
)
"""Asked of an installation: it is retired if it, its instance or its container is."""


class Retirable(models.Model):
    """What can be taken out of use for good, and taken back; its history stays.

    What counts, lists, gates or goes somewhere leaves it out; `instances.inventory.retiring` writes this.
    """

    retired = models.DateTimeField(_("retired"), null=True, editable=False)
    # with a default of the database's: earlier migrations write rows without knowing these columns
    retired_by = models.CharField(
        _("retired by"), max_length=150, blank=True, default="", db_default="", editable=False
    )
    retired_reason = models.CharField(
        _("reason"), max_length=250, blank=True, default="", db_default="", editable=False
    )

    class Meta:
        abstract = True

    @property
    def label(self) -> str:
        """The name that people read, in their language; `str()` is for what is stored."""
        return str(self)


def retired_with_reason(name: str) -> models.CheckConstraint:
    """Return the constraint that whatever is retired has a reason."""
    return models.CheckConstraint(condition=Q(retired=None) | ~Q(retired_reason=""), name=name)


class RetirableQuerySet(models.QuerySet[M]):
    """Rows that can be retired."""

    STAY: tuple[Requirement, ...] = (NOT_RETIRED,)

    def not_retired(self) -> Self:
        return self.filter(all_met(self.STAY))

    def retired(self) -> Self:
        return self.exclude(all_met(self.STAY))


class TakesKey(models.Model):
    """An SSH server that the portal logs in to, and which of the portal's keys it took at the last login.

    `instances.reaching.taken_keys` writes this, and says what it means.
    """

    key_taken = models.CharField(max_length=64, blank=True, default="", db_default="", editable=False)
    """Fingerprint of the key that opened it; empty if it was not asked, or took none."""
    key_refused = models.CharField(max_length=64, blank=True, default="", db_default="", editable=False)
    """Fingerprint of the portal's newest key, if it was offered then and did not open it."""
    key_asked = models.DateTimeField(null=True, editable=False)
    key_hung_up = models.BooleanField(default=False, db_default=False, editable=False)
    """Whether it hangs up on a key that it does not know, so that asking takes a connection of its own."""
    key_way = models.CharField(max_length=400, blank=True, default="", db_default="", editable=False)
    """Where that was: what is edited since then is another server."""

    class Meta:
        abstract = True


class InstanceQuerySet(RetirableQuerySet["Instance"]):
    """Instances; see `RetirableQuerySet`."""


class Instance(Retirable, WithChoices):
    """A Campaign instance: like a virtual host, with its own database and `config-<name>.xml`."""

    audit_name = "instance"

    class Environment(models.TextChoices):
        DEVELOPMENT = "development", _("Development")
        STAGE = "stage", _("Stage")
        PRODUCTION = "production", _("Production")

    class Deployment(models.TextChoices):
        ON_PREMISE = "on-premise", _("On-premise")
        HYBRID = "hybrid", _("Hybrid")
        HOSTED = "hosted", _("Hosted by Adobe")

    class Role(models.TextChoices):
        MKT = "MKT", _("Marketing (MKT)")
        MID = "MID", _("Mid-sourcing (MID)")
        RT = "RT", _("Message center (RT)")
        EXEC = "EXEC", _("Execution (EXEC)")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(_("name"), max_length=40, unique=True)
    environment = models.CharField(
        _("environment"), max_length=12, choices=Environment, default=Environment.PRODUCTION
    )
    deployment = models.CharField(
        _("deployment"), max_length=12, choices=Deployment, default=Deployment.ON_PREMISE
    )
    role = models.CharField(_("role"), max_length=4, choices=Role, default=Role.MKT)
    uses_triggers = models.BooleanField(_("uses Triggers"), default=False)
    created = models.DateTimeField(auto_now_add=True)

    objects = InstanceQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        permissions = [
            ("change_inventory", "Can change instances, containers and installations"),
            ("approve_host_key", "Can scan and approve host keys"),
        ]
        default_permissions = ("view",)
        constraints = [retired_with_reason("instances_instance_retired_why")]

    def __str__(self) -> str:
        return self.name

    @property
    def is_pushable(self) -> bool:
        """False where Adobe sets the account itself."""
        return NOT_HOSTED.is_met_by(self)


declare_names(Instance, "retired_by")
NOT_HOSTED = IsNot("hosted", "deployment", Instance.Deployment.HOSTED)
"""Asked of an instance."""


class JumpHost(TakesKey):
    """An SSH server (bastion) that containers are reached through. Its keys are given, never learnt."""

    audit_name = "jumphost"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(_("name"), max_length=80, unique=True)
    address = models.CharField(_("address"), max_length=253)
    port = models.PositiveIntegerField(
        _("port"), default=22, validators=[MinValueValidator(1), MaxValueValidator(65535)]
    )
    login = models.CharField(_("login"), max_length=32)
    host_keys = models.TextField(_("host keys"))
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        default_permissions = ()
        constraints = [
            # one server under two names would get twice as many connections at once as it should
            models.UniqueConstraint(fields=["address", "port"], name="instances_jumphost_address_port"),
            models.CheckConstraint(
                condition=Q(port__gte=1, port__lte=65535), name="instances_jumphost_port_range"
            ),
            models.CheckConstraint(condition=~Q(host_keys=""), name="instances_jumphost_has_key"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def key_lines(self) -> tuple[str, ...]:
        """The pinned keys, each `<type> <base64>`."""
        return tuple(self.host_keys.splitlines())


CONTAINER_ON = Is("container_off", "is_enabled", True)
NOT_BY_HAND = Is("container_by_hand", "is_by_hand", False)
"""Both asked of a container. By hand: the portal cannot reach it, and never connects to it."""


class ContainerQuerySet(RetirableQuerySet["Container"]):
    def in_use(self) -> Self:
        """Containers that the portal goes to: on, reachable, and not retired."""
        return self.filter(all_met([CONTAINER_ON, NOT_BY_HAND, NOT_RETIRED]))

    def free(self, lease: timedelta) -> Self:
        """Containers without a holder, or whose holder stopped renewing its lease.

        A lease that ends too far ahead was given before the clock was set back; it counts as abandoned.
        """
        abandoned = Q(lease_expires__lt=Now()) | Q(lease_expires__gt=Now() + lease * 2)
        return self.filter(Q(lease_token=None) | abandoned)

    def claim(self, pk: uuid.UUID, *, token: uuid.UUID, owner: str, lease: timedelta) -> bool:
        """Take the container for one deliverer, by compare-and-set in database time. False: it is taken."""
        return bool(
            self.free(lease)
            .filter(pk=pk)
            .update(lease_token=token, lease_expires=Now() + lease, lease_owner=owner[:100], rung=None)
        )

    def renew(self, pk: uuid.UUID, *, token: uuid.UUID, lease: timedelta) -> bool:
        """Extend a lease still held under `token`. False: it was lost; its holder may write nothing."""
        return bool(self.filter(pk=pk, lease_token=token).update(lease_expires=Now() + lease))

    def note_bells(self, pks: Iterable[uuid.UUID], *, rung: bool) -> None:
        """Note when these containers were rung: now, or never if their bells were lost.

        A container that somebody else is just writing to is left out. Two processes that ring the same ones
        would otherwise wait for each other, or for the holder of a row; and all that depends on the note is
        when the reconciler rings again.
        """
        with transaction.atomic():
            rows = self.filter(pk__in=pks).order_by("pk").select_for_update(skip_locked=True, no_key=True)
            self.filter(pk__in=list(rows.values_list("pk", flat=True))).update(rung=Now() if rung else None)

    def release(self, pk: uuid.UUID, *, token: uuid.UUID) -> bool:
        """Give the container back. False: the lease was lost before."""
        return bool(
            self.filter(pk=pk, lease_token=token).update(lease_token=None, lease_expires=None, lease_owner="")
        )


class Container(Retirable, TakesKey, WithChoices):
    """A host on which instances are installed, reached by SSH. Adobe's word; not a Docker container."""

    audit_name = "container"

    class Become(models.TextChoices):
        NONE = "none", _("logs in as neolane")
        SUDO = "sudo", _("sudo to neolane")
        SU = "su", _("su to neolane (login as root)")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(_("name"), max_length=80, unique=True)
    address = models.CharField(_("address"), max_length=253)
    port = models.PositiveIntegerField(
        _("port"), default=22, validators=[MinValueValidator(1), MaxValueValidator(65535)]
    )
    jump_host = models.ForeignKey(
        JumpHost,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="containers",
        verbose_name=_("jump host"),
    )
    login = models.CharField(_("login"), max_length=32, default="neolane")
    become = models.CharField(_("becomes neolane"), max_length=4, choices=Become, default=Become.NONE)
    install_root = models.CharField(_("install root"), max_length=200, default="/usr/local/neolane")
    is_enabled = models.BooleanField(pgettext_lazy("state", "on"), default=True)
    is_by_hand = models.BooleanField(_("by hand"), default=False, db_default=False)
    """The portal cannot reach it: people run the commands there, and paste what the read-back script says."""
    created = models.DateTimeField(auto_now_add=True)
    lease_token = models.UUIDField(null=True, editable=False)
    lease_expires = models.DateTimeField(null=True, editable=False)
    lease_owner = models.CharField(max_length=100, blank=True, editable=False)
    rung = models.DateTimeField(null=True, editable=False)

    objects = ContainerQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        default_permissions = ("view",)
        constraints = [
            # the same private address may be another server behind another jump host; that of a retired one
            # is free for its successor
            models.UniqueConstraint(
                fields=["address", "port"],
                condition=Q(jump_host=None, retired=None),
                name="instances_container_address_port",
            ),
            models.UniqueConstraint(
                fields=["jump_host", "address", "port"],
                condition=Q(retired=None),
                name="instances_container_behind_jump",
            ),
            retired_with_reason("instances_container_retired_why"),
            models.CheckConstraint(
                condition=Q(port__gte=1, port__lte=65535), name="instances_container_port_range"
            ),
        ]
        indexes = [
            models.Index(
                fields=["lease_expires"], name="container_leased", condition=Q(lease_token__isnull=False)
            ),  # the reconciler looks for abandoned leases
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def way_in(self) -> str:
        """How the portal comes to run commands as the right user, in words."""
        if self.become == self.Become.NONE:
            return gettext("logs in as %s") % self.login
        way = self.get_become_display()
        return gettext("logs in as %(login)s, %(way)s") % {"login": self.login, "way": way}


declare_names(Container, "retired_by")


class HostKey(WithChoices):
    """One host key of a container: offered by the server, then approved by an admin, or revoked."""

    class State(models.TextChoices):
        OFFERED = "offered", _("Offered, not approved")
        APPROVED = "approved", _("Approved")
        REVOKED = "revoked", _("Revoked")

    container = models.ForeignKey(Container, models.CASCADE, related_name="host_keys")
    type = models.CharField(_("type"), max_length=40)
    base64 = models.TextField(_("key"))
    fingerprint = models.CharField(_("fingerprint"), max_length=60)
    state = models.CharField(_("state"), max_length=8, choices=State, default=State.OFFERED)
    seen = models.DateTimeField(_("seen"), auto_now=True)
    approved = models.DateTimeField(_("approved"), null=True)
    approved_by = models.CharField(_("approved by"), max_length=150, blank=True)

    class Meta:
        ordering = ["container", "state", "type"]
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["container", "fingerprint"], name="instances_hostkey_once"),
        ]
        indexes = [
            models.Index(
                fields=["container"], name="host_key_offered", condition=Q(state="offered")
            ),  # home: keys that wait for a person
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.fingerprint}"

    @property
    def line(self) -> str:
        """The key as OpenSSH writes it, without a host name."""
        return f"{self.type} {self.base64}"


declare_names(HostKey, "approved_by")


class ExpectedHostKey(models.Model):
    """A fingerprint that an admin gave in advance (inventory file); a scan that shows it approves it."""

    container = models.OneToOneField(Container, models.CASCADE, related_name="expected_host_key")
    fingerprint = models.CharField(max_length=60)
    given_by = models.CharField(max_length=150)
    given = models.DateTimeField(auto_now=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.fingerprint


declare_names(ExpectedHostKey, "given_by")


class KeyScan(WithChoices):
    """The scan of one container as part of *Scan all*: waiting, under way, or how it ended."""

    class State(models.TextChoices):
        WAITING = "queued", _("Waiting")
        RUNNING = "running", _("Being scanned")
        DONE = "succeeded", _("Scanned")
        FAILED = "failed", _("Failed")
        STOPPED = "cancelled", _("Not scanned: stopped")

    OPEN = (State.WAITING, State.RUNNING)

    container = models.OneToOneField(Container, models.CASCADE, related_name="key_scan")
    state = models.CharField(_("state"), max_length=9, choices=State, default=State.WAITING)
    code = models.CharField(_("reason"), max_length=40, blank=True)
    asked_by = models.CharField(max_length=150)
    person = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    asked = models.DateTimeField(auto_now_add=True)
    taken = models.DateTimeField(null=True)

    class Meta:
        default_permissions = ()
        indexes = [models.Index(fields=["state"], name="key_scan_by_state")]

    def __str__(self) -> str:
        return f"{self.container}: {self.state}"


declare_names(KeyScan, "asked_by")


TARGET = (
    *NONE_RETIRED,
    NOT_HOSTED.of("instance"),
    NOT_BY_HAND.of("container"),
    CONTAINER_ON.of("container"),
)
"""What an installation needs so that anything can be pushed to it. Asked of an installation.

What was seen there once is no part of it: a server may have been upgraded, and the push looks anew.
"""
PUSHABLE = all_met(TARGET)


ON = " on "
"""What `str()` of an installation has between its names, which hold no blanks."""


def place_label(instance: object, container: object) -> str:
    """Return the name of an installation as people read it, in their language: `prod1 on mkt-2`."""
    return gettext("%(instance)s on %(container)s") % {"instance": instance, "container": container}


def label_of(stored: object) -> str:
    """Return the label of an installation whose `str()` was stored; any other text as it is."""
    instance, _on, container = str(stored).partition(ON)
    return place_label(instance, container) if container and " " not in instance + container else str(stored)


class InstallationQuerySet(RetirableQuerySet["Installation"]):
    STAY = NONE_RETIRED

    def pushable(self) -> Self:
        """Those that can be pushed to: in use, on, reachable, and of an instance whose account Adobe does not
        set."""
        return self.filter(PUSHABLE)


class Installation(Retirable):
    """One instance on one container: the unit that receives a push, with what was last observed there."""

    audit_name = "installation"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    instance = models.ForeignKey(Instance, models.CASCADE, related_name="installations")
    container = models.ForeignKey(Container, models.CASCADE, related_name="installations")
    created = models.DateTimeField(auto_now_add=True)
    observed = models.DateTimeField(_("observed"), null=True, editable=False)
    observed_build = models.PositiveIntegerField(_("build"), null=True, editable=False)
    observed_client_id = models.CharField(_("client ID"), max_length=200, blank=True, editable=False)
    observed_account_id = models.CharField(
        _("technical account ID"), max_length=200, blank=True, editable=False
    )
    observed_digest = models.TextField(_("digest of the encrypted secret"), blank=True, editable=False)
    observed_jwt = models.BooleanField(_("JWT still present"), null=True, editable=False)

    objects = InstallationQuerySet.as_manager()

    class Meta:
        ordering = ["instance__name", "container__name"]
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["instance", "container"], name="instances_installation_once"),
            retired_with_reason("instances_installation_retired_why"),
        ]
        indexes = [
            models.Index(
                fields=["instance"], name="installation_on_jwt", condition=Q(observed_jwt=True)
            ),  # home and migration: still on JWT
            models.Index(fields=["observed_build"], name="installation_by_build"),  # home: too old
        ]

    def __str__(self) -> str:
        """Return the name that the history, exports, JSON and logs have, in every language."""
        return f"{self.instance} on {self.container}"

    @property
    def label(self) -> str:
        return place_label(self.instance, self.container)

    @property
    def retired_with(self) -> Retirable | None:
        """What is retired so that this is: itself, its instance or its container; None: it is in use."""
        return next((each for each in (self, self.instance, self.container) if each.retired), None)

    @property
    def needs_upgrade(self) -> bool:
        """True where the observed build does not know OAuth accounts."""
        return self.observed_build is not None and self.observed_build < MIN_BUILD


declare_names(Installation, "retired_by")


class PortalIdentity(models.Model):
    """This portal's own id, which containers keep with what it wrote. One row, made when the database is.

    It is no secret, and a restored portal has the same one.
    """

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    value = models.CharField(max_length=32)

    class Meta:
        default_permissions = ()
        constraints = [models.CheckConstraint(condition=Q(id=1), name="portal_identity_once")]

    def __str__(self) -> str:
        return self.value


class OtherPortal(models.Model):
    """An installation that this portal found in another one's hands, until it has written there itself."""

    installation = models.OneToOneField(
        Installation, models.CASCADE, primary_key=True, related_name="other_portal"
    )
    last = models.CharField(max_length=64)
    """Who pushed there last: a portal's id, or the two numbers of a push that this portal never made."""
    seen = models.DateTimeField(_("seen"))
    taken_over = models.CharField(max_length=64, blank=True)
    """The one that an admin decided against: equal to `last` while the decision holds."""

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.last} on {self.installation}"

    @property
    def is_portal(self) -> bool:
        """True where it named itself; False where only a push of an unknown number is there."""
        return "." not in self.last

    @property
    def is_taken_over(self) -> bool:
        return self.last == self.taken_over


class PendingUpload(ShortLived):
    """An inventory file that somebody uploaded and has not confirmed yet."""

    KEPT = timedelta(hours=1)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.PositiveBigIntegerField()
    """The id of the person; nobody else sees the file."""
    content = models.BinaryField()
    kept = models.DateTimeField(default=timezone.now)

    class Meta:
        default_permissions = ()
        indexes = [models.Index(fields=["kept"], name="upload_by_time")]

    def __str__(self) -> str:
        return str(self.pk)

    @classmethod
    def expired(cls) -> "models.QuerySet[Self]":
        now = timezone.now()
        set_back = Q(kept__gt=now + cls.KEPT)  # the clock, since the row was written
        return models.QuerySet(cls).filter(Q(kept__lte=now - cls.KEPT) | set_back)


class Contact(WithChoices):
    """Who is called about the servers of an environment, or of another team: entered, as text."""

    class Team(models.TextChoices):
        """Teams that work for all environments, by the names of `instances.menders.Mender`, and security."""

        CAMPAIGN = "campaign", _("Campaign team")
        NETWORK = "network", _("Network team")
        OPERATORS = "operators", _("People who run the portal")
        SECURITY = "security", _("Security team")

    audit_name = "contact"

    # An environment stands for those who run its servers.
    environment = models.CharField(
        _("for"), max_length=12, choices=[*Instance.Environment.choices, *Team.choices], unique=True
    )
    who = models.CharField(_("who"), max_length=120)
    reach = models.CharField(_("how to reach them"), max_length=200)
    hours = models.CharField(_("when"), max_length=120, blank=True)

    class Meta:
        ordering = ["environment"]
        default_permissions = ()

    @classmethod
    def label_of(cls, name: str) -> str:
        """Return how the team is called that a contact is for, by the name that is stored."""
        if name in cls.Team.values:
            return str(cls.Team(name).label)
        return gettext("Server team of %s") % Instance.Environment(name).label

    @classmethod
    def names(cls) -> list[str]:
        """Return everything that a contact may be for, as it is stored: environments, then teams."""
        return [*Instance.Environment.values, *cls.Team.values]

    def __str__(self) -> str:
        return self.get_environment_display()
