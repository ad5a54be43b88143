"""One page of the history, at a bounded cost however long the history is.

Pages are turned by number, since an offset slows down with every page. A search that no index answers looks
through a limited number of entries at a time, and says which.
"""

from dataclasses import dataclass

from django.contrib.auth.models import AnonymousUser, User
from django.db.models import Max, Min, QuerySet

from portal.audit.labels import HistoryLine, lines_of
from portal.audit.models import AuditEvent, AuditHead
from portal.audit.pages.forms import HistoryForm, PositionForm, visible_to
from portal.audit.services import READING

PAGE = 50
SEARCHED = 10_000
"""Entries that one search looks through."""
SLACK = 1_000
"""Entries around those of the chosen dates that are looked at too: a clock may have been set back."""


@dataclass(frozen=True)
class Stretch:
    """One page of the history, and the numbers at which its neighbours begin."""

    lines: list[HistoryLine]
    newer: int | None
    older: int | None
    searched: tuple[int, int] | None
    """The entries, from and to, that were looked through, where that was not all."""
    total: int
    """How many entries the history has: numbers have no gaps."""


@dataclass(frozen=True)
class _Span:
    """Numbers of entries, both included."""

    first: int
    last: int

    def cut(self, events: QuerySet[AuditEvent]) -> QuerySet[AuditEvent]:
        return events.filter(seq__gte=self.first, seq__lte=self.last)


def stretch(form: HistoryForm, position: PositionForm, user: User | AnonymousUser) -> Stretch:
    """Return the events that fit the filters, before or after a position, newest first."""
    numbers = position.cleaned_data if position.is_valid() else {}
    before, after = numbers.get("before"), numbers.get("after")
    events = form.select(visible_to(user, AuditEvent.objects.all()))
    if form.hides_readings:
        events = events.exclude(action=READING)
    total = AuditHead.objects.get(pk=1).seq
    whole = _span_of_dates(form, total)
    span = _span(whole, before, after, SEARCHED if form.is_search else None)
    if after is not None:
        found = list(span.cut(events).order_by("seq")[: PAGE + 1])
        shown = found[:PAGE][::-1]
    else:
        found = list(span.cut(events).order_by("-seq")[: PAGE + 1])
        shown = found[:PAGE]
    if len(found) > PAGE:  # the rest of the span comes with the next page
        span = _Span(span.first, shown[0].seq) if after is not None else _Span(shown[-1].seq, span.last)
    return Stretch(
        lines=lines_of(shown),
        newer=span.last if span.last < whole.last else None,
        older=span.first if span.first > whole.first else None,
        searched=(span.first, span.last) if form.is_search and span != whole else None,
        total=total,
    )


def _span_of_dates(form: HistoryForm, newest: int) -> _Span:
    """Return a span of numbers with all events of the chosen dates in it; without dates, all numbers."""
    since, until = form.times()
    first, last = 1, newest
    if since:
        later = AuditEvent.objects.filter(at__gte=since).order_by("at")[:SLACK]
        first = later.aggregate(first=Min("seq"))["first"] or last + 1
    if until:
        earlier = AuditEvent.objects.filter(at__lte=until).order_by("-at")[:SLACK]
        last = earlier.aggregate(last=Max("seq"))["last"] or 0
    return _Span(first, last)


def _span(whole: _Span, before: int | None, after: int | None, most: int | None) -> _Span:
    first = whole.first if after is None else max(whole.first, after + 1)
    last = whole.last if before is None else min(whole.last, before - 1)
    if most is not None and after is not None:
        last = min(last, first + most - 1)
    elif most is not None:
        first = max(first, last - most + 1)
    return _Span(first, last)
