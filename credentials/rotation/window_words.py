"""What pages and commands say of maintenance windows."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils.dates import WEEKDAYS_ABBR
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from credentials.rotation import windows
from credentials.rotation.models import MaintenanceWindow, Weekday
from credentials.rotation.openings import Environment, Openings, openings
from portal.punctuation import labelled

HOUR = timedelta(hours=1)
DASH = "\N{EN DASH}"
WORKDAYS = Weekday.values[:5]
OFTEN_SHOWN = timedelta(hours=48)
"""Beyond this a moment says more than a number of hours."""


@dataclass(frozen=True)
class Line:
    """The windows of one environment, and whether rotations may push there now."""

    environment: str
    label: str
    rows: Sequence[MaintenanceWindow]
    is_open: bool
    now: str

    @property
    def text(self) -> str:
        """Return its windows and whether it is open now, in a line."""
        parts = [*map(in_words, self.rows), self.now]
        return labelled(self.label, ", ".join(parts))


def lines(environments: Iterable[str] = Environment.values) -> list[Line]:
    """Return a line for each of these environments, in their usual order; two statements."""
    known, rows = openings(), list(MaintenanceWindow.objects.all())
    wanted = set(environments)
    return [
        Line(
            environment,
            str(Environment(environment).label),
            [row for row in rows if row.environment == environment],
            known.is_open(environment),
            _now(known, environment),
        )
        for environment in Environment.values
        if environment in wanted
    ]


def in_words(row: MaintenanceWindow) -> str:
    """Return days, hours and time zone; the end is that of a night on which no clock is set."""
    begins = datetime.combine(datetime(2001, 1, 1), row.starts)  # noqa: DTZ001  # by the clock on the wall
    ends = begins + timedelta(minutes=row.minutes)
    hours = _("24 hours from %s") % f"{begins:%H:%M}" if row.minutes == windows.LONGEST else ""
    return f"{_days(row.weekdays)} {hours or f'{begins:%H:%M}{DASH}{ends:%H:%M}'} {row.zone}"


def _days(codes: Sequence[str]) -> str:
    chosen = [code for code in Weekday.values if code in codes]
    if chosen == Weekday.values:
        return _("daily")
    if chosen == WORKDAYS:
        return f"{_short(chosen[0])}{DASH}{_short(chosen[-1])}"
    return ", ".join(map(_short, chosen)) or _("never")


def _short(code: str) -> str:
    return str(WEEKDAYS_ABBR[Weekday.values.index(code)])


def _now(known: Openings, environment: str) -> str:
    found = known.of(environment)
    if not found:
        return _("always")
    if known.is_open(environment):
        until = windows.closes(found, known.now)
        return _("open until %s") % _moment(until) if until else _("open now")
    until = windows.opens(found, known.now)
    if until is None:
        return _("never opens: this machine does not know its time zone")
    wait = until - known.now
    return _("opens in %s") % _span(wait) if wait < OFTEN_SHOWN else _("opens at %s") % _moment(until)


def _span(wait: timedelta) -> str:
    if wait < HOUR:
        minutes = math.ceil(wait.total_seconds() / 60)
        return ngettext("%d minute", "%d minutes", minutes) % minutes
    hours = round(wait / HOUR)
    return ngettext("%d hour", "%d hours", hours) % hours


def _moment(moment: datetime) -> str:
    return f"{localtime(moment):%Y-%m-%d %H:%M %Z}"
