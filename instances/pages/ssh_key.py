"""The page of the portal's own SSH key: what to install where, and how far servers are with a new one."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from instances.reaching import portal_key, taken_keys
from portal.permissions import permission_required

MOST_WAITING = 100


@require_GET
@permission_required("instances.view_container", raise_exception=True)
def ssh_key(request: HttpRequest) -> HttpResponse:
    context: dict[str, object] = {"campaign_user": settings.CAMPAIGN_USER}
    try:
        found = taken_keys.standing()
    except portal_key.KeyNotUsable as error:
        context |= {"path": str(settings.SSH_KEY_PATH), "reason": str(error)}
    else:
        context |= {"key": found.newest, **_overlap(found)}
    return render(request, "instances/ssh_key.html", context)


def _overlap(found: taken_keys.Standing) -> dict[str, object]:
    """Return how far the servers are with a new key, nothing while there is one key."""
    if found.former is None:
        return {}
    states = [
        (state, found.containers.get(state, 0), found.jump_hosts.get(state, 0)) for state in taken_keys.State
    ]
    return {
        "former": found.former,
        "has_moved": found.next is None,
        "states": states,
        "waiting": found.waiting[:MOST_WAITING],
        "waiting_more": max(0, len(found.waiting) - MOST_WAITING),
    }
