"""The time zones that this machine knows."""

from functools import cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones


@cache
def zones() -> tuple[str, ...]:
    """Return the names of the time zones that this machine knows, in order; for a choice by people."""
    return ("UTC", *sorted(each for each in available_timezones() if "/" in each and each[0].isupper()))


def zone_of(name: str) -> ZoneInfo | None:
    """Return a time zone; None if this machine does not know it."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None
