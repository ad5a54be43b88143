"""Browsers in which a person signed in before: a signed cookie that proves nothing but that.

Tries from such a browser are counted apart, so that nobody else's tries lock it. It is no login: five wrong
passwords lock it like an address. A browser keeps several people, for machines that are shared.
"""

import secrets

from django.conf import settings
from django.http import HttpRequest, HttpResponse

COOKIE = "__Host-known" if settings.HTTPS else "known"
SALT = "portal.people.devices"
KEPT = 180 * 24 * 3600  # seconds after the last sign-in
MOST_PEOPLE = 8


def known(request: HttpRequest, name_hash: str) -> str:
    """Return this browser's mark for a person, or an empty string if nobody of that name signed in here."""
    return _marks(request).get(name_hash[:16], "")


def remember(request: HttpRequest, response: HttpResponse, name_hash: str) -> None:
    """Let the browser show at later tries that this person signed in here."""
    marks = _marks(request)
    mark = marks.pop(name_hash[:16], "") or secrets.token_hex(8)
    kept = [*marks.items(), (name_hash[:16], mark)][-MOST_PEOPLE:]
    response.set_signed_cookie(
        COOKIE,
        ".".join(f"{person}-{mark}" for person, mark in kept),
        salt=SALT,
        max_age=KEPT,
        secure=settings.HTTPS,
        httponly=True,
        samesite="Lax",
    )


def _marks(request: HttpRequest) -> dict[str, str]:
    text = request.get_signed_cookie(COOKIE, default="", salt=SALT, max_age=KEPT)
    pairs = (each.partition("-") for each in (text or "").split("."))
    return {person: mark for person, _dash, mark in pairs if mark}
