"""Timelines of an installation, a container and an instance, what they held at a moment, and one reading."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET

from instances.discovery.as_of import Answer, as_of_each
from instances.discovery.models import Observation, Reading
from instances.discovery.timeline import (
    FIELDS,
    Change,
    Scope,
    Wanted,
    changes,
    meanings,
    of_container,
    of_installation,
    of_instance,
    timeline,
    values,
)
from instances.failures import explain
from instances.models import Container, Installation, Instance
from instances.pages.moments import AsOf
from instances.pages.readings import UNREAD
from portal.permissions import permission_required

PAGE = 25
MOST_PAGES = 40
"""What is older is reached by a moment: each page costs as much as all the newer ones."""
MOST_NAMES = 200


@dataclass(frozen=True)
class Held:
    """What one installation held at the moment, as far as that is known."""

    about: str
    answer: Answer
    facts: list[tuple[object, str]]
    """Of what is known, or of the sight before."""
    changes: list[Change]
    """What differs between the sights before and after it."""
    is_claimed_twice: bool
    """The clock was set back, and the moment came twice."""


@require_GET
@permission_required("instances.view_instance", raise_exception=True)
def installation_detail(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Show what an installation holds, what it held at a moment, and its timeline."""
    row = get_object_or_404(Installation.objects.select_related("instance", "container"), pk=pk)
    sight = Observation.objects.filter(installation=pk, ended=None).first()
    context = {
        "installation": row,
        "sight": sight,
        "facts": _facts(sight, meanings([sight])) if sight else [],
        **_timeline(request, of_installation(row)),
    }
    return render(request, "instances/installation_detail.html", context)


@require_GET
@permission_required("instances.view_container", raise_exception=True)
def container_timeline(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Show the timeline of a container, and what its installations held at a moment."""
    row = get_object_or_404(Container, pk=pk)
    context = {"container": row, **_timeline(request, of_container(row))}
    return render(request, "instances/container_timeline.html", context)


@require_GET
@permission_required("instances.view_instance", raise_exception=True)
def instance_timeline(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Show the timeline of an instance, and what its installations held at a moment."""
    row = get_object_or_404(Instance, pk=pk)
    context = {"instance": row, **_timeline(request, of_instance(row))}
    return render(request, "instances/instance_timeline.html", context)


@require_GET
@permission_required("instances.view_container", raise_exception=True)
def reading_detail(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Show one reading: who asked, how it ended, and what was found."""
    reading = get_object_or_404(Reading.objects.select_related("container"), pk=pk)
    names = sorted(reading.found)
    entered = dict(reading.container.installations.values_list("instance__name", "pk"))
    context = {
        "reading": reading,
        "explanation": explain(reading.code) if reading.code else None,
        "found": [
            (name, UNREAD.get(reading.found[name], ""), entered.get(name)) for name in names[:MOST_NAMES]
        ],
        "found_more": max(0, len(names) - MOST_NAMES),
    }
    return render(request, "instances/reading_detail.html", context)


def _timeline(request: HttpRequest, scope: Scope) -> dict[str, object]:
    """Return what the partials of the timeline and of the moment need."""
    form = AsOf(request.GET)
    moment: datetime | None = form.cleaned_data["at"] if form.is_valid() else None
    everything = request.GET.get("show") == "all"
    page = _page(request.GET.get("page", ""))
    found = timeline(scope, Wanted(page * PAGE + 1, until=moment, everything=everything))
    has_more = len(found) > page * PAGE
    return {
        "form": form,
        "moment_asked": moment,
        "held": list(_held(scope, moment)) if moment else [],
        "lines": found[(page - 1) * PAGE : page * PAGE],
        "page": page,
        "newer": page - 1,
        "older": page + 1 if has_more and page < MOST_PAGES else None,
        "is_cut": has_more and page == MOST_PAGES,
        "everything": everything,
        "days_kept": settings.KEEP_READINGS_DAYS,
        "zone": timezone.get_current_timezone_name(),
    }


def _page(text: str) -> int:
    is_number = text.isascii() and text.isdigit() and len(text) < 6
    return min(max(1, int(text)), MOST_PAGES) if is_number else 1


def _held(scope: Scope, moment: datetime) -> Iterator[Held]:
    answers = as_of_each(installation_ids=scope.installations.keys(), moment=moment)
    known = meanings([each.before for each in answers.values() if each.before])
    for pk, about in scope.installations.items():
        answer = answers[pk]
        before, after = answer.before, answer.after
        differing = changes(before, after) if before and after else []
        is_claimed_twice = bool(before and after and before.pk != after.pk and after.at <= moment)
        yield Held(about, answer, _facts(before, known) if before else [], differing, is_claimed_twice)


def _facts(row: Observation, known: Mapping[int, Sequence[tuple[object, str]]]) -> list[tuple[object, str]]:
    found = values(row)
    return [*known[row.pk], *((words, found[name] or str(_("none"))) for name, words in FIELDS.items())]
