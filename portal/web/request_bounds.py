"""Refuses requests that are no fit request, and forms beyond their bounds, before anything parses them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from django.core.exceptions import BadRequest, SuspiciousOperation
from django.http import HttpRequest, HttpResponse
from django.http.multipartparser import MultiPartParserError
from django.template.loader import render_to_string

from portal.web import tickets
from portal.web.request_shape import REFUSED, Environment, Misfit, boundary, is_encoded, misfit
from portal.web.tickets import Ticket

GetResponse = Callable[[HttpRequest], HttpResponse]
Application = Callable[[Environment, Any], Iterable[bytes]]  # Any: WSGI's start_response


@dataclass(frozen=True)
class Bounds:
    """How large a form may be. `%41` takes eighty times its room while it is decoded, so `%` are counted.

    To people a form names the field that has a NUL, and keeps what else they typed; strangers are refused.
    """

    bytes: int
    fields: int
    percents: int
    may_have_nul: bool


STRANGER = Bounds(64 * 1024, 50, 20_000, may_have_nul=False)
PERSON = Bounds(2_500_000, 12_000, 100_000, may_have_nul=True)  # a rollout of 10,000 is one checkbox each
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


def fit(application: Application) -> Application:
    """Wrap a WSGI application: of a request that is no fit one, Django reads neither type, query nor body.

    It would fail while it makes its request, before any middleware could answer.
    """

    def checked(environ: Environment, start_response: Any) -> Iterable[bytes]:  # Any: see above
        if REFUSED not in environ and (problem := misfit(environ)):
            environ[REFUSED] = problem
        if REFUSED in environ:
            empty(environ)
        return application(environ, start_response)

    return checked


def empty(environ: Environment) -> None:
    """Take out of an environment whatever can make Django fail."""
    environ |= {"CONTENT_TYPE": "", "CONTENT_LENGTH": "0", "QUERY_STRING": "", "HTTP_COOKIE": ""}
    environ["PATH_INFO"] = environ["PATH_INFO"].replace("\0", "")
    if environ[REFUSED].what == "method":
        environ["REQUEST_METHOD"] = "OTHER"  # a log line must not grow with it


def refuse_misfits(get_response: GetResponse) -> GetResponse:
    """Answer what is no fit request with the page of its status."""

    def middleware(request: HttpRequest) -> HttpResponse:
        problem = request.META.get(REFUSED) or misfit(request.META)
        return refusal(request, problem) if problem else get_response(request)

    return middleware


def refusal(request: HttpRequest, problem: Misfit) -> HttpResponse:
    """Return the page for a refused request; the reason goes into its line of the access log."""
    request.META["portal.refusal"] = problem.what
    is_busy = problem.status == HTTPStatus.SERVICE_UNAVAILABLE
    is_ours = problem.status == HTTPStatus.INTERNAL_SERVER_ERROR
    context = {"is_too_large": problem.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "is_busy": is_busy}
    # like Django's own error views without the request: nothing that a page usually shows is known yet
    page = render_to_string("500.html" if is_ours else "400.html", context)
    response = HttpResponse(page, status=problem.status)
    response["Content-Length"] = str(len(response.content))
    if is_busy:
        response["Retry-After"] = "60"
    return response


class BoundedForms:
    """Refuses a form beyond the bounds of who sends it; gives tickets to people.

    It comes after LoginRequiredMiddleware, which sends strangers away from every page but the sign-in, and
    before CsrfViewMiddleware, which parses the form.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self._get_response(request)
        has_ticket = tickets.is_given(request.COOKIES, Ticket.PERSON)
        if request.user.is_authenticated and not has_ticket:
            tickets.give(response, Ticket.PERSON)
        elif has_ticket and not request.user.is_authenticated:
            tickets.take_back(response, Ticket.PERSON)
        return response

    def process_view(self, request: HttpRequest, *_: object) -> HttpResponse | None:
        """Return a refusal, or None to go on; then the form is parsed."""
        if request.method != "POST" or request.content_type not in FORMS:
            return None
        bounds = PERSON if request.user.is_authenticated else STRANGER
        length = int(request.META.get("CONTENT_LENGTH") or 0)
        if request.content_type == FORMS[0]:
            problem = _urlencoded(request, length, bounds)
        else:
            problem = _multipart(request, length, bounds)
        return refusal(request, problem) if problem else None


def _urlencoded(request: HttpRequest, length: int, bounds: Bounds) -> Misfit | None:
    if length > bounds.bytes:
        return Misfit("form", 413)
    is_fit = is_encoded(
        request.body, fields=bounds.fields, percents=bounds.percents, may_have_nul=bounds.may_have_nul
    )
    return None if is_fit else Misfit("form")


def _multipart(request: HttpRequest, length: int, bounds: Bounds) -> Misfit | None:
    """Beyond its bounds it may have one file, of somebody who got the ticket to import: not read twice."""
    is_large = length > bounds.bytes
    if is_large and not tickets.is_given(request.COOKIES, Ticket.IMPORTER):
        return Misfit("form", 413)
    if not is_large and request.body.count(boundary(request.META["CONTENT_TYPE"])) > bounds.fields:
        return Misfit("parts")
    try:
        fields = request.POST
    except (MultiPartParserError, BadRequest, SuspiciousOperation, ValueError, LookupError):
        return Misfit("multipart")
    has_nul = any("\0" in text for name, values in fields.lists() for text in (name, *values))
    return Misfit("form") if has_nul and not bounds.may_have_nul else None
