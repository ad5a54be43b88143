"""A stand-in for the token endpoint of Adobe IMS, over real HTTP on the loopback interface.

It answers as public code saw the real one answer; the statuses 400 and 401 differ in those sources, so a
reader has to look at the body. It keeps digests of the secrets that it accepts, and logs nothing.
"""

import contextlib
import hashlib
import hmac
import json
import secrets
import threading
import time
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import parse_qs, urlsplit

from portal.plaintext import Secret

TOKEN_PATH = "/ims/token/v3"  # noqa: S105  # a path
LARGEST_BODY = 64 * 1024
KNOWN_SCOPES = {
    "openid",
    "AdobeID",
    "read_organizations",
    "additional_info.projectedProductContext",
    "additional_info.roles",
    "adobeio_api",
    "read_client_secret",
    "manage_client_secrets",
}
NO_LONGER_ALLOWED = "This client is no longer allowed to get access token"


class Mode(Enum):
    """How the endpoint behaves, whatever it is asked."""

    NORMAL = "normal"
    THROTTLED = "429"
    SLOW = "slow"
    """The answer comes after `slow_seconds`."""
    GARBAGE = "garbage"
    """200 with a body that is no JSON."""
    REDIRECT = "redirect"
    """307 to itself, so that a client that follows it would send the secret again."""
    NO_LONGER_ALLOWED = "no longer allowed"
    """What a retired JWT credential gets."""


class StandInIMS:
    """The endpoint on one port of 127.0.0.1; `url` is what stands for `https://ims-na1.adobelogin.com`.

    Also a context manager that starts and stops it. `mode` may be changed at any time; `requests` counts the
    token requests.
    """

    def __init__(self, *, port: int = 0, slow_seconds: float = 30.0) -> None:
        self.mode = Mode.NORMAL
        self.slow_seconds = slow_seconds
        self.requests = 0
        self.stopping = threading.Event()
        self._digests: dict[str, set[bytes]] = {}
        self._used: dict[tuple[str, bytes], float] = {}
        self._issued: dict[str, tuple[str, frozenset[str]]] = {}
        self._http = _HTTPServer(("127.0.0.1", port), _Request)
        self._http.ims = self
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), name="sandbox-ims")
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Answer no more requests, end the slow ones, and wait for all threads."""
        self.stopping.set()
        if self._thread.is_alive():
            self._http.shutdown()
            self._thread.join()
        self._http.server_close()

    def accept(self, client_id: str, *client_secrets: Secret) -> None:
        """Accept these secrets of a client, and no others of it."""
        self._digests[client_id] = {_digest(secret.reveal()) for secret in client_secrets}

    def answer(self, form: dict[str, str]) -> tuple[int, dict[str, object]]:
        """Return status and body for the fields of one token request."""
        with self._lock:
            self.requests += 1
        if self.mode is Mode.THROTTLED:
            return 429, {"error": "too_many_requests", "error_description": "rate limit exceeded"}
        if self.mode is Mode.NO_LONGER_ALLOWED:
            return 400, {"error": "unauthorized_client", "error_description": NO_LONGER_ALLOWED}
        return self._refusal(form) or (200, self._issue(form))

    def last_used(self, client_id: str, secret: Secret) -> float | None:
        """Return when a token was last made with a secret, in seconds since 1970; None if never."""
        return self._used.get((client_id, _digest(secret.reveal())))

    def scopes_of(self, token: str, client_id: str) -> frozenset[str]:
        """Return what a token of a client is good for; nothing if it is none of its tokens."""
        owner, scopes = self._issued.get(token, ("", frozenset[str]()))
        return scopes if owner == client_id else frozenset()

    def _issue(self, form: dict[str, str]) -> dict[str, object]:
        token = secrets.token_urlsafe(48)
        with self._lock:
            self._used[form["client_id"], _digest(form["client_secret"])] = time.time()
            self._issued[token] = (form["client_id"], frozenset(form.get("scope", "").split(",")))
        return {"access_token": token, "token_type": "bearer", "expires_in": 86399}

    def _refusal(self, form: dict[str, str]) -> tuple[int, dict[str, object]] | None:
        known = self._digests.get(form.get("client_id", ""))
        given = _digest(form.get("client_secret", ""))
        if form.get("grant_type") != "client_credentials":
            return 400, {"error": "unsupported_grant_type"}
        if known is None:
            return 400, {"error": "invalid_client", "error_description": "invalid client_id parameter"}
        if not any(hmac.compare_digest(given, each) for each in known):
            return 401, {"error": "invalid_client", "error_description": "invalid client_secret parameter"}
        if not KNOWN_SCOPES.issuperset(form.get("scope", "").split(",")):
            return 400, {"error": "invalid_scope"}
        return None


class _HTTPServer(ThreadingHTTPServer):
    # Waited for in `stop`: a thread that outlives its test would confuse the next one.
    daemon_threads = False
    ims: StandInIMS


class _Request(BaseHTTPRequestHandler):
    server: _HTTPServer
    server_version, sys_version = "StandInIMS", ""
    timeout = 5

    def do_POST(self) -> None:
        body = self.rfile.read(min(int(self.headers.get("Content-Length") or 0), LARGEST_BODY))
        ims = self.server.ims
        if urlsplit(self.path).path != TOKEN_PATH:
            return self._send(404, b"")
        form = {name: values[0] for name, values in parse_qs(body.decode("latin-1")).items()}
        status, answer = ims.answer(form)
        if ims.mode is Mode.SLOW:
            ims.stopping.wait(ims.slow_seconds)
        if ims.mode is Mode.GARBAGE:
            return self._send(200, b"<html>\xff\xfe proxy says hello")
        if ims.mode is Mode.REDIRECT:
            return self._send(307, b"", Location=f"{ims.url}{TOKEN_PATH}")
        return self._send(status, json.dumps(answer).encode())

    def _send(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        with contextlib.suppress(OSError):  # the client may have given up
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name of the base class
        """Log nothing: a request line may hold what does not belong in a log."""


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
