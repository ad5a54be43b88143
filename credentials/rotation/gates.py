"""The gates of a rotation, by the rules of holding and deleting: asked anew each time, of every installation.

A version may be deleted only where nobody needs it any more, and only if that was seen lately.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import models
from django.db.models import Max, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Now
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from credentials.coverage.holding import ACCOUNT, with_holding
from credentials.models import ClientSecret
from credentials.rollouts.models import Attempt, ConfirmedVersion, HandReport, ProvenDigest, ProvenWrite, Push
from credentials.rollouts.settlement import SENT
from instances.models import NOT_HOSTED, Installation, place_label
from portal.web.times import duration


class Missing(models.TextChoices):
    """What is in the way of deleting a version, on one installation."""

    OPEN_PUSH = "open_push", _("a push of the old secret is under way")
    HOLDS = "holds", _("holds the old secret")
    DESIRES = "desires", _("should hold the old secret")
    UNDER_WAY = "under_way", _("a push is under way")
    NOT_NEW = "not_new", _("does not hold the new secret")
    NOT_PROVEN = "not_proven", _("holds a secret that is not proven to be the new one")
    NEVER_SEEN = "never_seen", _("its file was never seen")
    NOT_READ = (
        "not_read",
        _("has not been read since it was last written, or not for %(time)s"),
    )
    OFF = "off", _("its container is switched off, so nobody reads it")
    NOT_REPORTED = "not_reported", _("by hand: nobody has reported the new secret there since the canary")
    BY_HAND = "by_hand", _("new secret reported by hand, not proven")


BUSY = (Missing.OPEN_PUSH, Missing.UNDER_WAY)
"""Passed by nobody: it ends by itself, or is cancelled."""
ONLY_UNREAD = (Missing.NOT_READ, Missing.OFF)
"""Nothing is known to have changed there."""
NEEDED_NOW = (Missing.OPEN_PUSH, Missing.HOLDS)
"""What keeps a secret that is out of use already from being deleted at Adobe."""
ADVICE: Mapping[str, Promise] = {
    Missing.OPEN_PUSH: _("Wait until it ends, or cancel its rollout."),
    Missing.HOLDS: _("Roll the new secret out there. If a file was restored from a backup, find out why."),
    Missing.DESIRES: _("A later decision left it on the old secret: roll the new one out there."),
    Missing.UNDER_WAY: _("Wait until it ends."),
    Missing.NOT_NEW: _("Roll the new secret out there, or remove the account from the instance."),
    Missing.NOT_PROVEN: _("Roll the new secret out there. A person's confirmation is not proof."),
    Missing.NEVER_SEEN: _("Have its container read. Fix what prevents this."),
    Missing.NOT_READ: _("Have its container read. Fix what prevents this, or retire it."),
    Missing.NOT_REPORTED: _(
        "Have someone run the commands of its runbook there and report what the read-back script prints."
    ),
    Missing.BY_HAND: _(
        "The portal cannot see it, so an admin decides whether to pass this gate, with a reason."
    ),
    Missing.OFF: _("Switch the container on, or retire it if it is gone for good."),
}


@dataclass(frozen=True)
class InTheWay:
    """One installation that keeps a version from being deleted."""

    installation: UUID
    instance: str
    container: str
    container_id: UUID
    missing: Missing
    push: UUID | None = None
    is_by_hand: bool = False
    """Whether the portal cannot reach it."""

    @property
    def is_unreported(self) -> bool:
        """Whether the portal cannot reach it, and nobody has reported the successor there."""
        return self.is_by_hand and self.missing != Missing.BY_HAND

    @property
    def passable(self) -> str:
        """What is passed if a person passes this: the installation, for what is missing there now."""
        return f"{self.installation}:{self.missing.value}"

    @property
    def label(self) -> str:
        return str(self.missing.label) % {"time": duration(settings.ROTATION_READ_WITHIN)}

    @property
    def advice(self) -> Promise:
        return ADVICE[Missing.NOT_REPORTED if self.is_unreported else self.missing]

    def __str__(self) -> str:
        return f"{self.instance} on {self.container}"

    @property
    def name(self) -> str:
        """The installation as people read it."""
        return place_label(self.instance, self.container)


def named(ways: Sequence[InTheWay], most: int) -> str:
    """Return the names of what is in the way, `most` of them."""
    return ", ".join(each.name for each in ways[:most]) + (", …" if len(ways) > most else "")


CLOCKS = timedelta(minutes=5)
"""How far the clocks of workers and of the database may be apart."""


def concerned(version: ClientSecret) -> QuerySet[Installation]:
    """Return the installations that are asked before a version is deleted; on or off, assigned or not.

    Those of its account, those last seen with its client id, those that it was ever sent to, that held, were
    confirmed with or desire it, and those without an account that nobody has ever seen. What is retired is
    left out, and so is what Adobe hosts.
    """
    # None of them names the installation that is looked at, so that each is asked once and not for every row.
    proven = ProvenWrite.objects.filter(secret=version)
    confirmed = ConfirmedVersion.objects.filter(secret=version)
    pushed = Push.objects.open().filter(rollout__secret=version)
    elsewhere = ~Q(**{f"push__installation__{ACCOUNT}": version.account_id}) | Q(
        **{f"push__installation__{ACCOUNT}": None}
    )
    sent = Attempt.objects.filter(elsewhere, push__rollout__secret=version, stage__in=SENT)
    return (
        Installation.objects.not_retired()
        .filter(NOT_HOSTED.of("instance").condition())
        .filter(
            Q(**{ACCOUNT: version.account_id})
            | Q(observed_client_id__contains=version.client_id)
            | Q(desired__version=version)
            | Q(instance__assignment=None, observed=None)
            | Q(pk__in=proven.order_by().values("installation"))
            | Q(pk__in=confirmed.order_by().values("installation"))
            | Q(pk__in=pushed.order_by().values("installation"))
            | Q(pk__in=sent.order_by().values("push__installation"))
        )
    )


def in_the_way(
    version: ClientSecret, *, successor: ClientSecret | None = None, since: datetime | None = None
) -> list[InTheWay]:
    """Return what keeps a version from being deleted; empty: it may go.

    With `successor` every installation of the account has to hold that one. What the portal cannot reach is
    always in the way: at best a person has reported the successor there `since` then. A few statements,
    whatever the number of installations.
    """
    rows = _facts(concerned(version), version, timedelta(seconds=settings.ROTATION_READ_WITHIN))
    usable = _proven_for_others({row["observed_digest"] for row in rows}, version)
    found = ((row, _missing(row, version, usable, Successor(successor, since))) for row in rows)
    return [_in_the_way(row, missing) for row, missing in found if missing]


def not_read_since(version: ClientSecret, age: timedelta) -> dict[UUID, datetime]:
    """Return the containers in use with an installation not read in this time, or not since its write.

    With each since when a reading counts: its last write, or `age` ago.
    """
    found: dict[UUID, datetime] = {}
    for row in _facts(concerned(version), version, age):
        oldest = row["now"] - age
        if _is_read_by_the_portal(row) and not _is_read(row, oldest):
            since = max(oldest, row["last_write"] or oldest)
            found[row["container_id"]] = max(since, found.get(row["container_id"], since))
    return found


def left_out(version: ClientSecret) -> QuerySet[Installation]:
    """Return the retired installations that would have been asked: they are named, with the reason."""
    return Installation.objects.retired().filter(
        Q(instance__assignment__account=version.account_id) | Q(observed_client_id=version.client_id)
    )


NAMES = (
    "pk",
    "instance__name",
    "container_id",
    "container__name",
    "container__is_enabled",
    "container__is_by_hand",
    ACCOUNT,
    "observed",
    "observed_client_id",
    "observed_digest",
    "proven_version",
    "held_version",
    "desired__version",
    "desired__push",
    "is_open",
    "is_told",
    "opened_push",
    "seen__last_seen",
    "last_report",
    "now",
)


def _facts(  # Any: values of columns
    rows: QuerySet[Installation], version: ClientSecret, age: timedelta
) -> list[dict[str, Any]]:
    """Return what the gates ask of each installation, `last_write` for the time that is asked about."""
    opened = Push.objects.open().filter(installation=OuterRef("pk"), rollout__secret=version)
    reports = HandReport.objects.filter(installation=OuterRef("pk")).order_by("-pk").values("at")
    annotated = with_holding(rows).annotate(
        last_report=Subquery(reports[:1]),
        opened_push=Subquery(opened.values("pk")[:1]),
        now=Now(),
    )
    facts = list(annotated.order_by("instance__name", "container__name").values(*NAMES))
    writes = _last_writes(facts[0]["now"] - age) if facts else {}
    return [{**row, "last_write": writes.get(row["pk"])} for row in facts]


def _last_writes(since: datetime) -> dict[UUID, datetime]:
    """Return when the portal last wrote to each installation; what it wrote before `since` is left out.

    A file that was seen since then was seen after that, so nobody asks for it: an installation has many
    attempts, most of them old. A push ends with its last attempt or later.
    """
    recent = Q(push__finished=None) | Q(push__finished__gte=since - CLOCKS)
    sent = Attempt.objects.filter(recent, stage__in=SENT, kind=Attempt.Kind.PUSH, finished__gte=since)
    return dict(sent.order_by().values_list("push__installation").annotate(last=Max("finished")))


def _proven_for_others(digests: Collection[str], version: ClientSecret) -> set[str]:
    """Return those of the digests that are proven for another version which can be used, and not for this."""
    proven = ProvenDigest.objects.filter(digest__in=[each for each in digests if each])
    own = proven.filter(secret=version).values_list("digest", flat=True)
    usable = proven.filter(secret__in=ClientSecret.objects.usable()).values_list("digest", flat=True)
    return set(usable) - set(own)


@dataclass(frozen=True)
class Successor:
    """The version that installations are to hold instead, if any, and since when a report of it counts."""

    version: ClientSecret | None = None
    since: datetime | None = None

    def is_missing_on(self, row: Mapping[str, Any], version: ClientSecret) -> bool:
        is_own = row[ACCOUNT] == version.account_id
        return self.version is not None and is_own and row["held_version"] != self.version.pk

    def is_reported_on(self, row: Mapping[str, Any]) -> bool:
        """Whether a person reported it there lately enough; that is no proof."""
        if self.version is None or self.since is None or row["last_report"] is None:
            return False
        return bool(row["held_version"] == self.version.pk and row["last_report"] > self.since)


def _missing(
    row: Mapping[str, Any], version: ClientSecret, usable: Collection[str], successor: Successor
) -> Missing | None:
    """Return the first thing that is missing, the worst first."""
    if missing := _in_use(row, version):
        return missing
    if row["container__is_by_hand"]:
        return Missing.BY_HAND if successor.is_reported_on(row) else Missing.NOT_REPORTED
    if missing := _not_seen(row, version, usable):
        return missing
    return Missing.NOT_NEW if successor.is_missing_on(row, version) else None


def _in_use(row: Mapping[str, Any], version: ClientSecret) -> Missing | None:
    """Return what is known to be in the way there."""
    if row["opened_push"]:
        return Missing.OPEN_PUSH
    if version.pk in (row["held_version"], row["proven_version"]):
        return Missing.HOLDS
    if row["desired__version"] == version.pk:
        return Missing.DESIRES
    if row["is_open"]:
        return Missing.UNDER_WAY
    return None


def _not_seen(row: Mapping[str, Any], version: ClientSecret, usable: Collection[str]) -> Missing | None:
    """Return what the portal has not seen there for itself."""
    if row["observed"] is None:
        return Missing.NEVER_SEEN
    if version.client_id in row["observed_client_id"] and row["observed_digest"] not in usable:
        return Missing.NOT_PROVEN
    oldest: datetime = row["now"] - timedelta(seconds=settings.ROTATION_READ_WITHIN)
    if not _is_read(row, oldest):
        return Missing.NOT_READ if row["container__is_enabled"] else Missing.OFF
    return None


def _is_read_by_the_portal(row: Mapping[str, Any]) -> bool:
    return bool(row["container__is_enabled"] and not row["container__is_by_hand"])


def _is_read(row: Mapping[str, Any], oldest: datetime) -> bool:
    """Whether the portal saw the file since `oldest` and after its last write.

    A moment to come says nothing, and neither does what a person saw.
    """
    seen, write = row["seen__last_seen"], row["last_write"]
    if seen is None or row["is_told"] or seen < oldest or seen > row["now"] + CLOCKS:
        return False
    return write is None or seen > write


def _in_the_way(row: Mapping[str, Any], missing: Missing) -> InTheWay:
    return InTheWay(
        installation=row["pk"],
        instance=row["instance__name"],
        container=row["container__name"],
        container_id=row["container_id"],
        missing=missing,
        push=row["desired__push"],
        is_by_hand=row["container__is_by_hand"],
    )
