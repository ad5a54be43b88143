"""From JWT to OAuth: how far instances are, now and as it was seen then, and what Adobe's dates mean."""

from datetime import UTC, date, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from instances.discovery.jwt_dates import JWT_DATES
from instances.discovery.migration_progress import NEVER, Point, Seen, Stage, history, progress, stage_of
from instances.discovery.models import Observation
from instances.discovery.observing import Sight, observe
from instances.models import Container, Installation, Instance
from tests.factories import make_installation

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 25, 9, tzinfo=UTC)  # a Wednesday
GOOD: Seen = (False, 9394)


@pytest.mark.parametrize(
    ("seen", "stage"),
    [
        ([GOOD, GOOD], Stage.DONE),
        ([GOOD, (True, 9352)], Stage.JWT),
        ([GOOD, (False, 9352), NEVER], Stage.OLD),
        ([GOOD, NEVER], Stage.UNKNOWN),
        ([(False, None)], Stage.UNKNOWN),
        ([(False, 9383)], Stage.DONE),
        ([(False, 9382)], Stage.OLD),
        ([], Stage.UNKNOWN),
    ],
)
def test_an_instance_is_as_far_as_the_last_of_its_installations(seen: list[Seen], stage: Stage) -> None:
    assert stage_of(seen) == stage


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
    assert {name: each.stage.value for name, each in found.items()} == {"a": "jwt", "b": "unknown"}
    a = found["a"]
    assert (a.installations, a.on_jwt, a.too_old, a.never_seen) == (2, 1, 1, 0)
    assert (a.numbers, a.last_seen) == ("9352, 9394", NOW - timedelta(weeks=1))


def test_each_point_is_as_it_was_seen_until_then() -> None:
    row = make_installation(instance="a", container="c1")
    entered(row, 60)
    seen(row, 55, jwt=True, build=9352)  # before the window
    seen(row, 30, jwt=False, build=9352)
    seen(row, 10, jwt=False)
    points = history(progress(), now=NOW)
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
    points = history(progress(), now=NOW)
    assert counts(points)[0] == {}
    assert counts(points)[-7] == {"done": 1}
    assert counts(points)[-1] == {"done": 1, "unknown": 1}


def test_a_week_counts_what_has_the_highest_number() -> None:
    """The clock was set back between two sights of one week: the later one says what is there."""
    row = make_installation(instance="a", container="c1")
    entered(row, 60)
    seen(row, 20.2, jwt=True)
    seen(row, 20.3, jwt=False)
    points = history(progress(), now=NOW)
    assert all(each in ({"unknown": 1}, {"done": 1}) for each in counts(points))


def test_a_portal_that_began_today_shows_a_quarter_of_a_year() -> None:
    row = make_installation(instance="a", container="c1")
    seen(row, 0, jwt=True)
    points = history(progress(), now=NOW)
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


def test_more_rows_take_no_more_statements() -> None:
    found = []
    for number in (1, 6):
        for each in range(number):
            row = make_installation(instance=f"i{number}-{each}", container=f"c{number}-{each}")
            for week in (9, 5, 1):
                seen(row, week, jwt=week > 5)
        with CaptureQueriesContext(connection) as queries:
            history(progress(), now=NOW)
        found.append(len(queries))
    assert found == [4, 4]


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
