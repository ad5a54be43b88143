"""The home page: for each kind of person what they came for, and what to do first in an empty portal."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from credentials.home.counting import Counted, everything
from credentials.home.first_steps import first_steps
from credentials.home.fleet import fleet_lines
from credentials.home.needs import needs, needs_of_deliveries
from credentials.home.perspectives import Perspective, perspectives_of
from credentials.home.queue import being_retried, causes
from credentials.home.standing import chart_of, last_exports, oldest_secrets, weeks
from credentials.rollouts.models import Push, Rollout
from credentials.rollouts.progress import progress_of, retries_of, with_open_pushes
from credentials.rollouts.services import tries_by_itself
from credentials.rotation.due import is_unplanned, upcoming
from credentials.rotation.models import Rotation
from portal.audit.chain import kept_head
from portal.audit.verified import last_verified, noted_heads
from portal.people.proxy import proxy_signs
from portal.permissions import permission_required

SHOWN = 5
MOST_UNDER_WAY = 100  # rollouts; beyond them the page says "at least"
LIVE_SECONDS = 30
"""How often the page asks what is new."""
SECONDS_UNDER_WAY = 3
"""The same while a retry has no outcome."""
Context = dict[str, object]


@require_GET
@permission_required("rollouts.view_rollout", raise_exception=True)
def home(request: HttpRequest) -> HttpResponse:
    """Show what this person comes for; `?for=` chooses another one of the pages that they may use."""
    offered = perspectives_of(request.user)
    asked = request.GET.get("for")
    chosen = next((each for each in offered if each.value == asked), offered[0])
    is_new = not Rollout.objects.exists()
    context = {
        "perspective": chosen,
        "offered": offered if len(offered) > 1 else [],
        "is_new": is_new,
        "live_seconds": LIVE_SECONDS,
        "is_history_set_back": _is_history_set_back(request),
        "proxy_signs": proxy_signs() if request.user.has_perm("auth.change_user") else [],
        "steps": first_steps() if is_new and request.user.has_perm("instances.change_inventory") else [],
        **PAGES[chosen](),
    }
    return render(request, f"home/{chosen.value}.html", context)


def _fleet() -> Context:
    counted = everything.get()
    rotations = Rotation.objects.open().select_related("account", "old", "new").order_by("requested")
    return {
        "lines": fleet_lines(counted.tallies),
        **_needs(counted),
        "rotations": rotations[:SHOWN],
        "rotation_count": Rotation.objects.open().count(),
        "upcoming": upcoming()[:SHOWN],
        "is_unplanned": is_unplanned(),
        **_under_way(),
        **_recent(),
    }


def _queue() -> Context:
    found, retries = causes(), retries_of(Push.objects.retried_lately())
    under_way = Push.objects.being_retried().count()
    return {
        "live_seconds": SECONDS_UNDER_WAY if under_way else LIVE_SECONDS,
        "being_retried": being_retried(),
        "being_retried_count": under_way,
        "causes": found,
        "waiting": sum(cause.count for cause in found) + Push.objects.sent_again().count(),
        "tries_by_itself": tries_by_itself(),
        "retries": retries,
        "needs": [need for need in needs_of_deliveries() if need.count],
        **_under_way(),
    }


def _audit() -> Context:
    now = timezone.now()
    found, counted = weeks(now), everything.get()
    return {
        "chart": chart_of(found) if any(week.total or week.rotated for week in found) else None,
        "weeks": list(reversed(found)),
        "ages": oldest_secrets(now, counted.tallies),
        **_needs(counted),
        "verification": last_verified(),
        "noted_heads": noted_heads(),
        "exports": last_exports(),
    }


PAGES: dict[Perspective, Callable[[], Context]] = {
    Perspective.FLEET: _fleet,
    Perspective.QUEUE: _queue,
    Perspective.AUDIT: _audit,
}


def _needs(counted: Counted) -> Context:
    """Return what needs somebody, and how old that is where somebody else's count answers."""
    return {
        "counted": counted.at if counted.is_kept else None,
        "needs": [need for need in needs(counted) if need.count],
    }


def _under_way() -> Context:
    open_rollouts = with_open_pushes(Rollout.objects.select_related("secret__account"))
    under_way = list(open_rollouts[:MOST_UNDER_WAY])
    running = under_way[:SHOWN]
    progress = progress_of(running)
    return {
        "running": [(rollout, progress[rollout.pk]) for rollout in running],
        "running_count": len(under_way),
        "are_more_running": len(under_way) == MOST_UNDER_WAY,
    }


def _recent() -> Context:
    recent = list(Rollout.objects.select_related("secret__account").order_by("-number")[:SHOWN])
    progress = progress_of(recent)
    return {"recent": [(rollout, progress[rollout.pk]) for rollout in recent]}


def _is_history_set_back(request: HttpRequest) -> bool:
    """Whether to tell the people who can verify the history that something is missing in it."""
    return request.user.has_perm("audit.export_events") and bool(kept_head.compare().problem)
