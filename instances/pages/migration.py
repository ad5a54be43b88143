"""JWT and builds: how far the instances are on their way to OAuth, as a table and a chart."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET
from django_filters import CharFilter, ChoiceFilter

from instances.discovery.jwt_dates import JWT_DATES
from instances.discovery.migration_history import history
from instances.discovery.migration_progress import PLACES, Stage, builds_of, progress, tally
from instances.models import Installation, Instance
from instances.pages.migration_chart import chart
from portal.permissions import permission_required
from portal.web.filters import ANY, Filters
from portal.web.lists import Orders, page_of

PAGE = 25
ORDERS = Orders(
    {
        "state": ["place", "name"],
        "name": ["name"],
        "containers": ["containers", "name"],
        "jwt": ["on_jwt", "name"],
        "below": ["below", "name"],
        "not_seen": ["not_known", "name"],
    },
    usual="state",
)
STAGES: Mapping[Stage, Promise] = {
    Stage.JWT: _("Still on JWT"),
    Stage.OLD: _("Old build, no JWT"),
    Stage.UNKNOWN: _("Not seen everywhere"),
    Stage.DONE: _("No JWT, build ready"),
}
MEANINGS: Mapping[Stage, Promise] = {
    Stage.JWT: _("The file on at least one container still holds a JWT credential."),
    Stage.OLD: _(
        "No JWT was seen, but at least one container runs a build below 7.4.1, which does not support OAuth "
        "accounts. An instance that still holds a JWT is counted there only, whatever its builds."
    ),
    Stage.UNKNOWN: _(
        "At least one container was never read or pushed to, and no problem was seen elsewhere."
    ),
    Stage.DONE: _(
        "Every container was seen: no JWT, and a build that supports OAuth accounts. It may have no account "
        "at all."
    ),
}
SIGNS: Mapping[Stage, str] = {
    Stage.JWT: "failed",
    Stage.OLD: "partial",
    Stage.UNKNOWN: "unknown",
    Stage.DONE: "succeeded",
}
"""How each is drawn, by the states that `status` knows."""


class MigrationFilters(Filters):
    """What the table is narrowed to."""

    q = CharFilter("name", "icontains", label=_("Instance"), max_length=100)
    stage = ChoiceFilter(label=_("State"), choices=list(STAGES.items()), empty_label=ANY, method="at")

    class Meta(Filters.Meta):
        model = Instance

    def __init__(self, data: QueryDict, queryset: QuerySet[Any] | None = None) -> None:
        super().__init__(data, progress() if queryset is None else queryset)

    def at(self, rows: QuerySet[Any], _name: str, stage: str) -> QuerySet[Any]:
        return rows.filter(place=PLACES.index(Stage(stage)))


@require_GET
@permission_required("instances.view_instance", raise_exception=True)
def jwt_and_builds(request: HttpRequest) -> HttpResponse:
    """Show which instances still hold a JWT, which are below 7.4.1, and how that went over time."""
    filters, order = MigrationFilters(request.GET), ORDERS.of(request.GET)
    counts = tally(progress())
    total = sum(counts.values())
    points = history(counts) if total else []
    today = timezone.localdate()
    page = page_of(filters.qs.order_by(*order.fields), request.GET, PAGE)
    context = {
        "form": filters.form,
        "is_narrowed": filters.is_narrowed,
        "order": order,
        "tally": [
            (each, SIGNS[each], STAGES[each], MEANINGS[each], _instances(counts[each])) for each in Stage
        ],
        "total": total,
        "left_out": Instance.objects.count() - total,
        "was_seen": Installation.objects.pushable().exclude(observed=None).exists(),
        "chart": chart(points, STAGES) if points else None,
        "is_first_week": not any(point.total for point in points[:-1]),
        "points": [(point.at, [point.counts[each] for each in Stage]) for point in points],
        "stages": [STAGES[each] for each in Stage],
        "dates": [(each, each.means(today)) for each in JWT_DATES],
        "page_obj": page,
        "rows": _rows(page),
    }
    return render(request, "instances/jwt_and_builds.html", context)


def _rows(page: Iterable[Any]) -> Iterator[tuple[Any, str, str, Promise]]:  # Any: rows of `progress`
    """Yield the rows of a page with their builds in words, and sign and words of their stage."""
    rows = list(page)
    builds = builds_of([row.pk for row in rows])
    for row in rows:
        stage = PLACES[row.place]
        yield row, ", ".join(map(str, builds[row.pk])), SIGNS[stage], STAGES[stage]


def _instances(count: int) -> str:
    return ngettext("%d instance", "%d instances", count) % count
