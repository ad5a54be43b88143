"""The gates of a rotation, by the rules of holding and deleting: asked anew each time, of every installation.

A version may be deleted only where nobody needs it any more, and only if that was seen lately.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce
from operator import or_
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import models
from django.db.models import (
    BooleanField,
    Case,
    CharField,
    Count,
    Exists,
    F,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Value,
    When,
)
from django.db.models.functions import Now, StrIndex
from django.db.models.lookups import GreaterThan
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from credentials.coverage.holding import ACCOUNT, with_holding
from credentials.models import ClientSecret
from credentials.rollouts.models import Attempt, ConfirmedVersion, HandReport, ProvenDigest, ProvenWrite, Push
from credentials.rollouts.settlement import SENT
from credentials.rotation.moving import UNDER_WAY
from instances.models import NOT_HOSTED, Installation, place_label
from portal.punctuation import some_of
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


@dataclass(frozen=True)
class Ways:
    """What keeps a version from being deleted, counted by the database: only what is named is fetched."""

    rows: "QuerySet[Any]"  # Any: installations with annotations
    """Installations with `missing`, empty where nothing is."""
    counts: Mapping[tuple[Missing, bool], int]
    """How many there are, by what is missing and whether the portal cannot reach them."""

    @classmethod
    def among(cls, rows: "QuerySet[Any]") -> "Ways":
        """Return those of the installations that are in the way; one statement."""
        found = rows.order_by().values_list("missing", "container__is_by_hand").annotate(count=Count("pk"))
        return cls(rows, {(Missing(word), by_hand): count for word, by_hand, count in found if word})

    def __len__(self) -> int:
        return sum(self.counts.values())

    @property
    def kinds(self) -> set[Missing]:
        """What is missing anywhere."""
        return {missing for missing, _by_hand in self.counts}

    def only(self, kinds: Collection[Missing]) -> "Ways":
        """Return those where one of these is missing; no statement."""
        return Ways(self.rows, {each: count for each, count in self.counts.items() if each[0] in kinds})

    @property
    def unreported(self) -> "Ways":
        """Those that the portal cannot reach, and where nobody has reported the successor; no statement."""
        counts = {
            each: count for each, count in self.counts.items() if each[1] and each[0] != Missing.BY_HAND
        }
        return Ways(self.rows.filter(container__is_by_hand=True), counts)

    def first(self, most: int | None = None) -> list[InTheWay]:
        """Return them by instance and container, `most` of them, or all; one statement."""
        if not self.counts:
            return []
        rows = self.rows.filter(missing__in=self.kinds).order_by("instance__name", "container__name")
        return [
            InTheWay(installation, instance, container, container_id, Missing(missing), push, is_by_hand)
            for installation, instance, container, container_id, missing, push, is_by_hand in (
                rows.values_list(*NAMES)[:most]
            )
        ]

    def pushed_to(self) -> int:
        """Return to how many of them something is being pushed; one statement."""
        here = self.rows.filter(missing__in=self.kinds).order_by().values("pk")
        running = Push.objects.filter(state__in=UNDER_WAY, installation__in=here)
        return running.order_by().values("installation").distinct().count()

    def named(self, most: int) -> str:
        """Return the names of `most` of them; one statement."""
        return some_of((each.name for each in self.first(most)), len(self))


NOTHING = Ways(Installation.objects.none(), {})


def in_the_way(
    version: ClientSecret,
    *,
    successor: ClientSecret | None = None,
    since: datetime | None = None,
    passed: Collection[str] = (),
) -> Ways:
    """Return what keeps a version from being deleted; empty: it may go.

    With `successor` every installation of the account has to hold that one. What the portal cannot reach is
    always in the way: at best a person has reported the successor there `since` then. What a person `passed`
    (`InTheWay.passable`) is left out, unless it is busy. One statement, whatever the number of installations.
    """
    rows = _with_missing(concerned(version), version, Successor(successor, since))
    return Ways.among(rows.exclude(_passed(passed)) if passed else rows)


def _passed(names: Collection[str]) -> Q:
    """Return what was passed: installations for what was missing there then."""
    found: dict[str, list[str]] = defaultdict(list)
    for name in names:
        installation, _colon, missing = name.partition(":")
        found[missing].append(installation)
    busy = {each.value for each in BUSY}
    parts = [Q(pk__in=ids, missing=missing) for missing, ids in found.items() if missing not in busy]
    return reduce(or_, parts, Q(pk__in=[]))


def not_read_since(version: ClientSecret, age: timedelta) -> dict[UUID, datetime]:
    """Return the containers in use with an installation not read in this time, or not since its write.

    With each since when a reading counts: its last write, or `age` ago.
    """
    rows = _with_reading(with_holding(concerned(version)), age).filter(
        is_read=False, container__is_enabled=True, container__is_by_hand=False
    )
    found: dict[UUID, datetime] = {}
    for container, write, now in rows.order_by().values_list("container", "last_write", "now"):
        since = max(now - age, write or now - age)
        found[container] = max(since, found.get(container, since))
    return found


def left_out(version: ClientSecret) -> QuerySet[Installation]:
    """Return the retired installations that would have been asked: they are named, with the reason."""
    return Installation.objects.retired().filter(
        Q(instance__assignment__account=version.account_id) | Q(observed_client_id=version.client_id)
    )


NAMES = (
    "pk",
    "instance__name",
    "container__name",
    "container_id",
    "missing",
    "desired__push",
    "container__is_by_hand",
)
"""Columns, in the order of the fields of `InTheWay`."""


@dataclass(frozen=True)
class Successor:
    """The version that installations are to hold instead, if any, and since when a report of it counts."""

    version: ClientSecret | None = None
    since: datetime | None = None

    @property
    def is_held(self) -> Q:
        return Q(held_version=self.version.pk) if self.version else Q(pk__in=[])

    @property
    def is_reported(self) -> Q:
        """Whether a person reported it there lately enough; that is no proof."""
        return self.is_held & Q(last_report__gt=self.since) if self.since else Q(pk__in=[])


def _with_missing(
    rows: QuerySet[Installation], version: ClientSecret, successor: Successor
) -> "QuerySet[Any]":  # Any: installations with annotations
    """Annotate installations with `missing`: the first thing that is, the worst first; or empty."""
    opened = Push.objects.open().filter(installation=OuterRef("pk"), rollout__secret=version)
    reports = HandReport.objects.filter(installation=OuterRef("pk")).order_by("-pk").values("at")
    known = _with_reading(with_holding(rows), timedelta(seconds=settings.ROTATION_READ_WITHIN)).annotate(
        is_opened=Exists(opened),
        last_report=Subquery(reports[:1]),
        is_unproven=_is_unproven(version),
    )
    is_own = Q(**{ACCOUNT: version.account_id}) if successor.version else Q(pk__in=[])
    found: QuerySet[Any] = known.annotate(
        missing=Case(
            # Known to be in the way there.
            _when(Q(is_opened=True), Missing.OPEN_PUSH),
            _when(Q(held_version=version.pk) | Q(proven_version=version.pk), Missing.HOLDS),
            _when(Q(desired__version=version.pk), Missing.DESIRES),
            _when(Q(is_open=True), Missing.UNDER_WAY),
            # What the portal cannot reach is in the way all the same.
            _when(Q(container__is_by_hand=True) & successor.is_reported, Missing.BY_HAND),
            _when(Q(container__is_by_hand=True), Missing.NOT_REPORTED),
            # Not seen by the portal itself.
            _when(Q(observed=None), Missing.NEVER_SEEN),
            _when(Q(is_unproven=True), Missing.NOT_PROVEN),
            _when(Q(is_read=False, container__is_enabled=True), Missing.NOT_READ),
            _when(Q(is_read=False), Missing.OFF),
            When(successor.is_held, then=Value("")),
            _when(is_own, Missing.NOT_NEW),
            default=Value(""),
            output_field=CharField(),
        )
    )
    return found


def _when(condition: Q, missing: Missing) -> When:
    return When(condition, then=Value(missing.value))


def _is_unproven(version: ClientSecret) -> Case:
    """Whether the file names a version's client, and its secret is not proven to be another usable one."""
    digests = ProvenDigest.objects.filter(digest=OuterRef("observed_digest")).exclude(digest="")
    others = Exists(digests.filter(secret__in=ClientSecret.objects.usable()))
    own = Exists(digests.filter(secret=version))
    # Not `contains`, which minds no case on SQLite.
    names_it = GreaterThan(StrIndex("observed_client_id", Value(version.client_id)), 0)
    unproven = When(Q(names_it) & (Q(own) | ~Q(others)), then=Value(True))
    return Case(unproven, default=Value(False), output_field=BooleanField())


