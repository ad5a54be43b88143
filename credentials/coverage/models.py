"""What people accepted of what was seen, and the drift that was found."""

from django.db import models
from django.db.models.functions import Now

from instances.discovery.models import Observation
from instances.models import Installation
from portal.audit.names import declare_names


class AcceptedSight(models.Model):
    """A sight that a person accepted: what is compared from then on, until the next proven write."""

    installation = models.OneToOneField(
        Installation, models.CASCADE, primary_key=True, related_name="accepted_sight"
    )
    observation = models.ForeignKey(Observation, models.PROTECT, related_name="+")
    at = models.DateTimeField(db_default=Now())
    by = models.CharField(max_length=150)
    reason = models.CharField(max_length=250)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.observation} accepted by {self.by}"


declare_names(AcceptedSight, "by")


class FoundDrift(models.Model):
    """A sight that was recorded in the history as drift, so that it is recorded once."""

    observation = models.OneToOneField(Observation, models.PROTECT, primary_key=True, related_name="+")
    found = models.DateTimeField(db_default=Now())

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return str(self.observation_id)
