"""How far the instances were on their way from JWT to OAuth, week by week, as it was seen then.

The database counts: of a year of 10,000 installations it hands over some two hundred rows. Django's queries
cannot say it, since the sum of a window's rows is asked for here, hence the text.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Case, DateTimeField, F, Func, IntegerField, Min, Value, When
from django.utils import timezone

from instances.discovery.migration_progress import PLACES, Stage
from instances.discovery.models import Observation
from instances.models import Installation
from instances.nlserver import MIN_BUILD
from portal.sql_parts import compiled, fetch

WEEK = timedelta(weeks=1)
MOST_WEEKS = 52
FEWEST_WEEKS = 12
"""Even where everything was seen for the first time today."""


@dataclass(frozen=True)
class Point:
    """How many instances were how far at a moment, as it was known then."""

    at: datetime
    counts: Counter[Stage]

    @property
    def total(self) -> int:
        return self.counts.total()


def history(current: Mapping[Stage, int], *, now: datetime | None = None) -> list[Point]:
    """Return a point for each Monday (UTC), from the first sight on but at most a year, and one for now.

    It counts the instances of today's inventory from the day when they were entered: what was removed since
    is not in it. `current` says how many are at each stage now. Two statements, which read the milestones
    among the observations and no others.
    """
    now = now or timezone.now()
    start = _monday(now) - MOST_WEEKS * WEEK
    changes = _changes(start)
    counts: Counter[Stage] = Counter()
    points = []
    first = _first_week(start)
    for week in range(MOST_WEEKS + 1):
        counts.update(changes.get(week, {}))
        if week >= first:
            points.append(Point(start + week * WEEK, counts.copy()))
    return [*points, Point(now, Counter(current))]


def _monday(at: datetime) -> datetime:
    """Return the beginning of the week (UTC) of a moment."""
    day = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return day - timedelta(days=day.weekday())


def _first_week(start: datetime) -> int:
    """Return the week in which something was seen for the first time; never one of the last few."""
    seen = Observation.objects.filter(is_milestone=True).aggregate(first=Min("at"))["first"]
    weeks = (seen - start) // WEEK if seen else MOST_WEEKS
    return min(max(0, weeks), MOST_WEEKS - FEWEST_WEEKS)


class _Weeks(Func):
    """Whole weeks from the second moment to the first, which is not earlier."""

    output_field = IntegerField()

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:  # Any: Django's own
        form = {"template": "CAST(JULIANDAY(%(expressions)s) AS INTEGER) / 7", "arg_joiner": ") - JULIANDAY("}
        return self.as_sql(compiler, connection, **form, **context)

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:  # Any: likewise
        form = {"template": "(EXTRACT(EPOCH FROM %(expressions)s)::bigint / 604800)", "arg_joiner": " - "}
        return self.as_sql(compiler, connection, **form, **context)


def _counts_from(field: str, start: datetime) -> Case:
    """Return the week from whose first moment on what happened then counts; 0 for all before `start`."""
    weeks = _Weeks(F(field), Value(start, output_field=DateTimeField()))
    return Case(When(**{f"{field}__lt": start}, then=Value(0)), default=weeks + 1)


_COUNT_CHANGES = """
WITH entered (installation, instance, week) AS ({entered}),
seen (installation, week, number, jwt, build) AS ({seen}),
known AS (
    SELECT installation, instance, week, 0 AS number, NULL AS jwt, NULL AS build FROM entered
    UNION ALL
    -- A clock that was set back may have seen something before it was entered.
    SELECT seen.installation, instance,
        CASE WHEN seen.week < entered.week THEN entered.week ELSE seen.week END, number,
        CASE WHEN jwt THEN 1 ELSE 0 END, build
    FROM seen JOIN entered ON entered.installation = seen.installation
),
counted AS (  -- a push may learn no build: the former one holds
    SELECT *, COUNT(build) OVER (PARTITION BY installation ORDER BY week, number) AS builds FROM known
),
held AS (
    SELECT installation, instance, week, jwt,
        MAX(build) OVER (PARTITION BY installation, builds) AS build,
        ROW_NUMBER() OVER (PARTITION BY installation, week ORDER BY number DESC) AS from_last
    FROM counted
),
flagged AS (
    SELECT installation, instance, week, COALESCE(jwt, 0) AS on_jwt,
        CASE WHEN build < %s THEN 1 ELSE 0 END AS below,
        CASE WHEN jwt IS NULL OR build IS NULL THEN 1 ELSE 0 END AS not_known
    FROM held WHERE from_last = 1
),
changed AS (
    SELECT instance, week,
        on_jwt - LAG(on_jwt, 1, 0) OVER in_turn AS on_jwt,
        below - LAG(below, 1, 0) OVER in_turn AS below,
        not_known - LAG(not_known, 1, 0) OVER in_turn AS not_known
    FROM flagged
    WINDOW in_turn AS (PARTITION BY installation ORDER BY week)
),
weekly AS (
    SELECT instance, week, SUM(on_jwt) AS on_jwt, SUM(below) AS below, SUM(not_known) AS not_known
    FROM changed GROUP BY instance, week
),
summed AS (
    SELECT instance, week, SUM(on_jwt) OVER in_turn AS on_jwt, SUM(below) OVER in_turn AS below,
        SUM(not_known) OVER in_turn AS not_known
    FROM weekly
    WINDOW in_turn AS (PARTITION BY instance ORDER BY week)
),
placed AS (
    SELECT instance, week,
        CASE WHEN on_jwt > 0 THEN 0 WHEN below > 0 THEN 1 WHEN not_known > 0 THEN 2 ELSE 3 END AS place
    FROM summed
),
moved AS (
    SELECT week, place, LAG(place) OVER (PARTITION BY instance ORDER BY week) AS former FROM placed
)
SELECT week, place, SUM(change) FROM (
    SELECT week, place, 1 AS change FROM moved
    UNION ALL
    SELECT week, former, -1 FROM moved WHERE former IS NOT NULL
) AS changes
GROUP BY week, place
"""
"""From what each installation was seen to have to how many instances came to a stage, or left it, in a week.

The places are those of `PLACES`.
"""


def _changes(start: datetime) -> Mapping[int, Counter[Stage]]:
    """Return how many instances came to each stage, or left it, from the Monday of each week on."""
    here = Installation.objects.pushable().order_by()
    entered = here.annotate(week=_counts_from("created", start)).values_list("pk", "instance", "week")
    milestones = Observation.objects.filter(is_milestone=True, installation__in=here.values("pk")).order_by()
    seen = milestones.annotate(week=_counts_from("at", start)).values_list(
        "installation", "week", "pk", "is_jwt", "build"
    )
    entered_text, entered_values = compiled(entered)
    seen_text, seen_values = compiled(seen)
    statement = _COUNT_CHANGES.format(entered=entered_text, seen=seen_text)
    found: dict[int, Counter[Stage]] = {}
    for week, place, change in fetch([statement], [*entered_values, *seen_values, MIN_BUILD]):
        found.setdefault(int(week), Counter())[PLACES[place]] = int(change)
    return found
