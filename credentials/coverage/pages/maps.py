"""The coverage map: what every installation holds, now or as of a moment, as a page, CSV and JSON."""

import csv
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from uuid import UUID

from django import forms
from django.contrib.auth.decorators import permission_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET

from credentials.coverage.cells import OTHERS, Cell, Wanted, cells_now, counts, version_counts
from credentials.coverage.export import COLUMNS, as_dict, as_row
from credentials.coverage.past import cells_as_of
from credentials.coverage.states import Cover, Need
from credentials.models import TechnicalAccount
from instances.models import Instance
from instances.pages.moments import AsOf

PAGE = 50  # instances
ANY = ("", _("Any"))


class MapForm(AsOf):
    """What the map is narrowed to, and as of when."""

    field_order = ("q", "account", "environment", "role", "state", "version", "at")

    q = forms.CharField(label=_("Instance or container"), required=False, max_length=100)
    account = forms.ModelChoiceField(
        TechnicalAccount.objects.filter(state=TechnicalAccount.State.ACTIVE).order_by("name"),
        label=_("Account"),
        required=False,
        empty_label=_("Any"),
    )
    environment = forms.ChoiceField(
        label=_("Environment"), required=False, choices=[ANY, *Instance.Environment.choices]
    )
    role = forms.ChoiceField(label=_("Role"), required=False, choices=[ANY, *Instance.Role.choices])
    state = forms.ChoiceField(
        label=_("State"),
        required=False,
        choices=[
            ANY,
            *Cover.choices,
            (
                _("Needs you, because"),
                [*Need.choices, (OTHERS, _("anything but a failed push or a changed file"))],
            ),
        ],
    )
    version = forms.IntegerField(label=_("Holds version"), required=False, min_value=1, max_value=100_000)

    @property
    def cells(self) -> list[Cell]:
        """The cells that fit the filters; a value that is refused narrows nothing, and its field says so."""
        self.is_valid()
        found = self.cleaned_data
        account = found.get("account")
        wanted = Wanted(
            environment=found.get("environment", ""),
            role=found.get("role", ""),
            account=account.pk if account else None,
            state=found.get("state", ""),
            version=found.get("version"),
            text=found.get("q", ""),
        )
        moment = found.get("at")
        return cells_as_of(wanted, moment) if moment else cells_now(wanted)


@dataclass(frozen=True)
class ShownCell:
    """A cell with the address of what can be done about it."""

    cell: Cell
    url: str
    action: str


@dataclass(frozen=True)
class MapLine:
    """One instance with its containers."""

    first: Cell
    shown: list[ShownCell]


@require_GET
@permission_required("credentials.view_technicalaccount", raise_exception=True)
def coverage_map(request: HttpRequest) -> HttpResponse:
    """Show instances and their containers, with what each holds, now or as of a moment."""
    form = MapForm(request.GET)
    cells = form.cells
    lines = [list(group) for _key, group in groupby(cells, key=lambda cell: cell.instance_id)]
    page = Paginator(lines, PAGE).get_page(request.GET.get("page"))
    moment = form.cleaned_data.get("at")
    may_start = request.user.has_perm("rollouts.start_rollout")
    context = {
        "form": form,
        "moment": moment,
        "page_obj": page,
        "lines": [
            MapLine(group[0], [_shown(cell, is_past=bool(moment), may_start=may_start) for cell in group])
            for group in page
        ],
        "counts": counts(cells),
        "versions": version_counts(cells),
        "total": len(cells),
        "is_narrowed": form.has_changed(),
        "state_url": _without(request, "state", "page"),
        "certainties": _certainties(cells) if moment else [],
        "query": _without(request, "page"),
    }
    return render(request, "coverage/map.html", context)


def _certainties(cells: Iterable[Cell]) -> list[tuple[str, int]]:
    found = {"known": 0, "between": 0, "not_known": 0}
    for cell in cells:
        found[cell.certainty] += 1
    return list(found.items())


def _without(request: HttpRequest, *names: str) -> str:
    query = request.GET.copy()
    for name in names:
        query.pop(name, None)
    return query.urlencode()


def drift_of(installation: UUID) -> str:
    """Return the address of an installation in the list of changed files."""
    return f"{reverse('drift')}?at={installation}#i-{installation}"


def _shown(cell: Cell, *, is_past: bool, may_start: bool) -> ShownCell:
    """Return a cell with what this person can do there: as of a moment there is only the place to look at."""
    there = reverse("installation", args=[cell.installation])
    if is_past or cell.cover in (Cover.DONE, Cover.KEPT):
        return ShownCell(cell, there, "")
    if cell.need == Need.DRIFTED:
        return ShownCell(cell, drift_of(cell.installation), str(_("Look at it")))
    if cell.push and (cell.need == Need.FAILED or cell.cover == Cover.UNDER_WAY):
        return ShownCell(cell, reverse("push", args=[cell.push]), str(_("See the push")))
    if cell.cover == Cover.NEEDS_YOU and cell.account_id and may_start:
        return ShownCell(cell, reverse("account_rollout", args=[cell.account_id]), str(_("Roll out")))
    return ShownCell(cell, there, "")


@require_GET
@permission_required("credentials.view_technicalaccount", raise_exception=True)
def coverage_export(request: HttpRequest) -> HttpResponse:
    """Hand out the cells of the same filters, as CSV, or as JSON with `format=json`."""
    form = MapForm(request.GET)
    cells = form.cells
    if not form.is_valid():
        return HttpResponse(str(form.errors.as_text()), status=400, content_type="text/plain")
    name = f"coverage-{timezone.now():%Y%m%d-%H%M}"
    if request.GET.get("format") == "json":
        answer = HttpResponse(
            json.dumps({"cells": [as_dict(cell) for cell in cells]}), content_type="application/json"
        )
        answer["Content-Disposition"] = f'attachment; filename="{name}.json"'
        return answer
    answer = HttpResponse("\ufeff", content_type="text/csv; charset=utf-8")
    csv.writer(answer, quoting=csv.QUOTE_ALL).writerows(_rows(cells))
    answer["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    return answer


def _rows(cells: Iterable[Cell]) -> Iterator[tuple[str, ...]]:
    yield COLUMNS
    yield from map(as_row, cells)
