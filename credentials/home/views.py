"""The home page: what needs a person now, what is under way, and what to do first in an empty portal."""

from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from credentials.home.first_steps import first_steps
from credentials.home.needs import needs
from credentials.rollouts.models import Rollout
from credentials.rollouts.progress import progress_of, with_open_pushes
from portal.audit.chain import kept_head
from portal.people.proxy import proxy_signs

SHOWN = 5
MOST_UNDER_WAY = 100  # rollouts; beyond them the page says "at least"


@require_GET
@permission_required("rollouts.view_rollout", raise_exception=True)
def home(request: HttpRequest) -> HttpResponse:
    """Show what needs me now."""
    open_rollouts = with_open_pushes(Rollout.objects.select_related("secret__account"))
    under_way = list(open_rollouts[:MOST_UNDER_WAY])
    running = under_way[:SHOWN]
    progress = progress_of(running)
    is_new = not running and not Rollout.objects.exists()
    context = {
        "is_history_set_back": _is_history_set_back(request),
        "proxy_signs": proxy_signs() if request.user.has_perm("auth.change_user") else [],
        "needs": [need for need in needs() if need.count],
        "running": [(rollout, progress[rollout.pk]) for rollout in running],
        "running_count": len(under_way),
        "are_more_running": len(under_way) == MOST_UNDER_WAY,
        "is_new": is_new,
        "steps": first_steps() if is_new and request.user.has_perm("instances.change_inventory") else [],
    }
    return render(request, "home/home.html", context)


def _is_history_set_back(request: HttpRequest) -> bool:
    """Whether to tell the people who can verify the history that something is missing in it."""
    return request.user.has_perm("audit.export_events") and bool(kept_head.compare().problem)
