"""One bounded call to Adobe: who answers decides neither how long it takes nor how much is read.

No models. What answers is hostile until proven otherwise: body and time are bounded, redirects are not
followed, and the environment's proxies are ignored. Only the kind of an error leaves this module: its
exception holds the request, and so the secret.
"""

import http.client
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import requests
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError, NameResolutionError, NewConnectionError, ReadTimeoutError
from urllib3.poolmanager import PoolManager

from portal.plaintext import Secret

MAX_BODY = 64 * 1024
DEADLINE = 12.0
Form = Mapping[str, str | Secret]


@dataclass(frozen=True)
class Route:
    """How Adobe is reached. Times are seconds; `deadline` bounds a whole call, name resolution included.

    `proxy` is a URL, or empty for a direct connection. `ca_bundle` is a PEM file that replaces the usual
    authorities, for networks that inspect TLS.
    """

    proxy: str = ""
    ca_bundle: str = ""
    connect_timeout: float = 3
    read_timeout: float = 8
    deadline: float = DEADLINE


@dataclass(frozen=True)
class Answer:
    """A complete answer. Its body is empty if it was longer than any answer of Adobe."""

    status: int
    body: bytes = field(repr=False)

    @property
    def json(self) -> dict[str, object]:
        """The body as an object; empty if it is none."""
        try:
            answer = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return answer if isinstance(answer, dict) else {}


class NoAnswer(Exception):
    """No complete answer came. The text is for people and holds nothing of the request.

    `may_have_arrived`: whether Adobe may have got the request, and done what it asked for.
    """

    def __init__(self, reason: Promise, *, may_have_arrived: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.may_have_arrived = may_have_arrived


def call(
    method: str,
    url: str,
    route: Route,
    *,
    form: Form | None = None,
    headers: Mapping[str, str] | None = None,
    bearer: Secret | None = None,
) -> Answer:
    """Send one request and return the answer; `NoAnswer` if none came. Nothing else is raised."""
    question = _Question(method, url, route, form, headers or {}, bearer)
    # A thread, because no timeout of requests covers name resolution, many addresses or a dripping server.
    # Daemon: a stuck resolver must not keep the process from ending.
    thread = threading.Thread(target=question.ask, name="adobe-call", daemon=True)
    thread.start()
    thread.join(route.deadline)
    # Taken before the cut, which the thread would take for the end of an answer.
    outcome = question.outcome
    question.line.cut()
    if outcome is None:
        raise NoAnswer(_("No complete answer came in time."), may_have_arrived=True)
    if isinstance(outcome, NoAnswer):
        raise outcome
    return outcome


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
    method: str
    url: str
    route: Route
    form: Form | None
    headers: Mapping[str, str]
    bearer: Secret | None
    line: _Line = field(default_factory=_Line)
    outcome: Answer | NoAnswer | None = None

    def ask(self) -> None:
        _here.line = self.line
        try:
            self.outcome = self._send()
        except (requests.RequestException, HTTPError, http.client.HTTPException, OSError, ValueError) as exc:
            self.outcome = _no_answer(exc)
        finally:
            self.line.close()

    def _form(self) -> dict[str, str] | None:
        """Return the form as it is sent: in clear from here to the wire, and nowhere else."""
        if self.form is None:
            return None
        return {key: each.reveal() if isinstance(each, Secret) else each for key, each in self.form.items()}

    def _headers(self) -> dict[str, str]:
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", **self.headers}
        if self.bearer:
            headers["Authorization"] = f"Bearer {self.bearer.reveal()}"
        return headers

    def _send(self) -> Answer:
        proxy = self.route.proxy
        with requests.Session() as session:
            session.trust_env = False
            session.mount("http://", _Adapter())
            session.mount("https://", _Adapter())
            with session.request(
                self.method,
                self.url,
                data=self._form(),
                headers=self._headers(),
                proxies={"http": proxy, "https": proxy} if proxy else None,
                verify=self.route.ca_bundle or True,
                timeout=(self.route.connect_timeout, self.route.read_timeout),
                allow_redirects=False,
                stream=True,
            ) as response:
                return Answer(response.status_code, _bounded(response))


def _bounded(response: requests.Response) -> bytes:
    """Return the body, or nothing when it is longer than any answer of Adobe."""
    body = b""
    for chunk in response.iter_content(8192):
        body += chunk
        if len(body) > MAX_BODY:
            return b""
    return body


_BEFORE_IT_WAS_SENT: tuple[tuple[tuple[type[Exception], ...], Promise], ...] = (
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
        _("The address of Adobe in the settings is not valid."),
    ),
    ((requests.exceptions.SSLError,), _("The TLS certificate was not accepted, or TLS failed.")),
    ((NameResolutionError,), _("The name of the server was not found.")),
    ((requests.exceptions.ConnectTimeout,), _("No connection came about in time.")),
    ((NewConnectionError,), _("The connection was refused, or there is no way to the server.")),
)


def _no_answer(exc: Exception) -> NoAnswer:
    causes = tuple(_causes(exc))

    def is_any(kinds: tuple[type[Exception], ...]) -> bool:
        return any(isinstance(cause, kinds) for cause in causes)

    for kinds, reason in _BEFORE_IT_WAS_SENT:
        if is_any(kinds):
            return NoAnswer(reason, may_have_arrived=False)
    if is_any((requests.exceptions.Timeout, ReadTimeoutError)):
        return NoAnswer(_("No answer came in time."), may_have_arrived=True)
    text = _("The connection broke off before the answer was complete.")
    return NoAnswer(text, may_have_arrived=True)


def _causes(exc: Exception) -> Iterator[object]:
    """Yield the exception, the one of urllib3 that it wraps, and the reason inside that."""
    wrapped = exc.args[0] if exc.args else None
    yield from (exc, wrapped, getattr(wrapped, "reason", None))
