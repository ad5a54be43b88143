"""What is saved of an account's draft, never a secret."""

from django.contrib.auth.models import User
from django.db import models

from credentials.models import TechnicalAccount
from instances.models import Installation
from portal.audit.names import declare_names


class Draft(models.Model):
    """What has been done so far for one account; any admin can go on with it on another day."""

    account = models.OneToOneField(TechnicalAccount, models.CASCADE, related_name="draft")
    has_json = models.BooleanField(default=False, db_default=False)
    """Whether it goes by the console's JSON file: the console's steps are one page then, to compare with."""
    step = models.CharField(max_length=20)
    done = models.JSONField(default=list)
    confirmed = models.JSONField(default=list)
    cautions = models.JSONField(default=list)
    installations = models.ManyToManyField(Installation, blank=True)
    message = models.CharField(max_length=250, blank=True, default="", db_default="")
    """What was typed for the history, by somebody who has not started the rollout yet."""
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


declare_names(Draft, "changed_by_name")
