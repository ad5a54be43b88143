"""From JWT to OAuth: how far instances are, now and as it was seen then, and what Adobe's dates mean."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from math import floor
from operator import itemgetter
from random import Random
from typing import Any

import pytest
from django.db import connection

from instances.discovery.jwt_dates import JWT_DATES
from instances.discovery.migration_history import Point, history
from instances.discovery.migration_progress import PLACES, Stage, builds_of, progress, tally
from instances.discovery.models import Observation
from instances.discovery.observing import Sight, observe
from instances.models import Container, Installation, Instance
from tests.benchmarks.work import counted
from tests.factories import make_installation

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 25, 9, tzinfo=UTC)  # a Wednesday

Seen = tuple[bool | None, int | None]
"""What an installation was seen to have: a JWT, and its build."""
NEVER: Seen = (None, None)
GOOD: Seen = (False, 9394)


def stage_of(seen: list[Seen]) -> Stage:
    """Return how far an instance with these installations is, without a database."""
    if any(jwt for jwt, _build in seen):
        return Stage.JWT
    if any(build is not None and build < 9383 for _jwt, build in seen):
        return Stage.OLD
    return Stage.UNKNOWN if any(None in each for each in seen) else Stage.DONE


@pytest.mark.parametrize(
    ("installed", "stage"),
    [
        ([GOOD, GOOD], Stage.DONE),
        ([GOOD, (True, 9352)], Stage.JWT),
        ([GOOD, (False, 9352), NEVER], Stage.OLD),
        ([GOOD, NEVER], Stage.UNKNOWN),
        ([(False, None)], Stage.UNKNOWN),
        ([(None, 9394)], Stage.UNKNOWN),
        ([(False, 9383)], Stage.DONE),
        ([(False, 9382)], Stage.OLD),
    ],
)
def test_an_instance_is_as_far_as_the_last_of_its_installations(installed: list[Seen], stage: Stage) -> None:
    for number, (jwt, build) in enumerate(installed):
        row = make_installation(instance="a", container=f"c{number}")
        Installation.objects.filter(pk=row.pk).update(observed_jwt=jwt, observed_build=build)
    assert PLACES[progress().get().place] == stage == stage_of(installed)
    assert tally(progress()) == {each: int(each == stage) for each in Stage}


def seen(row: Installation, weeks_ago: float, *, jwt: bool, build: int | None = 9394) -> None:
    at = NOW - timedelta(weeks=weeks_ago)
    Observation.objects.filter(installation=row, ended=None).update(ended=at)
    Observation.objects.create(
        installation=row,
        at=at,
        last_seen=at,
        source="read",
        source_id="x",
        last_source="read",
        last_source_id="x",
        is_jwt=jwt,
        build=build,
    )
    Installation.objects.filter(pk=row.pk).update(observed=at, observed_jwt=jwt, observed_build=build)


def entered(row: Installation, weeks_ago: float) -> None:
    Installation.objects.filter(pk=row.pk).update(created=NOW - timedelta(weeks=weeks_ago))


def counts(points: list[Point]) -> list[dict[str, int]]:
    return [{stage.value: count for stage, count in point.counts.items() if count} for point in points]


def test_now_is_told_by_instance_and_leaves_out_what_nothing_is_pushed_to() -> None:
    seen(make_installation(instance="a", container="c1"), 1, jwt=True)
    seen(make_installation(instance="a", container="c2"), 2, jwt=False, build=9352)
    make_installation(instance="b", container="c3")
    make_installation(instance="off", container="c4")
    Container.objects.filter(name="c4").update(is_enabled=False)
    Instance.objects.create(name="nowhere")
    make_installation(instance="cloud", container="c5", deployment="hosted")
    found = {each.name: each for each in progress()}
    assert {name: PLACES[each.place].value for name, each in found.items()} == {"a": "jwt", "b": "unknown"}
    a, b = found["a"], found["b"]
    assert (a.containers, a.on_jwt, a.below, a.not_known) == (2, 1, 1, 0)
    assert a.last_seen == NOW - timedelta(weeks=1)
    assert builds_of([a.pk, b.pk]) == {a.pk: [9352, 9394], b.pk: []}


def test_each_point_is_as_it_was_seen_until_then() -> None:
    row = make_installation(instance="a", container="c1")
    entered(row, 60)
    seen(row, 55, jwt=True, build=9352)  # before the window
    seen(row, 30, jwt=False, build=9352)
    seen(row, 10, jwt=False)
    points = history(tally(progress()), now=NOW)
    assert len(points) == 54
    assert [point.at.weekday() for point in points[:-1]] == [0] * 53
    found = [stage for each in counts(points) for stage in each]
    assert found == ["jwt"] * 23 + ["old"] * 20 + ["done"] * 11


def test_what_was_entered_later_is_counted_from_then_on() -> None:
    first = make_installation(instance="a", container="c1")
    entered(first, 20)
    seen(first, 20, jwt=False)
    second = make_installation(instance="b", container="c1")
    entered(second, 5)
    points = history(tally(progress()), now=NOW)
    assert counts(points)[0] == {}
    assert counts(points)[-7] == {"done": 1}
    assert counts(points)[-1] == {"done": 1, "unknown": 1}


def test_a_week_counts_what_has_the_highest_number() -> None:
    """The clock was set back between two sights of one week: the later one says what is there."""
    row = make_installation(instance="a", container="c1")
    entered(row, 60)
    seen(row, 20.2, jwt=True)
    seen(row, 20.3, jwt=False)
    points = history(tally(progress()), now=NOW)
    assert all(each in ({"unknown": 1}, {"done": 1}) for each in counts(points))


def test_a_portal_that_began_today_shows_a_quarter_of_a_year() -> None:
    row = make_installation(instance="a", container="c1")
    seen(row, 0, jwt=True)
    points = history(tally(progress()), now=NOW)
    assert len(points) == 14
    assert counts(points)[-1] == {"jwt": 1}


def test_what_may_move_an_instance_is_a_milestone_and_nothing_else() -> None:
    row = make_installation()
    for number, (jwt, build) in enumerate(
        [(True, 9352), (True, 9352), (False, 9352), (False, None), (False, 9394)]
    ):
        sight = Sight("c", "a", "o", "d", is_jwt=jwt, build=build, stamp=str(number))
        observe(installation_id=row.pk, sight=sight, source="read", source_id="x")
    found = Observation.objects.order_by("pk").values_list("is_milestone", flat=True)
    assert list(found) == [True, False, True, True, True]


def test_a_build_that_is_learnt_later_is_one_as_well() -> None:
    row = make_installation()
    for stamp, build in (("1", None), ("2", None), ("2", 9394)):
        sight = Sight("c", "a", "o", "d", is_jwt=False, build=build, stamp=stamp)
        observe(installation_id=row.pk, sight=sight, source="read", source_id="x")
    newest = Observation.objects.order_by("-pk")[0]
    assert (newest.sights, newest.build, newest.is_milestone) == (2, 9394, True)


def test_more_of_them_take_no_more_statements_and_no_more_rows() -> None:
    found = []
    for number in (1, 6):
        for each in range(number):
            row = make_installation(instance=f"i{number}-{each}", container=f"c{number}-{each}")
            entered(row, 20)
            for week in (9, 5, 1):
                seen(row, week, jwt=week > 5)
        with counted(connection) as work:
            history(tally(progress()), now=NOW)
        found.append((work.statements, work.rows))
    assert found[0] == found[1]
    assert found[0][0] == 3


@pytest.mark.parametrize("seed", range(5))
def test_the_database_counts_as_one_would_count_by_hand(seed: int) -> None:
    """Instances on several containers, sights without a build, clocks that were set back, late entries."""
    random = Random(seed)
    history_of: dict[Installation, list[tuple[int, Seen]]] = {}
    for number in range(15):
        row = make_installation(instance=f"i{number % 5}", container=f"c{number // 5}")
        came = random.uniform(0, 70)
        entered(row, came)
        weeks = sorted((random.uniform(0, 60) for _ in range(random.randrange(6))), reverse=True)
        if len(weeks) > 3:
            weeks[1], weeks[2] = weeks[2], weeks[1]
        history_of[row] = [(counts_from(came), NEVER)]
        for week in weeks:
            jwt, build = random.random() < 0.4, random.choice([None, 9352, 9394])
            seen(row, week, jwt=jwt, build=build)
            history_of[row].append((max(counts_from(week), counts_from(came)), (jwt, build)))
    points = history(tally(progress()), now=NOW)
    for place, point in enumerate(reversed(points[:-1])):
        then: dict[Any, list[Seen]] = {}
        for row, told in history_of.items():
            if state := state_in(52 - place, told):
                then.setdefault(row.instance_id, []).append(state)
        assert +point.counts == Counter(map(stage_of, then.values())), point.at


def counts_from(weeks_ago: float) -> int:
    """Return the first of the 53 Mondays before which it was."""
    this_monday = (NOW - datetime(2026, 11, 23, tzinfo=UTC)) / timedelta(weeks=1)
    return max(0, floor(52 + this_monday - weeks_ago) + 1)


def state_in(week: int, told: list[tuple[int, Seen]]) -> Seen | None:
    """Return what was known of an installation on a Monday; None if it was not entered yet."""
    until = [state for first, state in sorted(told, key=itemgetter(0)) if first <= week]
    builds = [build for _jwt, build in until if build]
    return (until[-1][0], builds[-1] if builds else None) if until else None


@pytest.mark.parametrize(
    ("today", "expected"),
    [
        (
            date(2026, 11, 29),
            "Passed 9 months ago. An instance that still holds a JWT is most likely cut off",
        ),
        (date(2026, 3, 4), "Passed 3 days ago. An instance that still holds a JWT"),
        (date(2026, 3, 1), "Today. An instance that still holds a JWT"),
        (date(2026, 2, 28), "In 1 day. Migrate every instance"),
        (date(2025, 11, 29), "In 3 months. Migrate every instance"),
    ],
)
def test_a_date_says_what_it_means_on_the_day_it_is_read(today: date, expected: str) -> None:
    assert JWT_DATES[-1].means(today).startswith(expected)
