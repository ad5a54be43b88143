"""JWT and builds: how far the instances are on their way to OAuth, as a table, a chart, CSV and JSON."""

import csv
import io
from collections.abc import Iterable, Mapping

from django import forms
from django.contrib.auth.decorators import permission_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, JsonResponse
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
    Stage.OLD: _("Build below 7.4.1"),
    Stage.UNKNOWN: _("Not seen yet"),
    Stage.DONE: _("Done"),
}
MEANINGS: Mapping[Stage, Promise] = {
    Stage.JWT: _("The file on at least one container still holds a JWT credential."),
    Stage.OLD: _(
        "No JWT was seen, but at least one container runs a build that does not know OAuth accounts."
    ),
    Stage.UNKNOWN: _(
        "At least one container was never read or pushed to, and nothing bad was seen elsewhere."
    ),
    Stage.DONE: _("Every container was seen: no JWT, and a build that knows OAuth accounts."),
}
SIGNS: Mapping[Stage, str] = {
    Stage.JWT: "failed",
    Stage.OLD: "partial",
    Stage.UNKNOWN: "unknown",
    Stage.DONE: "succeeded",
}
"""How each is drawn, by the states that `status` knows."""
COLUMNS = (
    "instance",
    "environment",
    "stage",
    "containers",
    "on_jwt",
    "below_9383",
    "never_seen",
    "builds",
    "last_seen",
)


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
    rows = _narrowed(everything, form.cleaned_data)
    if request.GET.get("format") in ("csv", "json"):
        return _download(request.GET["format"], rows)
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


def _narrowed(rows: Iterable[Progress], wanted: Mapping[str, str]) -> list[Progress]:
    """Return the rows that fit the filters, the most urgent first."""
    text, stage = (wanted.get("q") or "").casefold(), wanted.get("stage")
    place = {each: number for number, each in enumerate(Stage)}
    found = [row for row in rows if text in row.name.casefold() and (not stage or row.stage == stage)]
    return sorted(found, key=lambda row: (place[row.stage], row.name))


def _download(form: str, rows: Iterable[Progress]) -> HttpResponse:
    facts = [_facts(row) for row in rows]
    if form == "json":
        answer: HttpResponse = JsonResponse(
            {"instances": facts, "as_of": timezone.now().isoformat(timespec="seconds")}
        )
    else:
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS)
        writer.writeheader()
        writer.writerows(each | {"builds": str(each["builds"]).strip("[]")} for each in facts)
        answer = HttpResponse(text.getvalue(), content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="jwt-and-builds.{form}"'
    return answer


def _facts(row: Progress) -> dict[str, object]:
    return {
        "instance": row.name,
        "environment": row.environment,
        "stage": row.stage.value,
        "containers": row.installations,
        "on_jwt": row.on_jwt,
        "below_9383": row.too_old,
        "never_seen": row.never_seen,
        "builds": sorted(row.builds),
        "last_seen": row.last_seen.isoformat(timespec="seconds") if row.last_seen else None,
    }
