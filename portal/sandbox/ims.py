"""A stand-in for the token endpoint of Adobe IMS, over real HTTP on the loopback interface.

It answers as public code saw the real one answer; the statuses 400 and 401 differ in those sources, so a
reader has to look at the body. It keeps digests of the secrets that it accepts, and logs nothing.
"""

import hashlib
import hmac
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from urllib.parse import parse_qs, urlsplit

from portal.plaintext import Secret
from portal.sandbox.loopback import LoopbackRequest, LoopbackServer, LoopbackService

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


class StandInIMS(LoopbackService):
    """The endpoint on one port of 127.0.0.1; `url` is what stands for `https://ims-na1.adobelogin.com`.

    `mode` may be changed at any time; `requests` counts the token requests, `most_at_once` those at one time.
    """

    def __init__(self, *, port: int = 0, slow_seconds: float = 30.0) -> None:
        super().__init__("sandbox-ims", _Request, port)
        self.mode = Mode.NORMAL
        self.slow_seconds = slow_seconds
        self.requests = 0
        self.most_at_once = 0
        self._at_once = 0
        self._digests: dict[str, set[bytes]] = {}
        self._used: dict[tuple[str, bytes], float] = {}
        self._issued: dict[str, tuple[str, frozenset[str]]] = {}
        self._lock = threading.Lock()

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

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count a request as one of those that are answered at the same time."""
        with self._lock:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            yield
        finally:
            with self._lock:
                self._at_once -= 1

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


class _Request(LoopbackRequest):
    server: LoopbackServer[StandInIMS]
    server_version = "StandInIMS"

    def do_POST(self) -> None:  # noqa: N802  # http.server's own names
        body = self.rfile.read(min(int(self.headers.get("Content-Length") or 0), LARGEST_BODY))
        ims = self.server.service
        if urlsplit(self.path).path != TOKEN_PATH:
            return self.send_json(404, b"")
        form = {name: values[0] for name, values in parse_qs(body.decode("latin-1")).items()}
        with ims.counted():
            status, answer = ims.answer(form)
            if ims.mode is Mode.SLOW:
                ims.stopping.wait(ims.slow_seconds)
        if ims.mode is Mode.GARBAGE:
            return self.send_json(200, b"<html>\xff\xfe proxy says hello")
        if ims.mode is Mode.REDIRECT:
            return self.send_json(307, b"", Location=f"{ims.url}{TOKEN_PATH}")
        return self.send_json(status, json.dumps(answer).encode())


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