def _with_reading(rows: "QuerySet[Any]", age: timedelta) -> "QuerySet[Any]":  # Any: with annotations
    """Annotate with `now`, `last_write`, and `is_read`: the portal saw the file since, and after its write.

    A moment to come says nothing, and neither does what a person saw. `last_write` is when the portal wrote
    last; what it wrote more than `age` ago is left out, since a file seen since then was seen after it: an
    installation has many attempts, most of them old. A push ends with its last attempt or later.
    """
    oldest = Now() - Value(age)
    recent = Q(push__finished=None) | Q(push__finished__gte=oldest - Value(CLOCKS))
    sent = Attempt.objects.filter(
        recent,
        push__installation=OuterRef("pk"),
        stage__in=SENT,
        kind=Attempt.Kind.PUSH,
        finished__gte=oldest,
    )
    read = Q(
        is_told=False,
        seen__last_seen__gte=oldest,
        seen__last_seen__lte=Now() + Value(CLOCKS),
    ) & (Q(last_write=None) | Q(last_write__lt=F("seen__last_seen")))
    found: QuerySet[Any] = rows.annotate(
        now=Now(), last_write=Subquery(sent.order_by("-finished").values("finished")[:1])
    ).annotate(is_read=Case(When(read, then=Value(True)), default=Value(False), output_field=BooleanField()))
    return found
