"""The keys that belong to this database, each by a fingerprint that gives nothing away."""

from datetime import timedelta
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from portal.short_lived import ShortLived


class KeyHolderQuerySet(models.QuerySet["KeyHolder"]):
    def at_work(self) -> Self:
        """Processes that were seen within three of the intervals at which they report."""
        return self.filter(seen__gte=Now() - timedelta(seconds=settings.RECONCILE_INTERVAL * 3 + 5))


class KeyHolder(ShortLived):
    """A running process, and the fingerprints of the keys that it holds, as it last said."""

    KEPT = timedelta(hours=1)

    name = models.CharField(max_length=100, primary_key=True)
    seen = models.DateTimeField(db_default=Now())
    keys = models.JSONField(default=dict)

    objects = KeyHolderQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        default_permissions = ()

    def __str__(self) -> str:
        return self.name

    @classmethod
    def expired(cls) -> "models.QuerySet[Self]":
        return models.QuerySet(cls).filter(seen__lt=Now() - cls.KEPT)


class KnownKey(models.Model):
    """One key of this portal. Every process compares its own keys with these rows before it writes.

    A secret key's fingerprint is an HMAC under the key itself; the SSH key's is that of its public half. The
    key ring's is that of one key, which every ring has to contain.
    """

    name = models.CharField(max_length=40, primary_key=True)
    fingerprint = models.CharField(max_length=64)
    since = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["name"]
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.name} {self.fingerprint}"
