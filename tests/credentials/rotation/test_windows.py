"""Maintenance windows against the clock on the wall, minute by minute over two years of daylight saving."""

import random
from bisect import bisect_right
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import pytest

from credentials.rotation.windows import DAY, Window, beginning, closes, is_open, opens
from portal.zones import zones

ZONES = ("Europe/Paris", "America/New_York", "Australia/Lord_Howe", "UTC")
USUAL = ("Europe/Paris", "Australia/Lord_Howe")  # where summer is half an hour
EACH_ZONE = [pytest.param(each, marks=() if each in USUAL else pytest.mark.slow) for each in ZONES]
FIRST = datetime(2026, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DAYS = 731
ALL = frozenset(range(7))


def window(zone: str, starts: str, minutes: int = 60, days: frozenset[int] = ALL) -> Window:
    return Window(days, time.fromisoformat(starts), minutes, zone)


@cache
def walls(zone: str) -> list[datetime]:
    """What a clock on the wall shows at each minute of two years, as somebody writes it down."""
    place = ZoneInfo(zone)
    count = DAYS * 24 * 60
    return [(FIRST + MINUTE * each).astimezone(place).replace(tzinfo=None) for each in range(count)]


@cache
def first_shown(zone: str) -> dict[date, dict[time, int]]:
    """By day and time: the first minute at which the clock shows that time or a later one of that day."""
    found: dict[date, dict[time, int]] = {}
    for minute, shown in enumerate(walls(zone)):
        found.setdefault(shown.date(), {}).setdefault(shown.time(), minute)
    return found


def changes(wall: list[datetime]) -> list[int]:
    """The minutes at which somebody sets the clock."""
    return [each for each in range(1, len(wall)) if wall[each] - wall[each - 1] != MINUTE]


def at_or_later(shown: dict[time, int], starts: time) -> int:
    return min(minute for wall, minute in shown.items() if wall >= starts)


@pytest.mark.parametrize("zone", EACH_ZONE)
def test_a_window_begins_when_the_clock_on_the_wall_says_so(zone: str) -> None:
    """An oracle that knows no offsets: it reads the wall minute by minute."""
    wall = walls(zone)
    shown, place = first_shown(zone), ZoneInfo(zone)
    chance = random.Random(zone)
    times = [time(2, 30), time(2, 0), time(1, 30), time(1, 45), time(0, 0), time(23, 59)]
    times += [time(chance.randrange(24), chance.randrange(60)) for _ in range(20)]
    around = {wall[each].date() + DAY * near for each in changes(wall) for near in (-1, 0, 1)}
    for day in around | set(chance.sample(list(shown)[1:-1], 60)):
        for starts in times:
            assert beginning(day, starts, place) == FIRST + MINUTE * at_or_later(shown[day], starts)


@pytest.mark.parametrize("zone", EACH_ZONE)
def test_open_is_the_number_of_minutes_since_the_wall_showed_the_beginning(zone: str) -> None:
    wall = walls(zone)
    shown, changed, chance = first_shown(zone), changes(wall), random.Random(zone)
    for starts, minutes in ((time(2, 15), 90), (time(22, 0), 360), (time(1, 45), 1440), (time(0, 0), 1)):
        days = frozenset(chance.sample(range(7), 3))
        row = Window(days, starts, minutes, zone)
        sample = chance.sample(range(2 * 1440, len(wall) - 9 * 1440), 300)
        sample += [each + near for each in changed for near in range(-200, 200, 7) if each + near > 2 * 1440]
        begins = sorted(set(_beginnings(shown, row)))
        open_minutes = {begin + each for begin in begins for each in range(row.minutes)}
        for minute in sample:
            now = FIRST + MINUTE * minute
            assert is_open([row], now) == (minute in open_minutes), (row, now)
            if following := begins[bisect_right(begins, minute) :]:
                assert opens([row], now) == FIRST + MINUTE * following[0]


def _beginnings(shown: dict[date, dict[time, int]], row: Window) -> Iterator[int]:
    for day, times in shown.items():
        if day.weekday() in row.weekdays and max(times) >= row.starts:
            yield at_or_later(times, row.starts)


@pytest.mark.parametrize(
    ("zone", "starts", "day", "begins"),
    [
        # The clock is set forward over the beginning: the next moment that exists.
        ("Europe/Paris", "02:30", "2026-03-29", "2026-03-29T01:00"),
        ("America/New_York", "02:30", "2026-03-08", "2026-03-08T07:00"),
        ("Australia/Lord_Howe", "02:15", "2026-10-04", "2026-10-03T15:30"),
        ("Pacific/Apia", "12:00", "2011-12-30", "2011-12-30T10:00"),  # a day that never was
        # It is set back, so that the beginning comes twice: the first of them.
        ("Europe/Paris", "02:30", "2026-10-25", "2026-10-25T00:30"),
        ("America/New_York", "01:30", "2026-11-01", "2026-11-01T05:30"),
        ("Australia/Lord_Howe", "01:45", "2026-04-05", "2026-04-04T14:45"),
    ],
)
def test_the_nights_on_which_clocks_are_set(zone: str, starts: str, day: str, begins: str) -> None:
    found = beginning(date.fromisoformat(day), time.fromisoformat(starts), ZoneInfo(zone))
    assert found == datetime.fromisoformat(begins).replace(tzinfo=UTC)


@pytest.mark.parametrize(("day", "until"), [("2026-03-28", "07:00"), ("2026-10-24", "05:00")])
def test_its_length_is_of_real_minutes(day: str, until: str) -> None:
    """Eight hours from 22:00 end at 07:00 where an hour is skipped, at 05:00 where one comes twice."""
    row = window("Europe/Paris", "22:00", 8 * 60)
    begins = beginning(date.fromisoformat(day), row.starts, ZoneInfo(row.zone))
    end = closes([row], begins)
    assert end is not None
    assert f"{end.astimezone(ZoneInfo(row.zone)):%H:%M}" == until
    assert is_open([row], end - MINUTE)
    assert not is_open([row], end)


def test_without_a_window_it_is_always_open() -> None:
    assert is_open([], FIRST)
    assert opens([], FIRST) is None


def test_one_that_never_opens_is_closed() -> None:
    for row in (window("UTC", "22:00", days=frozenset()), window("Mars/Olympus", "22:00")):
        assert not is_open([row], FIRST)
        assert opens([row], FIRST) is None


def test_the_first_of_several_counts() -> None:
    rows = [window("UTC", "22:00", 60), window("UTC", "04:00", 60), window("UTC", "04:30", 60)]
    assert opens(rows, FIRST) == FIRST + timedelta(hours=4)
    assert closes(rows, FIRST + timedelta(hours=4)) == FIRST + timedelta(hours=5, minutes=30)
    assert closes(rows, FIRST) is None


def test_windows_that_follow_each_other_all_week_never_close() -> None:
    row = window("UTC", "00:00", 24 * 60)
    assert is_open([row], FIRST + timedelta(days=3, hours=5))
    assert closes([row], FIRST) is None
    assert opens([row], FIRST) == FIRST + DAY


def test_a_window_once_a_week_opens_again_after_a_week() -> None:
    row = window("Europe/Paris", "02:30", 60, frozenset({6}))
    before = datetime(2026, 3, 22, 2, tzinfo=UTC)  # a Sunday, after the window
    assert opens([row], before) == datetime(2026, 3, 29, 1, tzinfo=UTC)


def test_people_choose_among_known_zones() -> None:
    assert {*ZONES} <= set(zones())
    assert not [each for each in zones() if each.startswith(("posix/", "right/"))]
