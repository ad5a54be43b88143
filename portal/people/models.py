"""Failed sign-ins, as counters. Nothing that was typed is stored: it may be a password in the wrong field."""

from datetime import timedelta
from typing import Self

from django.db import models
from django.db.models import Q
from django.utils import timezone

from portal.short_lived import ShortLived


class FailedSignIns(ShortLived):
    """How often sign-in failed for one name from one address lately."""

    KEPT = timedelta(minutes=15)

    name_hash = models.CharField(max_length=64)
    """A keyed hash: the database alone does not tell which name was tried."""
    address = models.CharField(max_length=45, blank=True)
    failures = models.PositiveIntegerField(default=0)
    last = models.DateTimeField()

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["name_hash", "address"], name="people_failedsignins_once"),
        ]
        indexes = [models.Index(fields=["last"], name="people_failed_by_time")]

    def __str__(self) -> str:
        return f"{self.failures} from {self.address}"

    @classmethod
    def expired(cls) -> "models.QuerySet[Self]":
        return models.QuerySet(cls).filter(cls.is_over())

    @classmethod
    def is_over(cls) -> Q:
        now = timezone.now()
        set_back = Q(last__gt=now + cls.KEPT)  # the clock, since the row was written
        return Q(last__lte=now - cls.KEPT) | set_back
