"""A stand-in for the secrets of a credential at Adobe's I/O Management API, over real HTTP on the loopback.

Built from Adobe's documentation of rotating client secrets: numbers are texts, and a secret is shown in the
answer that creates it only. Not documented, and made up here: the answer to a third secret, and error bodies.
It shares its secrets with a stand-in IMS, which tells when each was used last.
"""

import json
import re
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from urllib.parse import urlsplit

from portal.plaintext import Secret
from portal.sandbox.console import ConsoleAccount, make_secret
from portal.sandbox.ims import StandInIMS
from portal.sandbox.loopback import LoopbackRequest, LoopbackServer, LoopbackService

MOST = 2
NEEDED_SCOPES = {"adobeio_api", "read_client_secret", "manage_client_secrets"}
_PATH = re.compile(r"/console/organizations/(\d+)/credentials/(\d+)/secrets(?:/([\w-]+))?")


class Fault(Enum):
    """What becomes of one call."""

    UNAUTHORIZED = 401
    FORBIDDEN = 403
    NOT_FOUND = 404
    THROTTLED = 429
    FAILS = 500
    """Nothing is done."""
    FAILS_AFTERWARDS = 502
    """It is done, and the answer is an error."""
    LOST = "lost"
    """It is done, and the connection ends without an answer."""
    SLOW = "slow"
    """It is done, and the answer comes after `slow_seconds`."""
    GARBAGE = "garbage"
    """It is done, and the answer is no JSON."""


@dataclass(eq=False)
class Held:
    """A secret that the stand-in has of a credential."""

    plaintext: Secret
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    created: float = field(default_factory=time.time)


@dataclass(frozen=True)
class Deed:
    """One change, to be joined with what happened elsewhere; `at` is seconds since 1970."""

    at: float
    what: str
    client_id: str
    secret: str
    plaintext: Secret


class StandInConsole(LoopbackService):
    """The API on one port of 127.0.0.1.

    `faults` are taken one by one, by the calls that come, and `faults_of` by those of one method; without
    one a call works.
    """

    def __init__(self, ims: StandInIMS, *, port: int = 0, slow_seconds: float = 30.0) -> None:
        super().__init__("sandbox-console", _Request, port)
        self.ims = ims
        self.slow_seconds = slow_seconds
        self.faults: deque[Fault] = deque()
        self.faults_of: dict[str, deque[Fault]] = {name: deque() for name in ("GET", "POST", "DELETE")}
        self.deeds: list[Deed] = []
        self.watchers: list[Callable[[Deed], None]] = []
        """Called for each deed, at the moment in which it is done."""
        self.calls: list[str] = []
        """Methods of all requests, in their order."""
        self._credentials: dict[tuple[str, str], tuple[str, list[Held]]] = {}
        self._lock = threading.Lock()

    def register(self, account: ConsoleAccount) -> list[Held]:
        """Have a credential with the secrets of an account; IMS accepts these from now on."""
        held = [Held(each) for each in account.secrets]
        self._credentials[account.numeric_organization_id, account.credential_id] = (account.client_id, held)
        self._tell_ims(account.client_id, held)
        return held

    def secrets(self, account: ConsoleAccount) -> list[Held]:
        """Return the secrets that a credential has now, the oldest first."""
        with self._lock:
            return list(self._credentials[account.numeric_organization_id, account.credential_id][1])

    def create(self, account: ConsoleAccount) -> Held:
        """Have a second secret, as somebody makes it in the console."""
        with self._lock:
            client_id, held = self._credentials[account.numeric_organization_id, account.credential_id]
            held.append(Held(make_secret()))
            self._done("created", client_id, held[-1], held)
            return held[-1]

    def answer(
        self, method: str, path: str, token: str, client_id: str, fault: Fault | None
    ) -> tuple[int, dict[str, object] | None]:
        """Return status and body of one call, and do what it asks for."""
        found = _PATH.fullmatch(path)
        key = (found[1], found[2]) if found else ("", "")
        if fault in _REFUSING:
            return int(fault.value), {"error": fault.name.lower()}
        if not self.ims.scopes_of(token, client_id) >= NEEDED_SCOPES:
            return 401, {"error_code": "401013", "message": "Oauth token is not valid"}
        with self._lock:
            if not found or key not in self._credentials or self._credentials[key][0] != client_id:
                return 404, {"error": "not found"}
            return self._do(method, found[3] or "", *self._credentials[key])

    def _do(
        self, method: str, secret_id: str, client_id: str, held: list[Held]
    ) -> tuple[int, dict[str, object] | None]:
        if method == "GET" and not secret_id:
            rows = [self._row(client_id, each) for each in held]
            return 200, {"client_id": client_id, "client_secrets": rows}
        if method == "POST" and not secret_id:
            if len(held) >= MOST:
                return 400, {"error": "a credential has two secrets at most"}
            held.append(Held(make_secret()))
            self._done("created", client_id, held[-1], held)
            new = held[-1]
            return 201, {
                "client_id": client_id,
                "client_secret": new.plaintext.reveal(),
                "uuid": new.id,
                "created_at": _text(new.created),
                "expires_at": "PERMANENT",
            }
        gone = next((each for each in held if each.id == secret_id), None)
        if method != "DELETE" or gone is None:
            return 404, {"error": "not found"}
        held.remove(gone)
        self._done("deleted", client_id, gone, held)
        return 204, None

    def _done(self, what: str, client_id: str, secret: Held, held: list[Held]) -> None:
        deed = Deed(time.time(), what, client_id, secret.id, secret.plaintext)
        self.deeds.append(deed)
        for watcher in self.watchers:
            watcher(deed)
        self._tell_ims(client_id, held)

    def _tell_ims(self, client_id: str, held: list[Held]) -> None:
        self.ims.accept(client_id, *(each.plaintext for each in held))

    def _row(self, client_id: str, each: Held) -> dict[str, object]:
        used = self.ims.last_used(client_id, each.plaintext)
        usages = [{"last_used_at": _text(used), "grant_type": "client_credentials"}] if used else None
        return {
            "uuid": each.id,
            "created_at": _text(each.created),
            "expires_at": "PERMANENT",
            "secret_usages": usages,
        }


_REFUSING = (Fault.UNAUTHORIZED, Fault.FORBIDDEN, Fault.NOT_FOUND, Fault.THROTTLED, Fault.FAILS)


class _Request(LoopbackRequest):
    server: LoopbackServer[StandInConsole]
    server_version = "StandInConsole"

    def do_GET(self) -> None:  # noqa: N802  # http.server's own names
        self._answer()

    def do_POST(self) -> None:  # noqa: N802  # http.server's own names
        self._answer()

    def do_DELETE(self) -> None:  # noqa: N802  # http.server's own names
        self._answer()

    def _answer(self) -> None:
        console = self.server.service
        console.calls.append(self.command)
        waiting = console.faults or console.faults_of[self.command]
        fault = waiting.popleft() if waiting else None
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        key = self.headers.get("x-api-key", "")
        status, body = console.answer(self.command, urlsplit(self.path).path, token, key, fault)
        if fault is Fault.LOST:
            self.close_connection = True
            return
        if fault is Fault.SLOW:
            console.stopping.wait(console.slow_seconds)
        if fault is Fault.FAILS_AFTERWARDS:
            status, body = int(fault.value), {"error": "bad gateway"}
        raw = b"" if body is None else json.dumps(body).encode()
        self.send_json(status, b"<html>\xff\xfe" if fault is Fault.GARBAGE else raw)


def _text(seconds: float) -> str:
    """Return a moment as Adobe writes it: milliseconds since 1970, as a text."""
    return str(int(seconds * 1000))
