"""Ready filters of a list: links that set what somebody would otherwise choose, next to what is set."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from urllib.parse import urlencode

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

Chosen = Mapping[str, str]


@dataclass(frozen=True)
class Preset:
    """One link. Where its filters are set, it takes them away again."""

    label: Promise
    url: str
    is_on: bool


def preset(label: Promise, filters: Chosen, chosen: Chosen) -> Preset:
    """Return the link that sets these filters, for somebody who has chosen others."""
    is_on = filters.items() <= chosen.items()
    others = {name: value for name, value in chosen.items() if name not in filters}
    return Preset(label, "?" + urlencode(others if is_on else {**others, **filters}), is_on)


def quarters(today: date) -> Iterator[tuple[Promise, Chosen]]:
    """Yield this quarter and the last one, as filters of days."""
    this_quarter = quarter(today)
    yield _("This quarter"), days(*this_quarter)
    yield _("Last quarter"), days(*quarter(this_quarter[0] - timedelta(days=1)))


def days(first: date, last: date) -> Chosen:
    """Return the filters that a list has for days, both included."""
    return {"since": first.isoformat(), "until": last.isoformat()}


def quarter(day: date) -> tuple[date, date]:
    """Return the first and the last day of the calendar quarter that a day is in."""
    first = date(day.year, (day.month - 1) // 3 * 3 + 1, 1)
    in_next = (first + timedelta(days=100)).replace(day=1)
    return first, in_next - timedelta(days=1)
