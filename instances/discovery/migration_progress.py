"""How far the instances are on their way from JWT to OAuth: now, and week by week as it was seen then."""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.db.models import Case, DateTimeField, F, Func, IntegerField, Max, Value, When
from django.utils import timezone

from instances.discovery.models import Observation
from instances.models import NOT_HOSTED, Installation, Instance
from instances.nlserver import MIN_BUILD

WEEK = timedelta(weeks=1)
MOST_WEEKS = 52
FEWEST_WEEKS = 12
"""Even where everything was seen for the first time today."""


class Stage(StrEnum):
    """How far an instance is, the most urgent first. It is as far as the last of its installations."""

    JWT = "jwt"
    OLD = "old"
    UNKNOWN = "unknown"
    DONE = "done"


Seen = tuple[bool | None, int | None]
"""What an installation was seen to have: a JWT, and its build; None where that is not known."""
NEVER: Seen = (None, None)


def stage_of(installations: Iterable[Seen]) -> Stage:
    """Return how far an instance with these installations is."""
    seen = set(installations)
    if any(jwt for jwt, _build in seen):
        return Stage.JWT
    if any(build is not None and build < MIN_BUILD for _jwt, build in seen):
        return Stage.OLD
    if not seen or any(None in each for each in seen):
        return Stage.UNKNOWN
    return Stage.DONE


@dataclass
class Progress:
    """One instance, as it was seen last on the containers that are on."""

    pk: UUID
    name: str
    environment: str
    installations: int = 0
    on_jwt: int = 0
    too_old: int = 0
    never_seen: int = 0
    builds: set[int] = field(default_factory=set)
    last_seen: datetime | None = None
    seen: list[Seen] = field(default_factory=list)

    @property
    def stage(self) -> Stage:
        return stage_of(self.seen)

    @property
    def numbers(self) -> str:
        """The builds in words."""
        return ", ".join(map(str, sorted(self.builds)))


def progress() -> list[Progress]:
    """Return how far each instance is that can be pushed to somewhere, by name, with two statements."""
    rows = Instance.objects.filter(NOT_HOSTED.condition()).order_by("name")
    found = {pk: Progress(pk, name, env) for pk, name, env in rows.values_list("pk", "name", "environment")}
    columns = ("instance", "observed", "observed_build", "observed_jwt")
    for pk, at, build, jwt in Installation.objects.pushable().order_by().values_list(*columns):
        if each := found.get(pk):
            _add(each, at, build, jwt)
    return [each for each in found.values() if each.installations]


def _add(row: Progress, at: datetime | None, build: int | None, jwt: bool | None) -> None:
    row.installations += 1
    row.on_jwt += bool(jwt)
    row.too_old += build is not None and build < MIN_BUILD
    row.never_seen += jwt is None or build is None
    row.builds |= {build} if build else set()
    row.last_seen = max(filter(None, (row.last_seen, at)), default=None)
    row.seen.append((jwt, build))


@dataclass(frozen=True)
class Point:
    """How many instances were how far at a moment, as it was known then."""

    at: datetime
    counts: Counter[Stage]

    @property
    def total(self) -> int:
        return self.counts.total()


def history(current: Collection[Progress], *, now: datetime | None = None) -> list[Point]:
    """Return a point for each Monday (UTC), from the first sight on but at most a year, and one for now.

    It counts the instances of today's inventory from the day when they were entered: what was removed since
    is not in it. Two statements, which read the milestones among the observations and no others.
    """
    now = now or timezone.now()
    start = _monday(now) - MOST_WEEKS * WEEK
    seen = _seen_by_week(start)
    first = min(max(0, min(seen, default=MOST_WEEKS)), MOST_WEEKS - FEWEST_WEEKS)
    tally, points = _Tally(), []
    for week in range(MOST_WEEKS + 1):
        at = start + week * WEEK
        tally.go_on(at, seen.get(week - 1, ()))
        if week >= first:
            points.append(Point(at, tally.counts.copy()))
    return [*points, Point(now, Counter(each.stage for each in current))]


def _monday(at: datetime) -> datetime:
    """Return the beginning of the week (UTC) of a moment."""
    day = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return day - timedelta(days=day.weekday())


class _Weeks(Func):
    """Whole weeks from the second moment to the first, which is not earlier."""

    output_field = IntegerField()

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:  # Any: Django's own
        form = {"template": "CAST(JULIANDAY(%(expressions)s) AS INTEGER) / 7", "arg_joiner": ") - JULIANDAY("}
        return self.as_sql(compiler, connection, **form, **context)

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:  # Any: likewise
        form = {"template": "(EXTRACT(EPOCH FROM %(expressions)s)::bigint / 604800)", "arg_joiner": " - "}
        return self.as_sql(compiler, connection, **form, **context)


def _seen_by_week(start: datetime) -> dict[int, list[tuple[UUID, Seen]]]:
    """Return what each installation was seen to have last in each week after `start`; week -1 is before it.

    Last is what has the highest number, not the latest time.
    """
    week = Case(
        When(at__lt=start, then=Value(-1)),
        default=_Weeks(F("at"), Value(start, output_field=DateTimeField())),
    )
    milestones = Observation.objects.filter(is_milestone=True)
    weekly = milestones.order_by().annotate(week=week).values("installation", "week")
    newest = weekly.annotate(newest=Max("pk")).values("newest")
    rows = Observation.objects.filter(pk__in=newest).annotate(week=week).order_by("pk")
    found: dict[int, list[tuple[UUID, Seen]]] = {}
    for number, installation, jwt, build in rows.values_list("week", "installation", "is_jwt", "build"):
        found.setdefault(number, []).append((installation, (jwt, build)))
    return found


class _Tally:
    """Goes through time: which installations there are, what each was seen to have, how far instances are."""

    def __init__(self) -> None:
        rows = Installation.objects.pushable().order_by("-created").values_list("pk", "instance", "created")
        self._to_come = list(rows)
        self._owner: dict[UUID, UUID] = {}
        self._seen: dict[UUID, dict[UUID, Seen]] = {}
        """By instance and installation."""
        self._stages: dict[UUID, Stage] = {}
        self.counts: Counter[Stage] = Counter()

    def go_on(self, at: datetime, seen: Iterable[tuple[UUID, Seen]]) -> None:
        """Go on to a moment, until which this was seen."""
        changed: set[UUID] = set()
        while self._to_come and self._to_come[-1][2] <= at:
            pk, instance, _created = self._to_come.pop()
            self._owner[pk] = instance
            self._seen.setdefault(instance, {})[pk] = NEVER
            changed.add(instance)
        for pk, each in seen:
            owner = self._owner.get(pk)
            if owner is None:
                continue
            jwt, build = each
            now = (jwt, build or self._seen[owner][pk][1])  # a push may learn no build; the former one holds
            if self._seen[owner][pk] != now:
                self._seen[owner][pk] = now
                changed.add(owner)
        for instance in changed:
            self._judge(instance)

    def _judge(self, instance: UUID) -> None:
        if (former := self._stages.get(instance)) is not None:
            self.counts[former] -= 1
        self._stages[instance] = stage_of(self._seen[instance].values())
        self.counts[self._stages[instance]] += 1
