"""Answers probes and Prometheus before anything else looks at the request.

Probes come by IP address and over plain HTTP, also where people need TLS and a host name, and they must be
answered while the database is away. So these three know no session, and stand before every other middleware.
"""

from collections.abc import Callable
from ipaddress import ip_address

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.crypto import constant_time_compare
from django.views.decorators.http import require_safe

from portal.health import metrics, readiness
from portal.private_files import lines_of

GetResponse = Callable[[HttpRequest], HttpResponse]
HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def health(get_response: GetResponse) -> GetResponse:
    """Answer `/healthz`, `/readyz` and `/metrics`; pass everything else on."""

    def middleware(request: HttpRequest) -> HttpResponse:
        answer = ANSWERS.get(request.path_info)
        if answer is None:
            return get_response(request)
        response = answer(request)
        for name, value in HEADERS.items():
            response[name] = value
        return response

    return middleware


@require_safe
def live(request: HttpRequest) -> HttpResponse:
    """Say that this process answers; nothing else."""
    return HttpResponse("ok\n", content_type="text/plain")


@require_safe
def ready(request: HttpRequest) -> HttpResponse:
    """Say which checks failed, by name alone: anybody may ask."""
    states = readiness.states()
    return JsonResponse(states, status=503 if "failed" in states.values() else 200)


@require_safe
def figures(request: HttpRequest) -> HttpResponse:
    """Return the figures to clients that have the token; if none is set, to this machine alone."""
    if settings.METRICS_TOKEN:
        if not _has_token(request):
            return HttpResponse(status=401, headers={"WWW-Authenticate": "Bearer"})
    elif not _is_local(request):
        return HttpResponse(status=403)
    body, content_type = metrics.exposition(request.headers.get("Accept", ""))
    return HttpResponse(body, content_type=content_type)


def _has_token(request: HttpRequest) -> bool:
    """Compare with each token: there are two while one takes the other's place."""
    sent = request.headers.get("Authorization", "")
    return any(constant_time_compare(sent, f"Bearer {token}") for token in lines_of(settings.METRICS_TOKEN))


def _is_local(request: HttpRequest) -> bool:
    """Whether this machine itself asks: to a proxy here, everybody's requests come from this machine."""
    if "X-Forwarded-For" in request.headers or "Forwarded" in request.headers:
        return False
    try:
        return ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False


ANSWERS: dict[str, Callable[[HttpRequest], HttpResponse]] = {
    "/healthz": live,
    "/readyz": ready,
    "/metrics": figures,
}
