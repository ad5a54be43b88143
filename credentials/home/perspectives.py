"""Which home page a person gets: by what they may do, and with tabs where that is more than one."""

from django.contrib.auth.models import AnonymousUser, User
from django.db import models
from django.utils.translation import gettext_lazy as _


class Perspective(models.TextChoices):
    """What a home page is made for; its value is in the address."""

    FLEET = "fleet", _("Fleet")
    QUEUE = "queue", _("Failed pushes")
    AUDIT = "audit", _("Audit")


NEEDED = {
    Perspective.FLEET: "instances.change_inventory",
    Perspective.QUEUE: "rollouts.retry_push",
    Perspective.AUDIT: "audit.export_events",
}
"""What somebody may do who is the reader of a home page."""


def perspectives_of(user: User | AnonymousUser) -> list[Perspective]:
    """Return the home pages of a person, their own first. Who may do nothing gets the one of auditors."""
    found = [each for each, permission in NEEDED.items() if user.has_perm(permission)]
    return found or [Perspective.AUDIT]
