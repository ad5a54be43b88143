"""The timeline: in the order of numbers, what changed in words, how that is known, and where to see it."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from instances.discovery import timeline as room
from instances.discovery.models import Observation, Reading
from instances.discovery.timeline import Line, Link, Scope, Wanted, of_container, of_installation, timeline
from instances.models import Installation
from tests.factories import make_installation

pytestmark = pytest.mark.django_db
START = datetime(2026, 3, 1, 12, tzinfo=UTC)


def at(minute: float) -> datetime:
    return START + timedelta(minutes=minute)


@pytest.fixture
def row() -> Installation:
    return make_installation(instance="prod1", container="web1")


def seen(row: Installation, minute: float, last: float | None = None, **values: object) -> Observation:
    told = {"client_id": "c1", "digest": "d" * 64, "is_jwt": False, "build": 9394, "stamp": "1", **values}
    source = {"source": "read", "source_id": "x", "last_source": "read", "last_source_id": "x"}
    Observation.objects.filter(installation=row, ended=None).update(ended=at(minute))
    return Observation.objects.create(
        installation=row,
        at=at(minute),
        last_seen=at(minute if last is None else last),
        sights=1 if last is None else 3,
        **source | told,
    )


def lines(row: Installation, most: int = 50, **wanted: object) -> list[Line]:
    return timeline(of_installation(row), Wanted(most, **wanted))  # type: ignore[arg-type]


def told(line: Line) -> list[tuple[str, str | None, str | None]]:
    return [(each.name, each.before, each.after) for each in line.changes]


def test_each_line_says_what_changed_and_between_which_sights(row: Installation) -> None:
    seen(row, 0, 10)
    seen(row, 20, client_id="c2", is_jwt=True, build=9400, stamp="2", organization_id='""')
    newest, first = lines(row)
    assert told(newest) == [
        ("Client ID", "c1", "c2"),
        ("Organization ID", None, "empty"),
        ("JWT credential", "none", "still there"),
        ("Build", "9394", "9400"),
    ]
    assert "12:10:00" in newest.notes[0]  # the last sight of what was there before
    assert "12:20:00" in newest.notes[0]
    assert first.title == "Seen for the first time"
    assert "Seen 2 more times since then, unchanged" in first.notes[1]


def test_a_file_that_was_written_anew_is_told_from_one_that_nobody_knows_about(row: Installation) -> None:
    seen(row, 0)
    seen(row, 5, stamp="2")
    seen(row, 9, stamp="", build=None)
    unknown, written, _first = lines(row)
    assert written.title == "Written again with the same content"
    assert unknown.title == "Seen with the same content"
    assert "is not known" in unknown.notes[0]
    assert not written.changes
    assert not unknown.changes  # a build that was not learnt is no change


def test_a_digest_is_shown_short_and_a_change_of_it_is_seen(row: Installation) -> None:
    seen(row, 0)
    seen(row, 1, digest="e" * 64)
    assert told(lines(row)[0]) == [("Digest of the encrypted secret", "dddddddddddd…", "eeeeeeeeeeee…")]


def test_numbers_decide_and_not_the_clock(row: Installation) -> None:
    """The clock was set back by an hour before the second sight; by the clock, a read failed in between."""
    seen(row, 60, client_id="one")
    seen(row, 0, client_id="two")
    Reading.objects.create(
        container=row.container,
        asked_by="henry",
        state="failed",
        code="timed_out",
        asked=at(30),
        finished=at(30),
    )
    assert [line.changes[0].after if line.changes else "read" for line in lines(row)] == [
        "read",
        "two",
        "one",
    ]


def test_readings_that_say_nothing_new_are_shown_on_request(row: Installation) -> None:
    reading = Reading.objects.create(
        container=row.container, asked_by="henry", state="succeeded", build=9394, asked=at(1), finished=at(1)
    )
    seen(row, 1, source_id=str(reading.pk))
    (sight,) = lines(row)
    assert [link.url for link in sight.links] == [f"/containers/readings/{reading.pk}/"]
    assert {line.title for line in lines(row, everything=True)} == {
        "Read: build 9394",
        "Seen for the first time",
    }


def test_lines_end_at_a_moment_and_at_a_number(row: Installation) -> None:
    for minute in range(5):
        seen(row, minute, client_id=f"c{minute}")
    assert [line.at for line in lines(row, until=at(2))] == [at(2), at(1), at(0)]
    assert [line.at for line in lines(row, most=2)] == [at(4), at(3)]


def test_a_line_tells_no_later_moment_as_if_it_were_before_the_one_asked_for(row: Installation) -> None:
    seen(row, 0, 10)
    [line] = lines(row, until=at(5))
    assert "Unchanged at this moment: it was seen again later" in line.notes[-1]
    [line] = lines(row, until=at(10))
    assert "2 more times since then" in line.notes[-1]


def test_a_container_has_the_lines_of_all_its_instances(row: Installation) -> None:
    other = make_installation(instance="prod2", container="web1")
    seen(row, 0)
    seen(other, 1, client_id="c9")
    found = timeline(of_container(row.container), Wanted(9))
    assert [(line.about, line.title) for line in found] == [
        ("prod2", "Seen for the first time"),
        ("prod1", "Seen for the first time"),
    ]


@pytest.fixture
def registered() -> Iterator[None]:
    """What a room above registers."""
    kinds, evidence = list(room._kinds), dict(room._evidence)
    yield
    room._kinds[:] = kinds
    room._evidence.clear()
    room._evidence.update(evidence)


@pytest.mark.usefixtures("registered")
def test_rooms_above_add_lines_and_links(row: Installation) -> None:
    @room.lines
    def pushes(scope: Scope, wanted: Wanted) -> Sequence[Line]:
        assert set(scope.installations) == {row.pk}
        return [Line(at(7), "Pushed"), Line(at(3), "Pushed")][: wanted.most]

    @room.evidence("push")
    def attempts(ids: Collection[str]) -> Mapping[str, Link]:
        return {each: Link("Push", f"/pushes/{each}/") for each in ids}

    seen(row, 5, source="push", source_id="17", last_source="push", last_source_id="17")
    found = lines(row)
    assert [line.title for line in found] == ["Pushed", "Seen for the first time", "Pushed"]
    assert found[1].links == [Link("Push", "/pushes/17/")]
    assert [line.title for line in lines(row, most=1)] == ["Pushed"]


def test_more_lines_take_no_more_statements(row: Installation) -> None:
    counts = []
    for start in (0, 100):
        for minute in range(start, start + (3 if start == 0 else 30)):
            seen(row, minute, client_id=f"c{minute}")
        with CaptureQueriesContext(connection) as queries:
            lines(row)
        counts.append(len(queries))
    assert counts == [5, 5]
