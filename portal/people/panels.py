"""The link from the history to who could act on a day."""

from django.http import HttpRequest

from portal.web.panels import Panel, panel


@panel("history.actions", order=10)
def people_on_a_day(_: object, request: HttpRequest) -> Panel | None:
    """Lead to the page, on the last day that the history is filtered to."""
    if not request.user.has_perm("audit.view_all_events"):
        return None
    day = request.GET.get("until") or request.GET.get("since") or ""
    return Panel("people/_on_a_day.html", {"day": day})
