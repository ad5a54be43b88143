"""How long something takes and how long ago it was, in one form everywhere: `3 min 20 s`, `5 min ago`."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta

from django.utils import timezone
from django.utils.formats import number_format
from django.utils.translation import gettext as _

SECOND, MINUTE, HOUR, DAY = 1, 60, 3600, 86_400
LONG_AGO = timedelta(days=30)
"""From here on the day says more than its distance."""


_exact_only: ContextVar[bool] = ContextVar("exact_only", default=False)


@contextmanager
def exact_only() -> Iterator[None]:
    """Show moments instead of distances for a while."""
    token = _exact_only.set(True)
    try:
        yield
    finally:
        _exact_only.reset(token)


def is_exact_only() -> bool:
    return _exact_only.get()


def duration(seconds: float) -> str:
    """Return how long something takes, with two units at most: `850 ms`, `1.2 s`, `12 s`, `2 h 5 min`."""
    seconds = max(0.0, seconds)
    if round(seconds, 3) < SECOND:
        return _("%s ms") % round(seconds * 1000) if seconds else _seconds(0)
    if round(seconds, 1) < 10 * SECOND:
        return _("%s s") % number_format(round(seconds, 1)).removesuffix(".0").removesuffix(",0")
    whole = round(seconds)
    if whole < MINUTE:
        return _seconds(whole)
    if whole < HOUR:
        return _both(_minutes(whole // MINUTE), _seconds(whole % MINUTE) if whole % MINUTE else "")
    if whole < DAY:
        rest = whole % HOUR // MINUTE
        return _both(_hours(whole // HOUR), _minutes(rest) if rest else "")
    rest = whole % DAY // HOUR
    return _both(_days(whole // DAY), _hours(rest) if rest else "")


def relative(at: datetime, now: datetime | None = None, past: str = "") -> str:
    """Return how far away a moment is: `5 min ago`, `in 1 min 35 s`, or its day if that was long ago.

    `past` is what to say of a moment that was to come and has passed.
    """
    seconds = ((now or timezone.now()) - at).total_seconds()
    if abs(seconds) > LONG_AGO.total_seconds():
        return f"{timezone.localtime(at):%Y-%m-%d}"
    if round(seconds) < 0:
        return _("in %s") % duration(round(-seconds) if -seconds < HOUR else _one_unit(-seconds))
    return past or (_("%s ago") % duration(_one_unit(seconds)) if seconds >= SECOND else _("just now"))


def exact(at: datetime) -> str:
    """Return a moment with the name of its zone, and in UTC where that is another."""
    local = timezone.localtime(at)
    text = f"{local:%Y-%m-%d %H:%M:%S %Z}"
    return text if not local.utcoffset() else f"{text} ({at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ})"


def _one_unit(seconds: float) -> int:
    """Round down to whole days, hours, minutes or seconds: less is said of what is farther away."""
    unit = next(each for each in (DAY, HOUR, MINUTE, SECOND) if seconds >= each)
    return int(seconds // unit) * unit


def _both(larger: str, smaller: str) -> str:
    return f"{larger} {smaller}" if smaller else larger


def _seconds(count: int) -> str:
    return _("%s s") % count


def _minutes(count: int) -> str:
    return _("%s min") % count


def _hours(count: int) -> str:
    return _("%s h") % count


def _days(count: int) -> str:
    return _("%s d") % count
