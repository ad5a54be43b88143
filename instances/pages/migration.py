"""JWT and builds: how far the instances are on their way to OAuth, as a table and a chart."""

from collections.abc import Iterable, Mapping

from django import forms
from django.contrib.auth.decorators import permission_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET

from instances.discovery.jwt_dates import JWT_DATES
from instances.discovery.migration_progress import Progress, Stage, history, progress
from instances.models import Instance
from instances.pages.migration_chart import chart
from portal.no_secrets import Form

PAGE = 25
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


class MigrationFilter(Form):
    """What the table is narrowed to."""

    q = forms.CharField(label=_("Instance"), required=False, max_length=100)
    stage = forms.ChoiceField(
        label=_("State"),
        required=False,
        choices=[("", _("Any")), *((each.value, STAGES[each]) for each in Stage)],
    )


@require_GET
@permission_required("instances.view_instance", raise_exception=True)
def jwt_and_builds(request: HttpRequest) -> HttpResponse:
    """Show which instances still hold a JWT, which are below 7.4.1, and how that went over time."""
    form = MigrationFilter(request.GET)
    form.is_valid()
    everything = progress()
    rows = narrowed(everything, form.cleaned_data)
    points = history(everything) if everything else []
    today = timezone.localdate()
    counts = points[-1].counts if points else {}
    page = Paginator(rows, PAGE).get_page(request.GET.get("page"))
    context = {
        "form": form,
        "tally": [
            (each, SIGNS[each], STAGES[each], MEANINGS[each], _instances(counts.get(each, 0)))
            for each in Stage
        ],
        "total": len(everything),
        "left_out": Instance.objects.count() - len(everything),
        "was_seen": any(each.last_seen for each in everything),
        "chart": chart(points, STAGES) if points else None,
        "is_first_week": not any(point.total for point in points[:-1]),
        "points": [(point.at, [point.counts[each] for each in Stage]) for point in points],
        "stages": [STAGES[each] for each in Stage],
        "dates": [(each, each.means(today)) for each in JWT_DATES],
        "page_obj": page,
        "rows": [(each, SIGNS[each.stage], STAGES[each.stage]) for each in page],
        "is_filtered": bool(request.GET.get("q") or request.GET.get("stage")),
    }
    return render(request, "instances/jwt_and_builds.html", context)


def _instances(count: int) -> str:
    return ngettext("%d instance", "%d instances", count) % count


def narrowed(rows: Iterable[Progress], wanted: Mapping[str, str]) -> list[Progress]:
    """Return the rows that fit the filters, the most urgent first."""
    text, stage = (wanted.get("q") or "").casefold(), wanted.get("stage")
    place = {each: number for number, each in enumerate(Stage)}
    found = [row for row in rows if text in row.name.casefold() and (not stage or row.stage == stage)]
    return sorted(found, key=lambda row: (place[row.stage], row.name))
