"""The states of a push."""

from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext_lazy


class State(models.TextChoices):
    """How far a push is. Unknown: the values went out, and nobody knows yet what became of them."""

    QUEUED = "queued", _("Queued")
    RUNNING = "running", _("Running")
    SUCCEEDED = "succeeded", _("Succeeded")
    FAILED = "failed", _("Failed")
    UNKNOWN = "unknown", _("Unknown")
    CANCELLED = "cancelled", _("Cancelled")
    SUPERSEDED = "superseded", _("Superseded")


_COUNTED = {
    State.QUEUED: ngettext_lazy("%(count)s queued", "%(count)s queued", "count"),
    State.RUNNING: ngettext_lazy("%(count)s running", "%(count)s running", "count"),
    State.SUCCEEDED: ngettext_lazy("%(count)s succeeded", "%(count)s succeeded", "count"),
    State.FAILED: ngettext_lazy("%(count)s failed", "%(count)s failed", "count"),
    State.UNKNOWN: ngettext_lazy("%(count)s unknown", "%(count)s unknown", "count"),
    State.CANCELLED: ngettext_lazy("%(count)s cancelled", "%(count)s cancelled", "count"),
    State.SUPERSEDED: ngettext_lazy("%(count)s superseded", "%(count)s superseded", "count"),
}


def counted(state: State, count: int) -> str:
    """Return how many pushes are in a state: `12 succeeded`."""
    return str(_COUNTED[state] % {"count": count})
