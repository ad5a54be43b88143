"""The states of an installation, measured by the goal of its account, and why a person is needed."""

from collections.abc import Mapping
from datetime import datetime
from enum import IntFlag, auto
from functools import reduce
from operator import or_

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


class Fact(IntFlag):
    """What is true of an installation: everything that its state follows from.

    The database is asked for it as one number, and counts and selects by that; `judge` and `how_known` say
    what it means. So the rules stand in one place, and no installation has to be fetched to be counted.
    """

    OPEN = auto()
    """A push is open."""
    FAILED = auto()
    """The push that was to bring what is desired failed."""
    DRIFTED = auto()
    """The file differs from what it is compared with."""
    ACCEPTED = auto()
    """A person accepted what is there."""
    WORKING = auto()
    """The version that it holds can still be used."""
    DECIDED = auto()
    """What is desired was decided after the goal became what it is."""
    GONE = auto()
    """A newer reading found no file, or none that can be read."""
    ROTATING = auto()
    """An open rotation brings the goal to one wave after the other."""
    ON = auto()
    """Its container is switched on."""
    BY_HAND = auto()
    """The portal cannot reach its container."""
    HOLDS = auto()
    """It is known which version it holds; the same for `DESIRES`."""
    HOLDS_GOAL = auto()
    HOLDS_DESIRED = auto()
    DESIRES = auto()
    DESIRES_GOAL = auto()
    TOLD = auto()
    """A person saw the file last, and not the portal."""
    PROVEN = auto()
    """How the version that it holds is known: proven there, confirmed by a person, or proven elsewhere."""
    CONFIRMED = auto()
    SEEN = auto()


def facts(flags: Mapping[Fact, object]) -> Fact:
    """Return the facts whose values are true."""
    return reduce(or_, (fact for fact, value in flags.items() if value), Fact(0))


def facts_of_versions(held: object, desired: object, goal: object) -> Fact:
    """Return the facts about three versions, or None; equal ones are the same version."""
    return facts(
        {
            Fact.HOLDS: held is not None,
            Fact.HOLDS_GOAL: held is not None and held == goal,
            Fact.HOLDS_DESIRED: held is not None and held == desired,
            Fact.DESIRES: desired is not None,
            Fact.DESIRES_GOAL: desired is not None and desired == goal,
        }
    )


def is_decided(since: datetime | None, goal_since: datetime | None) -> bool:
    """Return whether what is desired `since` then was decided after the goal became what it is."""
    return goal_since is None or (since is not None and since > goal_since)


def judge(found: Fact) -> tuple[Cover, Need | str]:
    """Return what an installation is, and why it needs a person or waits: empty if neither."""
    if Fact.OPEN in found:
        return Cover.UNDER_WAY, ""
    for fact, need in ((Fact.FAILED, Need.FAILED), (Fact.DRIFTED, Need.DRIFTED), (Fact.GONE, Need.GONE)):
        if fact in found:
            return Cover.NEEDS_YOU, need
    if Fact.HOLDS_GOAL in found and (Fact.DESIRES not in found or Fact.DESIRES_GOAL in found):
        return Cover.DONE, ""
    is_as_desired = Fact.HOLDS_DESIRED in found and Fact.WORKING in found
    if Fact.DECIDED in found and (Fact.ACCEPTED in found or is_as_desired):
        return Cover.KEPT, ""
    need = _why(found)
    if Fact.BY_HAND in found:
        return Cover.NEEDS_YOU, need if need == Need.DEAD else Need.BY_HAND
    return _on_its_way(need, found)


def _on_its_way(need: Need, found: Fact) -> tuple[Cover, Need]:
    """Return what an installation is that the portal brings the goal to."""
    if Fact.ON not in found:
        return Cover.WAITING, Need.OFF
    is_waiting = Fact.ROTATING in found and need == Need.BEHIND
    return (Cover.WAITING, Need.WAVE) if is_waiting else (Cover.NEEDS_YOU, need)


def _why(found: Fact) -> Need:
    if Fact.HOLDS not in found:
        return Need.UNKNOWN if Fact.DESIRES in found else Need.NEVER_PUSHED
    return Need.BEHIND if Fact.WORKING in found else Need.DEAD


def how_known(found: Fact) -> How:
    """Return how it is known what an installation holds; what rests on a report is called nothing else."""
    if Fact.HOLDS not in found:
        return How.NOT_KNOWN
    if Fact.TOLD in found:
        return How.REPORTED
    ways = ((Fact.PROVEN, How.PROVEN), (Fact.CONFIRMED, How.CONFIRMED), (Fact.SEEN, How.SEEN))
    return next((how for fact, how in ways if fact in found), How.REPORTED)
