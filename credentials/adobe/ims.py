"""Asks Adobe IMS for a token, to learn whether a credential is good. The token itself is thrown away.

No models. What answers is hostile until proven otherwise: body and time are bounded, redirects are not
followed, and nothing of the answer is repeated but a short error code.
"""

import http.client
import json
import re
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

import requests
from django.db.models import TextChoices
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError, NameResolutionError, NewConnectionError, ReadTimeoutError
from urllib3.poolmanager import PoolManager

from portal.plaintext import Secret

TOKEN_PATH = "/ims/token/v3"  # noqa: S105  # a path
MAX_BODY = 64 * 1024
DEADLINE = 12.0
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


NEXT_STEPS: Mapping[str, Promise] = {
    TokenVerdict.VALID: _("Adobe accepts this credential. Go on."),
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
        "Nothing was learned about the credential. You can go on; ask the network team whether the portal "
        "may reach Adobe (a proxy can be set), and check again later."
    ),
    TokenVerdict.UNCLEAR: _(
        "Nothing certain was learned about the credential: check again in a few minutes, then compare the "
        "values with the console."
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
    question = _Question(
        url=base_url.rstrip("/") + TOKEN_PATH,
        client_id=client_id,
        secret=plaintext,
        scope=",".join(filter(None, (scope.strip() for scope in scopes))),
        proxy=proxy,
        verify=ca_bundle or True,
        timeout=(connect_timeout, read_timeout),
    )
    # A thread, because no timeout of requests covers name resolution, many addresses or a dripping server.
    # Daemon: a stuck resolver must not keep the process from ending.
    thread = threading.Thread(target=question.ask, name="ims-check", daemon=True)
    thread.start()
    thread.join(deadline)
    # Taken before the cut, which the thread would take for the end of an answer.
    answer = question.answer
    question.line.cut()
    return answer or _unreachable(_("No complete answer came in time."))


class _Line:
    """The sockets of one call, so that another thread can cut them in the middle of a blocking read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._is_cut = False

    def watch(self, sock: socket.socket) -> None:
        with self._lock:
            # A duplicate, because TLS takes the original away; a shutdown reaches the connection through any.
            self._sockets.append(sock.dup())
            if self._is_cut:
                self._shut_down()

    def cut(self) -> None:
        with self._lock:
            self._is_cut = True
            self._shut_down()

    def refuse_cut(self) -> None:
        if self._is_cut:
            raise ConnectionAbortedError

    def close(self) -> None:
        with self._lock:
            while self._sockets:
                self._sockets.pop().close()

    def _shut_down(self) -> None:
        for sock in self._sockets:
            with suppress(OSError):  # the other side was faster
                sock.shutdown(socket.SHUT_RDWR)


_here = threading.local()
"""`line`: the _Line of the call that runs in this thread."""


class _PlainConnection(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        sock = super()._new_conn()
        _here.line.watch(sock)
        return sock


class _TLSConnection(HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        sock = super()._new_conn()
        _here.line.watch(sock)
        return sock

    def _tunnel(self) -> None:
        super()._tunnel()
        # A cut looks like the end of the proxy's headers: do not begin TLS on a dead connection.
        _here.line.refuse_cut()


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _PlainConnection


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


class _Adapter(HTTPAdapter):
    """Opens watched connections, directly and through a proxy."""

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **kwargs: object) -> None:
        super().init_poolmanager(connections, maxsize, block, **kwargs)
        _watch_pools(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **kwargs: object) -> PoolManager:
        manager: PoolManager = super().proxy_manager_for(proxy, **kwargs)
        _watch_pools(manager)
        return manager


def _watch_pools(manager: PoolManager) -> None:
    manager.pool_classes_by_scheme = {"http": _PlainPool, "https": _TLSPool}


@dataclass
class _Question:
    url: str
    client_id: str
    secret: Secret
    scope: str
    proxy: str
    verify: bool | str
    timeout: tuple[float, float]
    line: _Line = field(default_factory=_Line)
    answer: TokenCheck | None = None

    def ask(self) -> None:
        _here.line = self.line
        try:
            self.answer = self._post()
        except (requests.RequestException, HTTPError, http.client.HTTPException, OSError, ValueError) as exc:
            # The exception holds the request and so the secret: only its kind leaves this place.
            self.answer = _unreachable(_why(exc))
        finally:
            self.line.close()

    def _post(self) -> TokenCheck:
        with requests.Session() as session:
            session.trust_env = False
            session.mount("http://", _Adapter())
            session.mount("https://", _Adapter())
            with session.post(
                self.url,
                data={
                    "client_id": self.client_id,
                    "client_secret": self.secret.reveal(),
                    "grant_type": "client_credentials",
                    "scope": self.scope,
                },
                headers={"Accept": "application/json", "Accept-Encoding": "identity"},
                proxies={"http": self.proxy, "https": self.proxy} if self.proxy else None,
                verify=self.verify,
                timeout=self.timeout,
                allow_redirects=False,
                stream=True,
            ) as response:
                return _classify(response.status_code, _bounded(response))


def _bounded(response: requests.Response) -> bytes:
    """Return the body, or nothing when it is longer than any token answer."""
    body = b""
    for chunk in response.iter_content(8192):
        body += chunk
        if len(body) > MAX_BODY:
            return b""
    return body


def _classify(status: int, body: bytes) -> TokenCheck:
    """Judge by the body: IMS sends its errors with 400 as well as with 401."""
    answer = _json_object(body)
    error = answer.get("error")
    if isinstance(error, str) and error:
        return _classify_error(status, error, str(answer.get("error_description", "")))
    token = answer.get("access_token")
    if status == requests.codes.ok and isinstance(token, str) and token:
        return TokenCheck(TokenVerdict.VALID, _("Adobe issued a token."))
    return _classify_status(status)


def _json_object(body: bytes) -> dict[str, object]:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}


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
        message = _("Something before Adobe answered {status}.")
        return _unreachable(format_lazy(message, status=status))
    if 300 <= status < 400:
        message = _("The address answered with a redirection ({status}), which is not followed.")
    else:
        message = _("The address answered {status} with something that is not a token answer.")
    return TokenCheck(TokenVerdict.UNCLEAR, format_lazy(message, status=status))


def _unreachable(detail: Promise) -> TokenCheck:
    return TokenCheck(TokenVerdict.UNREACHABLE, detail)


_REASONS: tuple[tuple[tuple[type[Exception], ...], Promise], ...] = (
    (
        (requests.exceptions.ProxyError, requests.exceptions.InvalidProxyURL),
        _("The proxy could not be used."),
    ),
    (
        (
            requests.exceptions.InvalidURL,
            requests.exceptions.InvalidSchema,
            requests.exceptions.MissingSchema,
        ),
        _("The address of Adobe IMS in the settings is not valid."),
    ),
    ((requests.exceptions.SSLError,), _("The TLS certificate was not accepted, or TLS failed.")),
    ((NameResolutionError,), _("The name of the server was not found.")),
    ((requests.exceptions.Timeout, ReadTimeoutError), _("No answer came in time.")),
    ((NewConnectionError,), _("The connection was refused, or there is no way to the server.")),
)


def _why(exc: Exception) -> Promise:
    causes = tuple(_causes(exc))
    for kinds, reason in _REASONS:
        if any(isinstance(cause, kinds) for cause in causes):
            return reason
    return _("The connection broke off before the answer was complete.")


def _causes(exc: Exception) -> Iterator[object]:
    """Yield the exception, the one of urllib3 that it wraps, and the reason inside that."""
    wrapped = exc.args[0] if exc.args else None
    yield from (exc, wrapped, getattr(wrapped, "reason", None))
