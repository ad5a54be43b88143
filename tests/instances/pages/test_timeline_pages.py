"""Pages of timelines: what is held, what was held at a moment, and moments that people type."""

import html
import re
from datetime import UTC, datetime, timedelta
from urllib.parse import quote
from zoneinfo import ZoneInfo

import pytest
from django.core.exceptions import ValidationError
from django.test import Client
from django.utils import timezone
from django.utils.translation import override

from instances.discovery.models import Observation, Reading
from instances.models import Installation
from instances.pages import timelines
from instances.pages.moments import parse_moment
from tests.factories import make_installation

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")
REST = timedelta(microseconds=999_999)
"""A second that is asked for is asked for to its end."""


# Moments


@pytest.mark.parametrize(
    ("typed", "moment"),
    [
        ("2026-01-14 15:30", datetime(2026, 1, 14, 14, 30, tzinfo=UTC)),
        (" 2026-07-14T15:30:10 ", datetime(2026, 7, 14, 13, 30, 10, tzinfo=UTC)),
        ("2026-07-14T15:30:10Z", datetime(2026, 7, 14, 15, 30, 10, tzinfo=UTC)),
        ("2025-10-26 02:30+02:00", datetime(2025, 10, 26, 0, 30, tzinfo=UTC)),
        ("2025-10-26 02:30 +01:00", datetime(2025, 10, 26, 1, 30, tzinfo=UTC)),
        ("2026-01-14", datetime(2026, 1, 14, 22, 59, 59, tzinfo=UTC)),
    ],
)
def test_a_moment_is_local_unless_it_has_an_offset(typed: str, moment: datetime) -> None:
    with timezone.override(BERLIN):
        assert parse_moment(typed) == moment + REST


def test_what_happened_within_a_second_is_asked_for_by_that_second() -> None:
    now = datetime(2026, 3, 14, 15, 30, 10, 201_000, tzinfo=UTC)
    assert parse_moment("2026-03-14 15:30:09Z", now=now) == now.replace(second=9, microsecond=999_999)
    assert parse_moment("2026-03-14 15:30:10Z", now=now) == now
    assert parse_moment("2026-03-14 15:30:10.200Z", now=now) == now.replace(microsecond=200_000)


def test_a_time_alone_is_todays() -> None:
    now = datetime(2026, 3, 14, 23, 30, tzinfo=UTC)  # the day after in Berlin
    with timezone.override(BERLIN):
        assert parse_moment("0:15", now=now) == datetime(2026, 3, 14, 23, 15, tzinfo=UTC) + REST
        assert parse_moment("00:15:30", now=now) == datetime(2026, 3, 14, 23, 15, 30, tzinfo=UTC) + REST


@pytest.mark.parametrize(
    ("typed", "moment"),
    [
        ("3/4/2026 11:05", datetime(2026, 4, 3, 9, 5, tzinfo=UTC)),
        ("03/04/2026 à 11:05", datetime(2026, 4, 3, 9, 5, tzinfo=UTC)),
        ("14/01/2026", datetime(2026, 1, 14, 22, 59, 59, tzinfo=UTC)),
    ],
)
def test_in_french_a_day_may_be_written_as_the_french_do(typed: str, moment: datetime) -> None:
    with timezone.override(BERLIN), override("fr"):
        assert parse_moment(typed) == moment + REST


def test_today_alone_is_now() -> None:
    now = datetime(2026, 3, 14, 23, 30, tzinfo=UTC)  # the day after in Berlin
    with timezone.override(BERLIN):
        assert parse_moment("2026-03-15", now=now) == now
        with pytest.raises(ValidationError, match="is in the future"):
            parse_moment("2026-03-16", now=now)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("2026-03-29 02:30", "There was no such time here"),
        ("2025-10-26 02:30", "2025-10-26 02:30+02:00 or 2025-10-26 02:30+01:00"),
        ("2126-01-01 00:00", "is in the future"),
        ("2026-02-30 10:00", "no such day or time"),
        ("2126-01-01", "is in the future"),
        ("2026-02-30", "no such day or time"),
        ("0001-01-01", "Write a day, or a day and a time"),
        ("yesterday", "Write a day, or a day and a time"),
        ("0001-01-01 00:00", "Write a day, or a day and a time"),
        ("9999-12-31 23:59", "Write a day, or a day and a time"),
        ("30/11/2025 10:00", "Write a day, or a day and a time"),
        ("99:99", "no such day or time"),
        ("\0: <script>", "Write a day, or a day and a time"),
        ("2026-03-14 15:30+99:00", "no such day or time"),
    ],
)
def test_what_is_no_moment_is_refused_with_what_to_do(typed: str, said: str) -> None:
    with timezone.override(BERLIN), pytest.raises(ValidationError, match=said.replace("+", r"\+")):
        parse_moment(typed)


# Pages


@pytest.fixture
def row(db: None) -> Installation:
    return make_installation(instance="prod1", container="web1")


def at(minute: float) -> datetime:
    return START + timedelta(minutes=minute)


def seen(row: Installation, minute: float, last: float, **values: object) -> None:
    told = {"client_id": "c1", "digest": "d" * 64, "is_jwt": False, "build": 9394, "stamp": "1", **values}
    Observation.objects.filter(installation=row, ended=None).update(ended=at(minute))
    source = {"source": "read", "source_id": "x", "last_source": "read", "last_source_id": "x"}
    Observation.objects.create(installation=row, at=at(minute), last_seen=at(last), sights=2, **source | told)


