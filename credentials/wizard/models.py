"""What is saved of unfinished work, never a secret: an account's draft, and a rollout in preparation."""

from datetime import timedelta
from typing import Self

from django.contrib.auth.models import User
from django.db import models
from django.db.models.functions import Now

from credentials.models import TechnicalAccount
from instances.models import Installation


class Draft(models.Model):
    """What has been done so far for one account; any admin can go on with it on another day."""

    account = models.OneToOneField(TechnicalAccount, models.CASCADE, related_name="draft")
    step = models.CharField(max_length=20)
    done = models.JSONField(default=list)
    confirmed = models.JSONField(default=list)
    cautions = models.JSONField(default=list)
    installations = models.ManyToManyField(Installation, blank=True)
    changed = models.DateTimeField(auto_now=True)
    changed_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")
    changed_by_name = models.CharField(max_length=150)

    class Meta:
        ordering = ["-changed"]
        default_permissions = ()

    def __str__(self) -> str:
        return f"draft of {self.account}"

    @property
    def stamp(self) -> str:
        """Names this state of the draft; a form with another one was opened before the last change."""
        return self.changed.isoformat()


class PreparationQuerySet(models.QuerySet["Preparation"]):
    def fresh(self) -> Self:
        """Those of today's work: an older choice would leave out what was added to the inventory since."""
        return self.filter(changed__gt=Now() - Preparation.KEPT)


class Preparation(models.Model):
    """A rollout of an account in use that a person is preparing: what they chose and typed so far.

    Without one, all installations of the account are chosen.
    """

    KEPT = timedelta(hours=12)

    account = models.ForeignKey(TechnicalAccount, models.CASCADE, related_name="preparations")
    person = models.ForeignKey(User, models.CASCADE, related_name="+")
    installations = models.ManyToManyField(Installation, blank=True)
    reason = models.CharField(max_length=10, blank=True)
    message = models.CharField(max_length=250, blank=True)
    changed = models.DateTimeField(auto_now=True)

    objects = PreparationQuerySet.as_manager()

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["account", "person"], name="wizard_preparation_once"),
        ]

    def __str__(self) -> str:
        return f"rollout of {self.account} by {self.person}"
