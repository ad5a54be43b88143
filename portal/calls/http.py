"""One bounded call to a web server: who answers decides neither how long it takes nor how much is read.

No models. What answers is hostile until proven otherwise: body and time are bounded, redirects are not
followed, and the environment's proxies are ignored. Only the kind of an error leaves this module: its
exception holds the request, and so the secret.
"""

import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import requests
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError, NameResolutionError, NewConnectionError, ReadTimeoutError
from urllib3.poolmanager import PoolManager

from portal.calls.addresses import AddressRules
from portal.calls.line import Line
from portal.plaintext import Secret

MAX_BODY = 64 * 1024
DEADLINE = 12.0
Form = Mapping[str, str | Secret]


@dataclass(frozen=True)
class Route:
    """How a server is reached. Times are seconds; `deadline` bounds a whole call, name resolution included.

    `proxy` is a URL, or empty for a direct connection. `ca_bundle` is a PEM file that replaces the usual
    authorities, for networks that inspect TLS. `rules` say which addresses may be contacted, None: any; they
    need a direct connection, since a proxy resolves names itself.
    """

    proxy: str = ""
    ca_bundle: str = ""
    connect_timeout: float = 3
    read_timeout: float = 8
    deadline: float = DEADLINE
    rules: AddressRules | None = None


@dataclass(frozen=True)
class Answer:
    """A complete answer. Its body is empty if it was longer than `MAX_BODY`."""

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


class Failure(StrEnum):
    """Why no complete answer came. `REASONS` has the words."""

    PROXY = "proxy"
    ADDRESS_INVALID = "address_invalid"
    ADDRESS_NOT_ALLOWED = "address_not_allowed"
    TLS = "tls"
    NAME_NOT_FOUND = "name_not_found"
    NO_CONNECTION = "no_connection"
    REFUSED = "refused"
    TIMED_OUT = "timed_out"
    NOT_IN_TIME = "not_in_time"
    BROKEN_OFF = "broken_off"


REASONS: dict[Failure, Promise] = {
    Failure.PROXY: _("The proxy could not be used."),
    Failure.ADDRESS_INVALID: _("The address is not valid."),
    Failure.ADDRESS_NOT_ALLOWED: _(
        "The name resolves to an address that the portal is not allowed to contact."
    ),
    Failure.TLS: _("The TLS certificate was not accepted, or TLS failed."),
    Failure.NAME_NOT_FOUND: _("The name of the server was not found."),
    Failure.NO_CONNECTION: _("No connection was made in time."),
    Failure.REFUSED: _("The connection was refused, or there is no route to the server."),
    Failure.TIMED_OUT: _("No answer came in time."),
    Failure.NOT_IN_TIME: _("No complete answer came in time."),
    Failure.BROKEN_OFF: _("The connection broke off before the answer was complete."),
}
_MAY_HAVE_ARRIVED = (Failure.TIMED_OUT, Failure.NOT_IN_TIME, Failure.BROKEN_OFF)


class NoAnswer(Exception):
    """No complete answer came. The text is for people and holds nothing of the request.

    `may_have_arrived`: whether the server may have got the request, and done what it asked for.
    """

    def __init__(self, failure: Failure, reason: Promise | None = None) -> None:
        self.failure = failure
        self.reason = reason or REASONS[failure]
        super().__init__(self.reason)
        self.may_have_arrived = failure in _MAY_HAVE_ARRIVED


def call(
    method: str,
    url: str,
    route: Route,
    *,
    form: Form | None = None,
    content: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    bearer: Secret | None = None,
) -> Answer:
    """Send one request, with a form or with `content`, and return the answer. Redirects are not followed.

    `NoAnswer` if no complete answer came. Nothing else is raised.
    """
    question = _Question(method, url, route, content if form is None else form, headers or {}, bearer)
    # A thread, because no timeout of requests covers name resolution, many addresses or a dripping server.
    # Daemon: a stuck resolver must not keep the process from ending.
    thread = threading.Thread(target=question.ask, name="http-call", daemon=True)
    thread.start()
    thread.join(route.deadline)
    # Taken before the cut, which the thread would take for the end of an answer.
    outcome = question.outcome
    question.line.cut()
    if outcome is None:
        raise NoAnswer(Failure.NOT_IN_TIME)
    if isinstance(outcome, NoAnswer):
        raise outcome
    return outcome


