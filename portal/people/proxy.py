"""Notices a proxy in front of the portal that the settings do not know of.

With `TRUSTED_PROXY_HOPS=0` everybody behind it has the proxy's address: then one person's wrong passwords
lock everybody who has no known browser, and the history names the wrong address.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Tags, Warning, register  # noqa: A004  # Django's name
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from portal.people.models import ProxySign

logger = logging.getLogger(__name__)
HEADERS = ("X-Forwarded-For", "Forwarded", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Real-IP")
OF_THIS_MACHINE = {"127.0.0.1", "localhost", "::1"}
AGAIN = 3600.0  # seconds until a process writes down again what it still sees
_told: dict[str, float] = {}
_lock = threading.Lock()


def notice_proxies(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """Write down the signs of a proxy where there should be none: hourly, however many requests have them."""

    def middleware(request: HttpRequest) -> HttpResponse:
        if not settings.TRUSTED_PROXY_HOPS and (sign := sign_of(request)) and _is_news(sign):
            _note(sign, str(request.META.get("REMOTE_ADDR", ""))[:45])
        return get_response(request)

    return middleware


def sign_of(request: HttpRequest) -> str:
    """Return what only happens behind a proxy, or an empty string.

    A header counts from a private address alone: strangers elsewhere can write it by hand.
    """
    try:
        peer = ip_address(str(request.META.get("REMOTE_ADDR", "")))
    except ValueError:
        return ""
    if peer.is_private and any(name in request.headers for name in HEADERS):
        return str(ProxySign.Sign.HEADER)
    return str(ProxySign.Sign.LOOPBACK) if peer.is_loopback and _is_meant_for_others() else ""


def _is_meant_for_others() -> bool:
    """Whether people are to reach the portal from other machines: `make demo` and `make start` are not."""
    hosts = {urlsplit(origin).hostname for origin in settings.CSRF_TRUSTED_ORIGINS}
    return settings.HTTPS or not hosts <= OF_THIS_MACHINE


def _is_news(sign: str) -> bool:
    with _lock:
        now = time.monotonic()
        if sign in _told and now - _told[sign] < AGAIN:
            return False
        _told[sign] = now
        return True


def _note(sign: str, peer: str) -> None:
    try:
        values = {"peer": peer, "last": timezone.now()}
        ProxySign.objects.update_or_create(sign=sign, defaults=values)
    except DatabaseError:
        _told.pop(sign, None)  # the database is away, or not up to date: the next request tries again
        return
    logger.warning(
        "a proxy stands in front of the portal, but TRUSTED_PROXY_HOPS is 0",
        extra={"sign": sign, "peer": peer},
    )


def proxy_signs() -> list[ProxySign]:
    """Return the signs of the last day, if they contradict the settings."""
    if settings.TRUSTED_PROXY_HOPS:
        return []
    outdated = ProxySign.expired().values("pk")
    return list(ProxySign.objects.exclude(pk__in=outdated).order_by("sign"))


@register(Tags.database)
def proxy_is_known(databases: Sequence[str] | None = None, **_: object) -> list[CheckMessage]:
    """Warn of a proxy that was noticed while the portal ran; `check --database default` shows it."""
    if not databases:
        return []
    try:
        signs = proxy_signs()
    except DatabaseError:
        return []  # another check says what is wrong with the database
    return [
        Warning(
            f"A proxy stands in front of the portal, but TRUSTED_PROXY_HOPS is 0. {each.get_sign_display()} "
            f"({each.peer}).",
            hint="Set TRUSTED_PROXY_HOPS to the number of proxies, or everybody shares one address: locks "
            "after wrong passwords then apply to all, and the history names the proxy.",
            id="portal.W001",
        )
        for each in signs
    ]
