"""The chart of instances over time: where its lines run, as numbers; the template draws them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from django.utils.functional import Promise

from instances.discovery.jwt_dates import JWT_DATES
from instances.discovery.migration_history import Point
from instances.discovery.migration_progress import Stage

WIDTH, HEIGHT = 498, 290
LEFT, RIGHT, TOP, BOTTOM = 52, 192, 34, 34
"""Around the field: numbers, direct labels, dates of Adobe, days."""
APART = 20
"""Labels are not closer than this."""
STACKED = (Stage.DONE, Stage.UNKNOWN, Stage.OLD, Stage.JWT)
"""From the bottom: what is left to do is on top."""


@dataclass
class Band:
    """One state over time: an outline of its share, and where its label and number are written."""

    stage: Stage
    label: Promise
    outline: str
    count: int
    label_at: float
    edge: float
    """Where the band ends at the right, which its label belongs to."""


@dataclass(frozen=True)
class Mark:
    """A line with words: a day below, a number at the left, or a date of Adobe."""

    at: float
    text: str | Promise


@dataclass(frozen=True)
class Chart:
    """Everything that the template draws."""

    bands: list[Band]
    days: list[Mark]
    levels: list[Mark]
    dates: list[Mark]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


def chart(points: Sequence[Point], labels: Mapping[Stage, Promise]) -> Chart:
    """Return the chart of at least two points, whose bands are called by these labels."""
    most = max(1, *(point.total for point in points))
    first, last = points[0].at, points[-1].at

    def across(at: datetime) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * ((at - first) / (last - first)), 1)

    def up(count: float) -> float:
        return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * count / most, 1)

    below = [0] * len(points)
    bands = []
    for stage in STACKED:
        above = [floor + point.counts[stage] for floor, point in zip(below, points, strict=True)]
        edges = [*zip(points, above, strict=True), *reversed([*zip(points, below, strict=True)])]
        outline = " ".join(f"{across(point.at)},{up(count)}" for point, count in edges)
        middle = up((above[-1] + below[-1]) / 2)
        bands.append(Band(stage, labels[stage], outline, points[-1].counts[stage], middle, middle))
        below = above
    _spread(bands)
    dates = [
        (datetime(each.on.year, each.on.month, each.on.day, tzinfo=UTC), each.short) for each in JWT_DATES
    ]
    return Chart(
        bands=bands,
        days=[Mark(across(at), f"{at:%Y-%m-%d}") for at in (first, last)],
        levels=[Mark(up(count), str(count)) for count in _levels(most)],
        dates=[Mark(across(at), short) for at, short in dates if first <= at <= last],
    )


def _spread(bands: Sequence[Band]) -> None:
    """Move labels apart that would lie over each other: from the bottom up, then back into the field."""
    floor: float = HEIGHT - BOTTOM + APART
    for band in bands:
        floor = band.label_at = min(band.label_at, floor - APART)
    ceiling: float = TOP - APART
    for band in reversed(bands):
        ceiling = band.label_at = max(band.label_at, ceiling + APART)


def _levels(most: int) -> Iterator[int]:
    """Yield the numbers at the left: none, half where that is a whole number, and all."""
    yield 0
    if most % 2 == 0 and most > 1:
        yield most // 2
    yield most
