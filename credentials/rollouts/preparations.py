"""Rollouts in preparation: what one person has chosen and typed so far, kept while they look for more."""

import uuid
from collections.abc import Collection
from datetime import timedelta
from typing import Self

from django.contrib.auth.models import User
from django.db import models, transaction
from django.db.models.functions import Now

from credentials.models import TechnicalAccount
from instances.models import Installation


class PreparationQuerySet(models.QuerySet["Preparation"]):
    def fresh(self) -> Self:
        """Recent preparations: an older choice would leave out what was added to the inventory since."""
        return self.filter(changed__gt=Now() - Preparation.KEPT)


class Preparation(models.Model):
    """A rollout of an account in use that a person is preparing: what they chose and typed so far.

    Without one, all installations of the account are chosen.
    """

    KEPT = timedelta(hours=12)

    account = models.ForeignKey(TechnicalAccount, models.CASCADE, related_name="preparations")
    person = models.ForeignKey(User, models.CASCADE, related_name="+")
    installations = models.ManyToManyField(
        Installation, blank=True, db_table="wizard_preparation_installations"
    )
    reason = models.CharField(max_length=10, blank=True)
    message = models.CharField(max_length=250, blank=True)
    changed = models.DateTimeField(auto_now=True)

    objects = PreparationQuerySet.as_manager()

    class Meta:
        db_table = "wizard_preparation"  # where it stood before
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["account", "person"], name="wizard_preparation_once"),
        ]

    def __str__(self) -> str:
        return f"rollout of {self.account} by {self.person}"


@transaction.atomic
def prepare(
    *, account: TechnicalAccount, person: User, chosen: Collection[uuid.UUID], reason: str, message: str
) -> Preparation:
    """Keep what a person chose and typed for a rollout, while they look for more to choose."""
    values = {"reason": reason, "message": message}
    preparation, _is_new = Preparation.objects.update_or_create(
        account=account, person=person, defaults=values
    )
    preparation.installations.set(Installation.objects.filter(pk__in=chosen))
    return preparation
