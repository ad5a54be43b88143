"""Failed sign-ins, as counters. Nothing that was typed is stored: it may be a password in the wrong field."""

from datetime import datetime, timedelta
from typing import Self

from django.contrib.auth.models import User
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from portal.audit.names import declare_names
from portal.short_lived import ShortLived


class FailedSignIns(ShortLived):
    """How often a password was wrong for one name lately, from one address or from one known browser.

    Columns of later releases have defaults in the database: an earlier one still writes during an upgrade.
    """

    KEPT = timedelta(minutes=15)

    class Purpose(models.TextChoices):
        SIGN_IN = "sign_in", _("Sign-in")
        PASSWORD = "password", _("Change of one's own password")  # the name of a purpose

    purpose = models.CharField(
        max_length=10, choices=Purpose.choices, default=Purpose.SIGN_IN, db_default=Purpose.SIGN_IN
    )
    name_hash = models.CharField(max_length=64)
    """A keyed hash: the database alone does not tell which name was tried."""
    user = models.ForeignKey(User, models.CASCADE, null=True, related_name="+")
    """The person, if the name is one."""
    address = models.CharField(max_length=45, blank=True)
    """An IPv4 address, or the network of an IPv6 address; empty for a known browser."""
    device = models.CharField(max_length=32, blank=True, default="", db_default="")
    failures = models.PositiveIntegerField(default=0)
    refused = models.PositiveIntegerField(default=0, db_default=0)
    """Tries against the lock, for which no password was looked at."""
    last = models.DateTimeField()
    """The last failure that counted: at a lock, the moment when it began."""

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                fields=["purpose", "name_hash", "address", "device"], name="people_failedsignins_unique"
            ),
        ]
        indexes = [
            models.Index(fields=["last"], name="people_failed_by_time"),
            models.Index(fields=["address"], name="people_failed_by_address"),
        ]

    def __str__(self) -> str:
        return f"{self.failures} from {self.address}"

    @property
    def until(self) -> datetime:
        """When this counter, and with it its lock, is over."""
        return self.last + self.KEPT

    @classmethod
    def expired(cls) -> "models.QuerySet[Self]":
        return models.QuerySet(cls).filter(cls.is_over())

    @classmethod
    def is_over(cls) -> Q:
        now = timezone.now()
        set_back = Q(last__gt=now + cls.KEPT)  # the clock, since the row was written
        return Q(last__lte=now - cls.KEPT) | set_back


class SignInTally(ShortLived):
    """Failed sign-ins of a quarter of an hour, by person and address, for one line of history at its end."""

    KEPT = timedelta(minutes=15)
    MOST_ROWS = 500

    began = models.DateTimeField()
    name = models.CharField(max_length=150, blank=True)
    """A person who exists; empty for all other names together."""
    address = models.CharField(max_length=45, blank=True)
    """Empty for all further addresses, once there are very many."""
    failures = models.PositiveIntegerField(default=0)
    refused = models.PositiveIntegerField(default=0)
    locks = models.PositiveIntegerField(default=0)
    recorded = models.PositiveIntegerField(default=0)
    """Failures with a line of their own in the history."""

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["began", "name", "address"], name="people_signintally_unique"),
        ]

    def __str__(self) -> str:
        return f"{self.failures} from {self.address}"

    @classmethod
    def expired(cls) -> "models.QuerySet[Self]":
        now = timezone.now()
        set_back = Q(began__gt=now + cls.KEPT)
        return models.QuerySet(cls).filter(Q(began__lte=now - cls.KEPT) | set_back)


declare_names(SignInTally, "name")


class ProxySign(ShortLived):
    """Something that only happens behind a proxy, seen while the settings say that there is none."""

    KEPT = timedelta(days=1)

    class Sign(models.TextChoices):
        HEADER = "header", _("A request came with the headers of a proxy")
        LOOPBACK = "loopback", _("Requests come from this machine itself")

    sign = models.CharField(max_length=10, choices=Sign.choices, unique=True)
    peer = models.CharField(max_length=45)
    last = models.DateTimeField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.sign} {self.peer}"

    @classmethod
    def expired(cls) -> "models.QuerySet[Self]":
        now = timezone.now()
        return models.QuerySet(cls).filter(Q(last__lte=now - cls.KEPT) | Q(last__gt=now + cls.KEPT))


class Preferences(models.Model):
    """How a person wants to see pages. Without a row it is as the settings and the browser say."""

    user = models.OneToOneField(User, models.CASCADE, primary_key=True, related_name="preferences")
    zone = models.CharField(_("time zone"), max_length=64, blank=True)
    """Empty: that of the server."""
    language = models.CharField(_("language"), max_length=10, blank=True)
    """Empty: the one that the browser asks for."""
    exact_times = models.BooleanField(_("exact times"), default=False, db_default=False)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"preferences of {self.user_id}"
