"""When maintenance windows are open: pure functions of windows and a moment, right across daylight saving.

A window begins by the clock on the wall of its time zone, and lasts that number of real minutes. Where the
clock skips its beginning, it begins at the next moment that exists; where that comes twice, at the first.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo

from portal.zones import zone_of

DAY = timedelta(days=1)
LONGEST = 24 * 60
"""Minutes of the longest window."""
_BACK, _AHEAD = -2, 9
"""Days around today that are asked: one may have begun the day before yesterday, and each comes in a week."""


@dataclass(frozen=True)
class Window:
    """One that comes again each week. `weekdays` count from 0, Monday; of an unknown zone it never opens."""

    weekdays: frozenset[int]
    starts: time
    minutes: int
    zone: str

    def times(self, around: datetime) -> Iterator[tuple[datetime, datetime]]:
        """Yield beginnings and ends, from the last before a moment to those of the week after it."""
        zone = zone_of(self.zone)
        if zone is None:
            return
        today = around.astimezone(zone).date()
        for offset in range(_BACK, _AHEAD):
            day = today + timedelta(days=offset)
            if day.weekday() in self.weekdays:
                begins = beginning(day, self.starts, zone)
                yield begins, begins + timedelta(minutes=self.minutes)


Windows = Sequence[Window]


def is_open(windows: Windows, now: datetime) -> bool:
    """Whether rotations may push now. Without any window they always may."""
    return not windows or any(begins <= now < ends for begins, ends in _times(windows, now))


def opens(windows: Windows, now: datetime) -> datetime | None:
    """Return when the next window opens after a moment; None if none ever does."""
    return min((begins for begins, _ends in _times(windows, now) if begins > now), default=None)


def closes(windows: Windows, now: datetime) -> datetime | None:
    """Return when it closes that is open now, with those that overlap or follow at once.

    None if none is open, or if they follow each other all week.
    """
    end = now
    for begins, ends in sorted(_times(windows, now)):
        if begins <= end < ends:
            end = ends
    return end if now < end < now + 7 * DAY else None


def _times(windows: Iterable[Window], now: datetime) -> Iterator[tuple[datetime, datetime]]:
    for each in windows:
        yield from each.times(now)


def beginning(day: date, starts: time, zone: tzinfo) -> datetime:
    """Return, in UTC, when a clock on the wall first shows a time of a day, or has passed it."""
    first = datetime.combine(day, starts, zone)
    moment = first.astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) == first.replace(tzinfo=None):
        return moment
    return _change(first.replace(fold=1).astimezone(UTC), moment, zone)


def _change(before: datetime, after: datetime, zone: tzinfo) -> datetime:
    """Return the moment between two at which the clock is set, to the second."""
    offset = before.astimezone(zone).utcoffset()
    while after - before > timedelta(seconds=1):
        middle = (before + (after - before) / 2).replace(microsecond=0)
        if middle.astimezone(zone).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return after