def page(client: Client, address: str) -> str:
    answer = client.get(address)
    assert answer.status_code == 200
    return " ".join(html.unescape(re.sub(r"</?time[^>]*>", "", answer.content.decode())).split())


def asked(client: Client, row: Installation, minute: float) -> str:
    return page(client, f"/installations/{row.pk}/?at={quote(at(minute).isoformat())}")


def test_one_that_was_never_seen_says_what_to_do(as_auditor: Client, row: Installation) -> None:
    text = page(as_auditor, f"/installations/{row.pk}/")
    assert "Its file has not been seen yet." in text
    assert "Nothing has been seen here yet." in text
    assert "It has never been seen." in asked(as_auditor, row, 1)


def test_each_answer_about_a_moment_is_honest(as_auditor: Client, row: Installation) -> None:
    seen(row, 10, 20)
    seen(row, 30, 40, client_id="c2", stamp="2")
    seen(row, 50, 60, client_id="c2", stamp="3")
    assert "It was first seen 2026-03-01 12:10:00." in asked(as_auditor, row, 5)
    known = asked(as_auditor, row, 15)
    assert "Known" in known
    assert "from 2026-03-01 12:10:00 to 2026-03-01 12:20:00" in known
    changed = asked(as_auditor, row, 25)
    assert "It changed at some time in between." in changed
    assert "What was different at the next observation" in changed
    assert "is likely, not certain" in asked(as_auditor, row, 45)
    assert "Nobody has looked since" in asked(as_auditor, row, 70)


def test_a_moment_that_came_twice_is_said(as_auditor: Client, row: Installation) -> None:
    seen(row, 10, 30)
    seen(row, 20, 40, client_id="c2")
    assert "The clock was set back" in asked(as_auditor, row, 25)


def test_a_wrong_moment_is_answered_at_its_field(as_auditor: Client, row: Installation) -> None:
    seen(row, 0, 1)
    for typed, said in (
        ("2126-01-01 10:00", "is in the future"),
        ("soon", "Write a day"),
        ("x" * 99, "at most 40"),
    ):
        text = page(as_auditor, f"/installations/{row.pk}/?at={typed}")
        assert said in text
        assert "Seen for the first time" in text  # the timeline goes on to be shown


def test_garbage_in_the_address_is_no_server_error(as_auditor: Client, row: Installation) -> None:
    for query in ("page=x", "page=99999999", "page=%2500", "page=²", "show=x", "at=%2500"):
        page(as_auditor, f"/installations/{row.pk}/?{query}")


def test_a_long_timeline_is_paged_and_its_beginning_reached_by_a_moment(
    as_auditor: Client, row: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timelines, "PAGE", 3)
    monkeypatch.setattr(timelines, "MOST_PAGES", 2)
    Observation.objects.bulk_create(
        Observation(
            installation=row,
            at=at(number),
            last_seen=at(number),
            ended=at(number + 1),
            source="read",
            source_id="x",
            last_source="read",
            last_source_id="x",
            is_jwt=False,
            client_id=f"client-{number}",
        )
        for number in range(8)
    )
    address = f"/installations/{row.pk}/"
    assert "client-7" in page(as_auditor, address)
    assert "page=2#timeline" in page(as_auditor, address)
    last = page(as_auditor, f"{address}?page=2")
    assert "To see older entries, enter an earlier time" in last
    assert "client-0" not in last
    assert "client-0" in page(as_auditor, f"{address}?at={quote(at(3).isoformat())}")


def test_what_a_container_says_is_shown_as_text(as_auditor: Client, row: Installation) -> None:
    seen(row, 0, 1, client_id="<script>alert(1)</script>")
    answer = as_auditor.get(f"/installations/{row.pk}/")
    assert b"<script>alert" not in answer.content
    assert b"&lt;script&gt;" in answer.content


def test_a_container_and_an_instance_tell_of_all_their_installations(
    as_auditor: Client, row: Installation
) -> None:
    other = make_installation(instance="prod1", container="web2")
    seen(row, 0, 10)
    seen(other, 0, 10, client_id="of-web2")
    moment = quote(at(5).isoformat())
    of_instance = page(as_auditor, f"/instances/{row.instance_id}/timeline/?at={moment}")
    assert of_instance.count("Known") == 2
    assert "of-web2" in of_instance
    of_container = page(as_auditor, f"/containers/{row.container_id}/timeline/?at={moment}")
    assert of_container.count("Known") == 1
    assert "of-web2" not in of_container
    assert f"/installations/{row.pk}/" in page(as_auditor, f"/containers/{row.container_id}/")


def test_a_reading_shows_how_it_ended_and_what_was_found(as_auditor: Client, row: Installation) -> None:
    values = {"container": row.container, "asked_by": "henry", "finished": timezone.now()}
    found = {f"i{number}": "" for number in range(5_000)} | {"prod1": "busy", "<b>": "<i>"}
    reading = Reading.objects.create(state="succeeded", found=found, further=2, strange=1, **values)
    text = page(as_auditor, f"/containers/readings/{reading.pk}/")
    assert "and 4802 more" in text
    assert "2 further files were not read" in text
    failed = Reading.objects.create(state="failed", code="timed_out", **values)
    assert "Cause" in page(as_auditor, f"/containers/readings/{failed.pk}/")
