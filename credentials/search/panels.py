"""The field of the search in the header of every page."""

from django.contrib.auth.models import AnonymousUser, User
from django.http import HttpRequest

from credentials.search.kinds import allowed
from credentials.search.providers import KINDS
from portal.web.panels import Panel, panel


@panel("header", order=10)
def field(person: User | AnonymousUser, _request: HttpRequest) -> Panel | None:
    """Offer the search to people who may find anything."""
    return Panel("search/_top.html") if allowed(KINDS, person) else None