_here = threading.local()
"""Of the call that runs in this thread: its `line`, and the `rules` of its route."""


class _NotAllowed(OSError):
    """The name leads to an address that may not be contacted."""


def _connect(connection: HTTPConnection, connect: Callable[[], socket.socket]) -> socket.socket:
    """Return a watched socket to an address that the call may contact.

    With rules the name is resolved here, once, and the address that was judged is the one connected to: a
    second answer of the name's server is never asked for. TLS goes on with the name.
    """
    rules: AddressRules | None = _here.rules
    if rules is None:
        sock = connect()
    else:
        name = connection._dns_host  # noqa: SLF001  # where urllib3 connects to, apart from the name it speaks of
        try:
            connection._dns_host = _judged(name, connection.port, rules)  # noqa: SLF001
            sock = connect()
        finally:
            connection._dns_host = name  # noqa: SLF001
    _here.line.watch(sock)
    return sock


def _judged(name: str, port: int, rules: AddressRules) -> str:
    """Return the first address of a name, if the rules allow it and nothing speaks against the others."""
    found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    try:
        allowed = rules.allowed([str(address[0]) for *_, address in found])
    except ValueError:  # such as fe80::1%eth0
        allowed = []
    if not allowed:
        raise _NotAllowed
    return allowed[0]


class _PlainConnection(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return _connect(self, super()._new_conn)


class _TLSConnection(HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        return _connect(self, super()._new_conn)

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
    content: Form | bytes | None
    headers: Mapping[str, str]
    bearer: Secret | None
    line: Line = field(default_factory=Line)
    outcome: Answer | NoAnswer | None = None

    def ask(self) -> None:
        _here.line, _here.rules = self.line, self.route.rules
        try:
            self.outcome = self._send()
        except (requests.RequestException, HTTPError, http.client.HTTPException, OSError, ValueError) as exc:
            self.outcome = _no_answer(exc)
        finally:
            self.line.close()

    def _form(self) -> dict[str, str] | bytes | None:
        """Return the form as it is sent: in clear from here to the wire, and nowhere else."""
        if not isinstance(self.content, Mapping):
            return self.content
        return {
            key: each.reveal() if isinstance(each, Secret) else each for key, each in self.content.items()
        }

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
    """Return the body, or nothing when it is longer than `MAX_BODY`."""
    body = b""
    for chunk in response.iter_content(8192):
        body += chunk
        if len(body) > MAX_BODY:
            return b""
    return body


_KINDS: tuple[tuple[tuple[type[Exception], ...], Failure], ...] = (
    ((_NotAllowed,), Failure.ADDRESS_NOT_ALLOWED),
    ((requests.exceptions.ProxyError, requests.exceptions.InvalidProxyURL), Failure.PROXY),
    (
        (
            requests.exceptions.InvalidURL,
            requests.exceptions.InvalidSchema,
            requests.exceptions.MissingSchema,
        ),
        Failure.ADDRESS_INVALID,
    ),
    ((requests.exceptions.SSLError,), Failure.TLS),
    ((NameResolutionError, socket.gaierror), Failure.NAME_NOT_FOUND),
    ((requests.exceptions.ConnectTimeout,), Failure.NO_CONNECTION),
    ((NewConnectionError,), Failure.REFUSED),
    ((requests.exceptions.Timeout, ReadTimeoutError), Failure.TIMED_OUT),
)
"""The first that fits says why no answer came."""


def _no_answer(exc: Exception) -> NoAnswer:
    causes = tuple(_causes(exc))
    for kinds, failure in _KINDS:
        if any(isinstance(cause, kinds) for cause in causes):
            return NoAnswer(failure)
    return NoAnswer(Failure.BROKEN_OFF)


def _causes(exc: Exception) -> Iterator[object]:
    """Yield the exception, the one of urllib3 that it wraps, and what that one gives as its reason."""
    wrapped = exc.args[0] if exc.args else None
    yield from (exc, wrapped, getattr(wrapped, "reason", None), *getattr(wrapped, "args", ()))
