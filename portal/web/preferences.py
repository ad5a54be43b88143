"""Shows each page as its reader prefers it: time zone, language, exact times."""

from collections.abc import Callable
from contextlib import ExitStack

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import timezone, translation

from portal.web import times
from portal.zones import zone_of

GetResponse = Callable[[HttpRequest], HttpResponse]


def as_preferred(get_response: GetResponse) -> GetResponse:
    """Answer in the time zone and the language of the person, where these were chosen."""

    def middleware(request: HttpRequest) -> HttpResponse:
        chosen = getattr(request.user, "preferences", None)
        if chosen is None:
            return get_response(request)
        with ExitStack() as stack:
            if chosen.zone and (zone := zone_of(chosen.zone)):
                stack.enter_context(timezone.override(zone))
            if chosen.exact_times:
                stack.enter_context(times.exact_only())
            if chosen.language not in dict(settings.LANGUAGES):
                return get_response(request)
            stack.enter_context(translation.override(chosen.language))
            response = get_response(request)
            response.headers.setdefault("Content-Language", chosen.language)
            return response

    return middleware
