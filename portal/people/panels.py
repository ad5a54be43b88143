"""The link from the history to who could act on a day."""

from django.http import HttpRequest
from django.utils import timezone
from django.utils.dateparse import parse_date

from portal.audit.labels import name_values
from portal.roles import LABELS
from portal.web.panels import Panel, panel

for detail in ("role", "former_role"):
    name_values(detail, LABELS.items())


@panel("history.actions", order=10)
def people_on_a_day(_: object, request: HttpRequest) -> Panel | None:
    """Lead to the page, on the last day that the history is filtered to; on today, if that is yet to come."""
    if not request.user.has_perm("audit.view_all_events"):
        return None
    day = request.GET.get("until") or request.GET.get("since") or ""
    today = timezone.localdate().isoformat()
    return Panel("people/_on_a_day.html", {"day": today if _is_later(day) else day})


def _is_later(day: str) -> bool:
    """Whether a day is yet to come; what is no day is not."""
    try:
        found = parse_date(day)
    except ValueError:
        return False
    return found is not None and found > timezone.localdate()
