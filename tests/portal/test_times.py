"""Durations and distances of moments: one form for each, and the exact one with its zone."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone
from pytest_django.fixtures import Settings

from portal.web.times import duration, exact, relative
from tests.portal.test_tags import UNSAFE, drawn

NOW = datetime(2026, 7, 1, 22, 30, 5, tzinfo=UTC)
MINUTE, HOUR, DAY = 60, 3600, 86_400


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (-3, "0 s"),
        (0.0123, "12 ms"),
        (0.85, "850 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1 s"),
        (1.23, "1.2 s"),
        (2.0, "2 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (12.4, "12 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (3 * MINUTE + 20, "3 min 20 s"),
        (HOUR - 0.6, "59 min 59 s"),
        (HOUR - 0.4, "1 h"),
        (2 * HOUR + 5 * MINUTE + 59, "2 h 5 min"),
        (DAY, "1 d"),
        (3 * DAY + 4 * HOUR, "3 d 4 h"),
    ],
)
def test_a_duration_has_two_units_at_most(seconds: float, words: str) -> None:
    assert duration(seconds) == words
    assert drawn("{{ seconds|duration }}", seconds=seconds) == words


@pytest.mark.parametrize(
    ("ago", "words"),
    [
        (0.4, "just now"),
        (12, "12 s ago"),
        (5 * MINUTE + 59, "5 min ago"),
        (HOUR + 59 * MINUTE, "1 h ago"),
        (3 * DAY + 23 * HOUR, "3 d ago"),
        (31 * DAY, "2026-05-31"),
        (-0.4, "just now"),
        (-12, "in 12 s"),
        (-11.6, "in 12 s"),
        (-95, "in 1 min 35 s"),
        (-(2 * HOUR + 5 * MINUTE), "in 2 h"),
        (-31 * DAY, "2026-08-01"),
    ],
)
def test_a_moment_is_said_by_its_distance(ago: float, words: str) -> None:
    assert relative(NOW - timedelta(seconds=ago), NOW) == words


def test_what_was_to_come_and_has_passed_can_have_a_word_of_its_own() -> None:
    assert relative(NOW - timedelta(seconds=12), NOW, past="now") == "now"
    assert relative(NOW + timedelta(seconds=12), NOW, past="now") == "in 12 s"


def test_the_exact_moment_names_its_zone(settings: Settings) -> None:
    assert exact(NOW) == "2026-07-01 22:30:05 UTC"
    settings.TIME_ZONE = "Europe/Berlin"
    assert exact(NOW) == "2026-07-02 00:30:05 CEST (2026-07-01T22:30:05Z)"


def test_a_relative_moment_has_the_exact_one_in_its_title(settings: Settings) -> None:
    settings.TIME_ZONE = "Europe/Berlin"
    at = timezone.now() - timedelta(minutes=5)
    shown = drawn("{% relative at %}", at=at)
    assert ">5 min ago</time>" in shown
    assert f'datetime="{at.isoformat()}"' in shown
    assert f'title="{exact(at)}"' in shown
    assert UNSAFE not in drawn("{% relative at past=word %}", at=at, word=UNSAFE)
    assert drawn("{% relative at %}|{% relative at never %}", at=None, never=UNSAFE) == "—|&lt;b&gt;&amp;"
