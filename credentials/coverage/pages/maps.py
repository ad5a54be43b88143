"""The coverage map: what every installation holds, now or as of a moment, as a page."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any
from uuid import UUID

from django import forms
from django.core.paginator import Page, Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET

from credentials.coverage.cells import OTHERS, Cell, Wanted, cells_now
from credentials.coverage.past import cells_as_of
from credentials.coverage.past_tallies import PastTally, instances_as_of, tallies_as_of
from credentials.coverage.states import Cover, Need
from credentials.coverage.tallies import (
    Tally,
    cells_on,
    counts,
    instances_of,
    reported,
    tallies,
    version_counts,
)
from credentials.models import TechnicalAccount
from credentials.rollouts.models import Push
from instances.failures import Code
from instances.models import Instance
from instances.needs import in_need
from instances.pages.moments import AsOf
from portal.permissions import permission_required

PAGE = 50  # instances
ANY = ("", _("Any"))


class VersionNumber(forms.IntegerField):
    """The number of a version, also as pages write it: `v1`."""

    widget = forms.TextInput
    default_error_messages = {"invalid": _("Enter the number of a version, such as v1 or 1.")}

    def to_python(self, value: object) -> int | None:
        text = value.strip() if isinstance(value, str) else value
        if isinstance(text, str) and text[:1] in ("v", "V"):
            text = text[1:]
        number: int | None = super().to_python(text)
        return number


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
                [*Need.choices, (OTHERS, _("anything except a failed push or a changed file"))],
            ),
        ],
    )
    version = VersionNumber(label=_("Holds version"), required=False, min_value=1, max_value=100_000)

    @property
    def wanted(self) -> Wanted:
        """What is asked for; a value that is refused narrows nothing, and its field says so."""
        self.is_valid()
        found = self.cleaned_data
        account = found.get("account")
        return Wanted(
            environment=found.get("environment", ""),
            role=found.get("role", ""),
            account=account.pk if account else None,
            state=found.get("state", ""),
            version=found.get("version"),
            text=found.get("q", ""),
        )

    @property
    def moment(self) -> datetime | None:
        """As of when; None: now."""
        self.is_valid()
        moment: datetime | None = self.cleaned_data.get("at")
        return moment

    @property
    def cells(self) -> list[Cell]:
        """All cells that fit the filters."""
        moment = self.moment
        return cells_as_of(self.wanted, moment) if moment else cells_now(self.wanted)


@dataclass(frozen=True)
class ShownCell:
    """A cell with the address of what can be done about it."""

    cell: Cell
    url: str
    action: str
    cause: str = ""
    """What the failed push says, where that is what keeps it back."""


@dataclass(frozen=True)
class MapLine:
    """One instance with its containers."""

    first: Cell
    shown: list[ShownCell]


@dataclass(frozen=True)
class Map:
    """One page of the map, and all of it in numbers."""

    page: Page[Any]
    groups: list[list[Cell]]
    """The cells of each instance of the page."""
    tallies: list[Tally]
    certainties: list[tuple[str, int]]


def _now(wanted: Wanted, number: str | None) -> Map:
    """Count in the database, and fetch the cells of one page."""
    found = tallies(wanted)
    page = Paginator(instances_of(wanted, found), PAGE).get_page(number)
    return Map(page, _by_instance(cells_on(list(page), wanted, found)), found, [])


def _as_of(wanted: Wanted, moment: datetime, number: str | None) -> Map:
    """Count what was known then in the database, and judge the installations of one page."""
    found = tallies_as_of(wanted, moment)
    page = Paginator(instances_as_of(wanted, moment, found), PAGE).get_page(number)
    cells = cells_as_of(wanted, moment, instances=list(page))
    return Map(page, _by_instance(cells), [each.tally for each in found], _certainties(found))


def _by_instance(cells: Iterable[Cell]) -> list[list[Cell]]:
    return [list(group) for _key, group in groupby(cells, key=lambda cell: cell.instance_id)]


@require_GET
@permission_required("credentials.view_technicalaccount", raise_exception=True)
def coverage_map(request: HttpRequest) -> HttpResponse:
    """Show instances and their containers, with what each holds, now or as of a moment."""
    form = MapForm(request.GET)
    moment, number = form.moment, request.GET.get("page")
    shown = _as_of(form.wanted, moment, number) if moment else _now(form.wanted, number)
    may_start = request.user.has_perm("rollouts.start_rollout")
    causes = {} if moment else _causes(cell for group in shown.groups for cell in group)
    context = {
        "form": form,
        "moment": moment,
        "page_obj": shown.page,
        "lines": [
            MapLine(
                group[0],
                [_shown(cell, is_past=bool(moment), may_start=may_start, causes=causes) for cell in group],
            )
            for group in shown.groups
        ],
        "counts": counts(shown.tallies),
        "reported": reported(shown.tallies),
        "versions": version_counts(shown.tallies),
        "without_account": _without_account() if not (moment or form.has_changed()) else 0,
        # today's map would be taken for the answer to a moment that makes no sense
        "total": 0 if "at" in form.errors else sum(each.count for each in shown.tallies),
        "is_narrowed": form.has_changed(),
        "state_url": _without(request, "state", "page"),
        "certainties": shown.certainties,
    }
    return render(request, "coverage/map.html", context)


def _without_account() -> int:
    """Return how many instances are not on the map, since nobody gave them an account."""
    return in_need(Instance.objects.all(), "account").count()


def _certainties(tallies: Iterable[PastTally]) -> list[tuple[str, int]]:
    found = {"known": 0, "likely": 0, "between": 0, "since": 0, "not_known": 0}
    for each in tallies:
        found[each.certainty] += each.tally.count
    return list(found.items())


def _without(request: HttpRequest, *names: str) -> str:
    query = request.GET.copy()
    for name in names:
        query.pop(name, None)
    return query.urlencode()


def drift_of(installation: UUID) -> str:
    """Return the address of an installation in the list of changed files."""
    return f"{reverse('drift')}?at={installation}#i-{installation}"


def _causes(cells: Iterable[Cell]) -> dict[UUID | None, str]:
    """Return what the failed pushes of these cells say, by their ids."""
    pushes = [cell.push for cell in cells if cell.push]
    rows = (
        Push.objects.filter(pk__in=pushes, state=Push.State.FAILED)
        .exclude(code="")
        .order_by()
        .values_list("pk", "code")
    )
    return {pk: str(Code(code).label) for pk, code in rows}


def _shown(cell: Cell, *, is_past: bool, may_start: bool, causes: Mapping[UUID | None, str]) -> ShownCell:
    """Return a cell with what this person can do there: as of a moment there is only the place to look at."""
    there = reverse("installation", args=[cell.installation])
    if is_past or cell.cover in (Cover.DONE, Cover.KEPT):
        return ShownCell(cell, there, "")
    if cell.need == Need.DRIFTED:
        return ShownCell(cell, drift_of(cell.installation), str(_("Look at it")))
    if cell.push and (cell.need == Need.FAILED or cell.cover == Cover.UNDER_WAY):
        url = reverse("push", args=[cell.push])
        return ShownCell(cell, url, str(_("See the push")), causes.get(cell.push, ""))
    if cell.need == Need.BY_HAND:
        return ShownCell(cell, reverse("hand_runbook", args=[cell.installation]), str(_("Runbook")))
    if cell.cover == Cover.NEEDS_YOU and cell.account_id and may_start:
        return ShownCell(cell, reverse("account_rollout", args=[cell.account_id]), str(_("Roll out")))
    return ShownCell(cell, there, "")
