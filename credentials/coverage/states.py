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
    DRIFTED = "drifted", _("changed since the portal wrote it, or someone accepted it")
    DEAD = "dead", _("holds a version that can no longer be used")
    NEVER_PUSHED = "never_pushed", _("nothing is rolled out there")
    GONE = "gone", _("its file was gone, or could not be read, at the last reading")
    UNKNOWN = "unknown", _("it is not known which version it holds")
    BEHIND = "behind", _("holds another version than the goal")
    OFF = "off", _("its container is switched off")
    WAVE = "wave", _("its wave of the open rotation has not started")
    BY_HAND = "by_hand", _("the portal cannot reach it: someone must set it by hand and report it")


class How(models.TextChoices):
    """How it is known what an installation holds."""

    PROVEN = "proven", _("proven by a push")
    CONFIRMED = "confirmed", _("confirmed by a person, not proven")
    SEEN = "seen", _("seen: the same secret was proven elsewhere")
    REPORTED = "reported", _("reported by hand, not proven")
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
    is_by_hand: bool = False,
    is_open: bool = False,
    has_failed: bool = False,
    is_drifted: bool = False,
    is_accepted: bool = False,
    is_usable: bool = True,
    is_decided: bool = True,
    is_gone: bool = False,
    is_rotating: bool = False,
) -> tuple[Cover, Need | str]:
    """Return what an installation is, and why it needs a person or waits: empty if neither.

    `held`, `desired` and `goal` are versions, or None; equal ones are the same version. `is_decided`: what is
    desired was decided after the goal became what it is. `is_gone`: a newer reading found no file there.
    `is_rotating`: an open rotation brings the goal to one wave after the other. `is_by_hand`: it does not
    come here, since the portal cannot.
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
    need = _why(held, desired, is_usable=is_usable)
    if is_by_hand:
        return Cover.NEEDS_YOU, need if need == Need.DEAD else Need.BY_HAND
    return _on_its_way(need, is_on=is_on, is_rotating=is_rotating)


def _on_its_way(need: Need, *, is_on: bool, is_rotating: bool) -> tuple[Cover, Need]:
    """Return what an installation is that the portal brings the goal to."""
    if not is_on:
        return Cover.WAITING, Need.OFF
    return (Cover.WAITING, Need.WAVE) if is_rotating and need == Need.BEHIND else (Cover.NEEDS_YOU, need)


def _why(held: object, desired: object, *, is_usable: bool) -> Need:
    if held is None:
        return Need.UNKNOWN if desired else Need.NEVER_PUSHED
    return Need.BEHIND if is_usable else Need.DEAD
