"""Tickets: signed cookies by which the web server knows, before it reads a body, how large that may be.

It cannot ask the database who sends a request, because it must not wait. A ticket opens nothing: session and
permissions are checked as ever, once the request is there. Somebody who copies one may send a larger body.
"""

from enum import StrEnum

from django.conf import settings
from django.core.signing import BadSignature, TimestampSigner
from django.http import HttpResponse
from django.http.cookie import parse_cookie


class Ticket(StrEnum):
    """The people that tickets are given to."""

    PERSON = "person"
    """Somebody who has signed in."""
    IMPORTER = "importer"
    """Somebody who may import an inventory; the browser sends it to that page alone."""


def _cookie(ticket: Ticket) -> str:
    prefix = ("__Host-" if ticket == Ticket.PERSON else "__Secure-") if settings.HTTPS else ""
    return f"{prefix}ticket-{ticket}"


def _signer() -> TimestampSigner:
    return TimestampSigner(salt="portal.tickets")


def give(response: HttpResponse, ticket: Ticket, *, path: str = "/") -> None:
    """Set the cookie of a ticket that is valid as long as a session can be."""
    response.set_cookie(
        _cookie(ticket),
        _signer().sign(ticket),
        path=path,
        secure=settings.HTTPS,
        httponly=True,
        samesite="Lax",
    )


def take_back(response: HttpResponse, ticket: Ticket) -> None:
    """Remove the cookie of a ticket for all pages."""
    response.delete_cookie(_cookie(ticket), samesite="Lax")


def is_given(cookies: dict[str, str], ticket: Ticket) -> bool:
    """Whether a request with these cookies has such a ticket, and the ticket is genuine and not too old."""
    try:
        said = _signer().unsign(cookies.get(_cookie(ticket), ""), max_age=settings.SESSION_ABSOLUTE_SECONDS)
    except BadSignature:
        return False
    return said == ticket


def of_header(header: str) -> Ticket | None:
    """Return the best ticket in a Cookie header, or None."""
    if "ticket-" not in header:
        return None
    cookies = parse_cookie(header)
    return next((each for each in (Ticket.IMPORTER, Ticket.PERSON) if is_given(cookies, each)), None)
