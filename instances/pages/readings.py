"""Reading: what a container's page says of it, the page of all containers, and the buttons to ask for it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Count, Exists, OuterRef, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_GET, require_POST

from instances.discovery import schedule
from instances.discovery.doubts import with_strays
from instances.discovery.models import Reading
from instances.discovery.services import ask
from instances.failures import Code, Explanation, explain
from instances.models import NOT_RETIRED, Container, Installation
from instances.pages.saving import is_by_hand, is_retired
from instances.requirements import all_met
from portal.audit.trail import PORTAL, Actor
from portal.permissions import permission_required

PAGE = 50
MOST_STRAYS = 100

UNREAD: dict[str, Promise] = {
    "none": gettext_lazy("Its file is a folder, or a link that leads nowhere."),
    "unreadable": gettext_lazy("Its file cannot be read by the user who runs nlserver."),
    "busy": gettext_lazy("A push was under way, so its file was left alone. Read again in a minute."),
    "too_big": gettext_lazy("Its file is larger than 16 MB, which is too large for a configuration."),
    "moving": gettext_lazy("Its file was being written while it was read. Read again."),
}
"""Why the file of an instance was not read, by the script's word."""


@dataclass(frozen=True)
class LastReading:
    """The last reading of a container, compared with its inventory."""

    reading: Reading
    unknown: list[tuple[str, Promise | str]]
    """Instances that were found there and are not in the inventory, with why their file was not read."""
    gone: list[str]
    """Instances of the inventory that have no file there."""
    unread: list[tuple[str, Promise | str]]
    """Instances of the inventory whose file was not read, and why."""
    still_there: list[str]
    """Instances that are retired here and have a file there all the same."""
    explanation: Explanation | None

    @property
    def is_unasked(self) -> bool:
        """Whether no person asked for it: it was the container's turn, or a rotation needs it."""
        return self.reading.person_id is None and self.reading.asked_by == PORTAL.name

    @property
    def was_turn(self) -> bool:
        """Whether it was asked for when it was the container's turn; a rotation asks at other times."""
        return schedule.was_turn(self.reading.container_id, self.reading.asked)


def last_reading(
    container: Container, names: set[str], *, retired: Collection[str] = ()
) -> LastReading | None:
    """Return the newest reading, compared with the names of the instances in use and retired there."""
    reading = container.container_readings.order_by("-asked").first()
    if reading is None:
        return None
    found: dict[str, str] = reading.found
    words = {name: UNREAD.get(why, why) for name, why in sorted(found.items())}
    is_read = reading.state == Reading.State.SUCCEEDED
    return LastReading(
        reading=reading,
        unknown=[(name, why) for name, why in words.items() if name not in names and name not in retired],
        gone=sorted(names - found.keys()) if is_read and not reading.further else [],
        unread=[(name, why) for name, why in words.items() if why and name in names],
        still_there=sorted(found.keys() & set(retired)),
        explanation=explain(reading.code) if reading.code else None,
    )


def how_often() -> str:
    """Return how often containers are read without being asked for; an empty text if they are not."""
    each = schedule.interval()
    if each is None:
        return ""
    minutes = int(each.total_seconds()) // 60
    if minutes % 60:
        return ngettext("every minute", "every %(count)d minutes", minutes) % {"count": minutes}
    return ngettext("every hour", "every %(count)d hours", minutes // 60) % {"count": minutes // 60}


@require_POST
@permission_required("discovery.read_container", raise_exception=True)
def container_read(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Have the container read as soon as its turn comes; the page shows how it goes."""
    container = get_object_or_404(Container, pk=pk)
    if is_retired(request, container) or is_by_hand(request, container):
        return redirect("container", pk=pk)
    if container.is_enabled:
        ask(containers=[container], actor=Actor.of(request))
    else:
        messages.error(request, _("%s is off: the portal does not log in there.") % container)
    return redirect(reverse("container", args=[pk]) + "#contents")


@require_POST
@permission_required("discovery.read_container", raise_exception=True)
def readings_ask(request: HttpRequest) -> HttpResponse:
    """Have every container in use read."""
    if not ask(containers=Container.objects.in_use(), actor=Actor.of(request)):
        messages.info(request, _("No container is on, so none was read."))
    return redirect("readings")


@require_GET
@permission_required("instances.view_container", raise_exception=True)
def readings(request: HttpRequest) -> HttpResponse:
    """Show the newest reading of every container: how far they are, what failed, and what nobody entered."""
    newest = newest_of_each()
    states = dict(newest.order_by().values_list("state").annotate(count=Count("*")))
    is_open = any(states.get(state) for state in Reading.OPEN)
    failed = newest.filter(state=Reading.State.FAILED)
    read = Reading.objects.filter(container=OuterRef("pk"))
    page = Paginator(failed, PAGE).get_page(request.GET.get("page"))
    strays = _strays(newest)
    context = {
        "states": states,
        "total": sum(states.values()),
        "ended": sum(count for state, count in states.items() if state not in Reading.OPEN),
        "is_open": is_open,
        "page_obj": page,
        "failed": [(reading.container, Code(reading.code).label, explain(reading.code)) for reading in page],
        "strays": strays[:MOST_STRAYS],
        "strays_more": max(0, len(strays) - MOST_STRAYS),
        "how_often": how_often(),
        "next": schedule.next_of_all(timezone.now()),
        "never": Container.objects.in_use().filter(~Exists(read)).count(),
    }
    is_part = request.headers.get("HX-Request") == "true"
    template = "instances/_readings_live.html" if is_part else "instances/readings.html"
    return render(request, template, context)


def newest_of_each() -> QuerySet[Reading]:
    """Return the newest reading of every container that is not retired, by the name of the container."""
    newest = Reading.objects.newest().filter(all_met([NOT_RETIRED.of("container")]))
    return newest.select_related("container").order_by("container__name")


def _strays(newest: QuerySet[Reading]) -> list[tuple[Container, list[str]]]:
    """Return containers on which instances were found that are not in the inventory, with their names."""
    read = list(with_strays(newest.filter(state=Reading.State.SUCCEEDED)))
    entered = entered_on(Installation.objects.filter(container__in=[row.container_id for row in read]))
    found = [(row.container, strays_of(row, entered)) for row in read]
    return [(container, strays) for container, strays in found if strays]


def entered_on(installations: QuerySet[Installation]) -> dict[UUID, set[str]]:
    """Return the names of the instances that the inventory has, by container; one query."""
    entered: dict[UUID, set[str]] = {}
    for container, name in installations.order_by().values_list("container", "instance__name"):
        entered.setdefault(container, set()).add(name)
    return entered


def strays_of(reading: Reading, entered: Mapping[UUID, set[str]]) -> list[str]:
    """Return the instances that a successful reading found and the inventory does not have there."""
    if reading.state != Reading.State.SUCCEEDED:
        return []
    return sorted(set(reading.found) - entered.get(reading.container_id, set()))
