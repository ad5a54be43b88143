"""The installed Chromium, and what a page must never do."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

from django.db import connections
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Error,
    Request,
    WebError,
    sync_playwright,
)

from tests.services.programs import require

_LOCAL_HOSTS = {"127.0.0.1", "localhost"}
_SCHEMES_WITHOUT_HOST = {"about", "blob", "data"}
_ARGUMENTS = [
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    # Nothing but this machine has a name or an address: not even for what slips past the watch below.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
]


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless browser with a fresh profile."""
    program = require("chromium")
    # Chromium's own sandbox refuses to work for root.
    arguments = [*_ARGUMENTS, "--no-sandbox"] if os.geteuid() == 0 else _ARGUMENTS
    with (
        sync_playwright() as playwright,
        _database_access_beside_the_event_loop(),
        playwright.chromium.launch(executable_path=program, args=arguments) as browser,
    ):
        yield browser


@contextmanager
def _database_access_beside_the_event_loop() -> Iterator[None]:
    """Playwright's blocking interface leaves an event loop marked as running in this thread.

    Django takes that for asynchronous code and refuses the database. But nothing here is
    asynchronous: while a test speaks with the database, the loop stands still.
    """
    before = os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE")
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    try:
        yield
    finally:
        # Beside a loop Django opens connections of its own, which nobody could reach to close once the
        # loop is gone; and PostgreSQL drops no test database while one is open.
        connections.close_all()
        if before is None:
            del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]
        else:
            os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = before


@contextmanager
def no_faults_left(context: BrowserContext) -> Iterator["PageFaults"]:
    """Watch the pages of a browser context; fail at the end if a fault was seen that nobody expected."""
    faults = PageFaults(context)
    yield faults
    for page in context.pages:
        # A round trip: what the page had to complain about arrives before the answer.
        with suppress(Error):
            page.evaluate("0")
    assert not faults.seen, "\n".join(faults.seen)


class PageFaults:
    """Everything that went wrong in the pages of one browser context, as readable lines.

    Errors on the console (a violated content security policy is one), uncaught exceptions, and
    requests to any host but this one.
    """

    def __init__(self, context: BrowserContext) -> None:
        self.seen: list[str] = []
        context.on("console", self._on_console)
        context.on("weberror", self._on_error)
        context.on("request", self._on_request)

    def expect(self, part: str) -> None:
        """Take the faults that contain this text as meant (a refused page, say); there must be one."""
        others = [fault for fault in self.seen if part not in fault]
        assert len(others) < len(self.seen), f"no page fault with {part!r} in {self.seen}"
        self.seen = others

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.seen.append(f"console error: {message.text} ({message.location.get('url')})")

    def _on_error(self, error: WebError) -> None:
        self.seen.append(f"uncaught exception: {error.error}")

    def _on_request(self, request: Request) -> None:
        address = urlsplit(request.url)
        if address.scheme not in _SCHEMES_WITHOUT_HOST and address.hostname not in _LOCAL_HOSTS:
            self.seen.append(f"request to another host: {request.method} {request.url}")
