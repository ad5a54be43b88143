"""The states of an installation, measured by the goal of its account, and why a person is needed."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class Cover(models.TextChoices):
    """The five words of the map."""

    DONE = "done", _("Done")
    UNDER_WAY = "under_way", _("Under way")
    WAITING = "waiting", _("Waiting")
    KEPT = "kept", _("Kept")
    NEEDS_YOU = "needs_you", _("Needs you")


class Need(models.TextChoices):
    """Why an installation needs a person, or waits."""

    FAILED = "failed", _("the last push failed")
    DRIFTED = "drifted", _("changed since the portal wrote or accepted it")
    DEAD = "dead", _("holds a version that can no longer be used")
    NEVER_PUSHED = "never_pushed", _("nothing was pushed there yet")
    UNKNOWN = "unknown", _("nobody knows which version it holds")
    BEHIND = "behind", _("holds another version than the goal")
    OFF = "off", _("its container is switched off")


class How(models.TextChoices):
    """How it is known what an installation holds."""

    PROVEN = "proven", _("proven by a push")
    CONFIRMED = "confirmed", _("confirmed by a person, not proven")
    SEEN = "seen", _("seen: the same secret was proven elsewhere")
    NOT_KNOWN = "", _("not known")
