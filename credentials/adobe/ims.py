"""Asks Adobe IMS for a token, to learn whether a credential is good. The token itself is thrown away.

No models. `credentials.adobe.http` bounds the call; nothing of the answer is repeated but a short error code.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import requests
from django.db.models import TextChoices
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from credentials.adobe.http import DEADLINE, Answer, Form, NoAnswer, Route, call
from portal.plaintext import Secret

TOKEN_PATH = "/ims/token/v3"  # noqa: S105  # a path
MINIMAL_SCOPES = ("openid", "AdobeID")


class TokenVerdict(TextChoices):
    """What a token request said about a credential; the values are stable, the labels are for people."""

    VALID = "valid", _("Valid")
    WRONG_SECRET = "wrong_secret", _("Wrong client secret")
    UNKNOWN_CLIENT = "unknown_client", _("Unknown Client ID")
    WRONG_SCOPE = "wrong_scope", _("Scope not allowed")
    NO_LONGER_ALLOWED = "no_longer_allowed", _("No longer allowed to get tokens")
    THROTTLED = "throttled", _("Too many checks")
    UNREACHABLE = "unreachable", _("Adobe not reached")
    UNCLEAR = "unclear", _("Answer not understood")
    NOT_ASKED = "not_asked", _("Adobe was not asked")


NEXT_STEPS: Mapping[str, Promise] = {
    TokenVerdict.VALID: _("Adobe accepts this credential. You can continue."),
    TokenVerdict.WRONG_SECRET: _(
        "Adobe knows the Client ID, but not this secret: copy the Client secret of the same credential again."
    ),
    TokenVerdict.UNKNOWN_CLIENT: _(
        "Adobe does not know this Client ID: compare it with the console, and check that it is the right "
        "environment."
    ),
    TokenVerdict.WRONG_SCOPE: _(
        "The credential does not have the scopes that were asked for: check its APIs and scopes."
    ),
    TokenVerdict.NO_LONGER_ALLOWED: _(
        "Adobe no longer gives tokens to this client, as with retired JWT credentials: migrate it to OAuth "
        "Server-to-Server in the Developer Console."
    ),
    TokenVerdict.THROTTLED: _("Adobe asks for a pause: wait a few minutes, then check again."),
    TokenVerdict.UNREACHABLE: _(
        "This says nothing about the credential. You can continue. Ask the network team whether the portal "
        "may reach Adobe (a proxy can be set), and check again later."
    ),
    TokenVerdict.UNCLEAR: _(
        "This says nothing certain about the credential: check again in a few minutes, then compare the "
        "values with the console."
    ),
    TokenVerdict.NOT_ASKED: _(
        "A worker of the portal asks Adobe, but none did in time: no worker is running, or all are busy. "
        "This says nothing about the credential. Ask the people who run the portal, and check again."
    ),
}


@dataclass(frozen=True)
class TokenCheck:
    """The result of one token request: safe to store and to show, holds no value and no token."""

    verdict: TokenVerdict
    detail: str | Promise
    checked_at: datetime = field(default_factory=timezone.now)


def check(
    client_id: str,
    plaintext: Secret,
    scopes: Sequence[str] = MINIMAL_SCOPES,
    *,
    base_url: str,
    proxy: str = "",
    ca_bundle: str = "",
    connect_timeout: float = 3,
    read_timeout: float = 8,
    deadline: float = DEADLINE,
) -> TokenCheck:
    """Request a token from the IMS at `base_url` and say what that proves; the network never makes it raise.

    Times are seconds; `deadline` bounds the whole call, name resolution included. `proxy` is a URL, or empty
    for a direct connection (the environment's proxies are ignored). `ca_bundle` is a PEM file that replaces
    the usual authorities, for networks that inspect TLS. The request marks the secret as used at Adobe.
    """
    route = Route(proxy, ca_bundle, connect_timeout, read_timeout, deadline)
    try:
        return _classify(_request(client_id, plaintext, scopes, base_url, route))
    except NoAnswer as error:
        return _unreachable(error.reason)


class NoToken(Exception):
    """Adobe gave no token; `check` says why."""

    def __init__(self, check: TokenCheck) -> None:
        super().__init__(check.detail)
        self.check = check


def token(client_id: str, plaintext: Secret, scopes: Sequence[str], *, base_url: str, route: Route) -> Secret:
    """Return an access token for one call to Adobe. It is good for a day: never store or log it.

    `NoToken` says why there is none.
    """
    try:
        answer = _request(client_id, plaintext, scopes, base_url, route)
    except NoAnswer as error:
        raise NoToken(_unreachable(error.reason)) from None
    found = _classify(answer)
    if found.verdict != TokenVerdict.VALID:
        raise NoToken(found)
    return Secret(str(answer.json["access_token"]))


def _request(client_id: str, plaintext: Secret, scopes: Sequence[str], base_url: str, route: Route) -> Answer:
    form: Form = {
        "client_id": client_id,
        "client_secret": plaintext,
        "grant_type": "client_credentials",
        "scope": ",".join(filter(None, (scope.strip() for scope in scopes))),
    }
    return call("POST", base_url.rstrip("/") + TOKEN_PATH, route, form=form)


def _classify(answer: Answer) -> TokenCheck:
    """Judge by the body: IMS sends its errors with 400 as well as with 401."""
    status, said = answer.status, answer.json
    error = said.get("error")
    if isinstance(error, str) and error:
        return _classify_error(status, error, str(said.get("error_description", "")))
    token = said.get("access_token")
    if status == requests.codes.ok and isinstance(token, str) and token:
        return TokenCheck(TokenVerdict.VALID, _("Adobe issued a token."))
    return _classify_status(status)


def _classify_error(status: int, error: str, description: str) -> TokenCheck:
    code = error if _ERROR_CODE.fullmatch(error) else "?"
    detail = format_lazy(_("Adobe answered {code} ({status})."), code=code, status=status)
    for wanted_error, wanted_words, verdict in _ERRORS:
        if wanted_error in ("", error) and wanted_words in description.lower():
            return TokenCheck(verdict, detail)
    is_throttled = status == requests.codes.too_many_requests
    return TokenCheck(TokenVerdict.THROTTLED if is_throttled else TokenVerdict.UNCLEAR, detail)


_ERROR_CODE = re.compile(r"[a-z_]{1,40}")
_ERRORS = (
    ("", "no longer allowed", TokenVerdict.NO_LONGER_ALLOWED),
    ("invalid_client", "client_secret", TokenVerdict.WRONG_SECRET),
    ("invalid_client", "client_id", TokenVerdict.UNKNOWN_CLIENT),
    ("invalid_scope", "", TokenVerdict.WRONG_SCOPE),
)
_NOT_FROM_IMS = (
    requests.codes.proxy_authentication_required,
    requests.codes.bad_gateway,
    requests.codes.service_unavailable,
    requests.codes.gateway_timeout,
)


def _classify_status(status: int) -> TokenCheck:
    if status == requests.codes.too_many_requests:
        return TokenCheck(TokenVerdict.THROTTLED, _("Adobe answered 429."))
    if status in _NOT_FROM_IMS:
        message = _("Something between the portal and Adobe answered {status}.")
        return _unreachable(format_lazy(message, status=status))
    if 300 <= status < 400:
        message = _("The address answered with a redirect ({status}), which the portal does not follow.")
    else:
        message = _("The address answered {status} with something that is not a token answer.")
    return TokenCheck(TokenVerdict.UNCLEAR, format_lazy(message, status=status))


def _unreachable(detail: Promise) -> TokenCheck:
    return TokenCheck(TokenVerdict.UNREACHABLE, detail)
