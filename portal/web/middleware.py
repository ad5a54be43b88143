"""What every request passes: room, an identity, a log line, the session's limit, no caching, refusals.

Of an address with a secret in it only the rest gets to a page.
"""

import logging
import time
import uuid
from collections.abc import Callable
from contextlib import nullcontext
from ipaddress import ip_address

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import logout
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.http import escape_leading_slashes

from portal.audit.trail import Actor, record
from portal.no_secrets import SECRET_IN_ADDRESS, without_secrets
from portal.processes.logs import bound
from portal.processes.serving import serving
from portal.web.error_pages import wrong_method

access = logging.getLogger("portal.access")
GetResponse = Callable[[HttpRequest], HttpResponse]
ROOM = 40_000
"""Places on the interpreter's stack: Python takes 512 kB for them; 200 kB of that are for further calls."""


def room_for_calls(get_response: GetResponse) -> GetResponse:
    """Let all calls of a request find place in one piece of the interpreter's stack.

    CPython keeps the variables of running functions in pieces of 16 kB. Where a page goes back and forth
    across the end of one, it takes the next from the system and returns it again at each call: pages took
    up to three times as long, depending on how deep the server's own calls were. A function that says it
    needs much gets a piece with room for all that it calls.
    """

    def middleware(request: HttpRequest) -> HttpResponse:
        return get_response(request)

    middleware.__code__ = middleware.__code__.replace(co_stacksize=ROOM)
    return middleware


def client_ip(request: HttpRequest) -> str:
    """Return the client's address: the peer, or the hop that the trusted proxies in front of us report."""
    hops = [hop.strip() for hop in request.headers.get("X-Forwarded-For", "").split(",") if hop.strip()]
    peer = str(request.META.get("REMOTE_ADDR", ""))
    if settings.TRUSTED_PROXY_HOPS and len(hops) >= settings.TRUSTED_PROXY_HOPS:
        return _bare_address(hops[-settings.TRUSTED_PROXY_HOPS]) or peer
    return peer


def _bare_address(hop: str) -> str:
    """Return the address that a proxy reports, or an empty string if it is none.

    Some proxies add the client's port, which is another one in each connection: with it, lock-outs would
    never meet the same client twice.
    """
    host = hop[1:].partition("]")[0] if hop.startswith("[") else hop
    if host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        return str(ip_address(host.partition("%")[0]))
    except ValueError:
        return ""


def request_identity(get_response: GetResponse) -> GetResponse:
    """Give each request an id, for log and audit trail, keep the client's address, and log the request."""

    def middleware(request: HttpRequest) -> HttpResponse:
        started = time.perf_counter()
        request.META["portal.request_id"] = uuid.uuid4().hex[:16]
        request.META["portal.client_ip"] = client_ip(request)
        names = {"request_id": request.META["portal.request_id"], "client": request.META["portal.client_ip"]}
        with serving(), bound(**names):
            response = get_response(request)
            _log(request, response, time.perf_counter() - started)
        response["X-Request-ID"] = request.META["portal.request_id"]
        return response

    return middleware


def _log(request: HttpRequest, response: HttpResponse, seconds: float) -> None:
    """Write the access log's line; neither query nor referrer: people search for what must not be there."""
    person = getattr(request, "_cached_user", None)  # only if known: a line must not ask the database
    fields = {
        "method": (request.method or "")[:16],
        "path": request.path[:200],
        "status": response.status_code,
        "milliseconds": round(seconds * 1000, 1),
        "user": getattr(person, "pk", None),
        "reason": request.META.get("portal.refusal"),
    }
    access.info("request", extra=fields)


def session_limit(get_response: GetResponse) -> GetResponse:
    """End a session `SESSION_ABSOLUTE_SECONDS` after its login, however busy it is."""

    def middleware(request: HttpRequest) -> HttpResponse:
        if request.user.is_authenticated:
            started = request.session.setdefault("signed_in_at", time.time())
            if time.time() - started > settings.SESSION_ABSOLUTE_SECONDS:
                logout(request)
        with bound(user=request.user.pk) if request.user.is_authenticated else nullcontext():
            response = get_response(request)
        if request.headers.get("HX-Request") == "true" and not request.user.is_authenticated:
            # a live part would swap the sign-in page into itself; the whole page has to go there
            return HttpResponse(headers={"HX-Refresh": "true"})
        return response

    return middleware


def no_store(get_response: GetResponse) -> GetResponse:
    """Keep pages out of browser and proxy caches: they name credentials and hosts."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        response.setdefault("Cache-Control", "no-store")
        return response

    return middleware


def clean_addresses(get_response: GetResponse) -> GetResponse:
    """Lead from an address with a secret in its query to the same one without it, and say so.

    Filters and the search take what is typed through the address. A refusal at their field would leave the
    secret there, on the screen and in whatever is copied or printed.
    """

    def middleware(request: HttpRequest) -> HttpResponse:
        if request.method not in ("GET", "HEAD") or (rest := without_secrets(request.GET)) == request.GET:
            return get_response(request)
        request.META |= {"portal.refusal": "secret", "QUERY_STRING": rest.urlencode()}
        messages.warning(request, str(SECRET_IN_ADDRESS))
        return HttpResponseRedirect(escape_leading_slashes(request.get_full_path()))

    return middleware


def refusals(get_response: GetResponse) -> GetResponse:
    """Record every refused request of a signed-in person in the audit trail."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        if response.status_code == 403 and request.user.is_authenticated:
            with transaction.atomic():
                record(
                    "access.refused",
                    actor=Actor.of(request),
                    details={"method": request.method or "", "path": request.path[:200]},
                )
        return response

    return middleware


def wrong_methods(get_response: GetResponse) -> GetResponse:
    """Show a page where a browser asks for an address that takes only what a button sends."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        if response.status_code != 405 or request.headers.get("HX-Request") == "true":
            return response
        # what asks for JSON, or for anything, is a program: it reads the status
        is_browser = "text/html" in request.headers.get("Accept", "")
        return wrong_method(request, response.get("Allow", "")) if is_browser else response

    return middleware
