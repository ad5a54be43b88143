"""The states of an installation, measured by the goal of its account, and why a person is needed."""

from datetime import datetime

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
    NEVER_PUSHED = "never_pushed", _("nothing is rolled out there")
    GONE = "gone", _("its file was gone, or could not be read, at the last reading")
    UNKNOWN = "unknown", _("nobody knows which version it holds")
    BEHIND = "behind", _("holds another version than the goal")
    OFF = "off", _("its container is switched off")


class How(models.TextChoices):
    """How it is known what an installation holds."""

    PROVEN = "proven", _("proven by a push")
    CONFIRMED = "confirmed", _("confirmed by a person, not proven")
    SEEN = "seen", _("seen: the same secret was proven elsewhere")
    NOT_KNOWN = "", _("not known")


def is_decided(since: datetime | None, goal_since: datetime | None) -> bool:
    """Return whether what is desired `since` then was decided after the goal became what it is."""
    return goal_since is None or (since is not None and since > goal_since)


def judge(
    *,
    held: object,
    desired: object,
    goal: object,
    is_on: bool = True,
    is_open: bool = False,
    has_failed: bool = False,
    is_drifted: bool = False,
    is_accepted: bool = False,
    is_usable: bool = True,
    is_decided: bool = True,
    is_gone: bool = False,
) -> tuple[Cover, Need | str]:
    """Return what an installation is, and why it needs a person or waits: empty if neither.

    `held`, `desired` and `goal` are versions, or None; equal ones are the same version. `is_decided`: what is
    desired was decided after the goal became what it is. `is_gone`: a newer reading found no file there.
    """
    if is_open:
        return Cover.UNDER_WAY, ""
    if has_failed:
        return Cover.NEEDS_YOU, Need.FAILED
    if is_drifted:
        return Cover.NEEDS_YOU, Need.DRIFTED
    if is_gone:
        return Cover.NEEDS_YOU, Need.GONE
    if held and held == goal and desired in (None, goal):
        return Cover.DONE, ""
    if is_decided and (is_accepted or (held and held == desired and is_usable)):
        return Cover.KEPT, ""
    if not is_on:
        return Cover.WAITING, Need.OFF
    return Cover.NEEDS_YOU, _why(held, desired, is_usable=is_usable)


def _why(held: object, desired: object, *, is_usable: bool) -> Need:
    if held is None:
        return Need.UNKNOWN if desired else Need.NEVER_PUSHED
    return Need.BEHIND if is_usable else Need.DEAD
