"""Pytest plugin: real services, started when first asked for and ended by process id.

What is not installed skips the tests that ask for it, by name; with REQUIRE_ALL=1 it fails them.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.services.accounts import CAMPAIGN, NEOLANE, ROOT, SudoLog, require_accounts
from tests.services.chromium import PageFaults, chromium, no_faults_left
from tests.services.openssh_server import OpenSSHServer
from tests.services.postgres_server import PostgresServer, reason_against_postgres
from tests.services.processes import Process
from tests.services.programs import require, unavailable
from tests.services.redis_server import RedisServer

_PAGE_FIXTURES = {"client", "admin_client", "as_admin", "as_helpdesk", "as_auditor"}
_DATABASE_FIXTURES = {"db", "transactional_db", "django_db_reset_sequences", "django_db_serialized_rollback"}
_VIEWPORT_WIDTH, _VIEWPORT_HEIGHT = 1440, 900
_PAGE_SECONDS = 30.0


class StartProcess(Protocol):
    """How the fixture `start_process` is called."""

    def __call__(
        self,
        argv: Sequence[str | Path],
        *,
        name: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Process: ...


class StartOpenSSH(Protocol):
    """How the fixture `start_openssh` is called."""

    def __call__(
        self,
        *,
        accounts: Sequence[str] = (),
        host: str = "127.0.0.1",
        host_key_types: Sequence[str] = ("ed25519",),
        options: Mapping[str, str] | None = None,
    ) -> OpenSSHServer: ...


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "database: may differ on another database; set by itself too")
    config.addinivalue_line("markers", "slow: a proof of many processes, for `make slow` and not `make test`")
    config.addinivalue_line("markers", "one_engine: the same on every database; set by itself too")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what uses the database: `database` is the part that `make test` runs again on PostgreSQL.

    Pages are left to SQLite, unless a test is marked itself: the services behind them are asked on both, and
    so is every page of a filled portal by `tests/test_page_costs.py`. `make engines` runs all of it there.
    """
    for item in items:
        if _uses_django_database(item):
            item.add_marker("one_engine" if _is_the_same_everywhere(item) else "database")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Begin with what starts portals of its own: begun last, it would keep one process busy at the end.

    What uses the tests' database stays where pytest-django put it, since some of it empties all tables.
    """
    session.items.sort(key=lambda item: not _takes_long(item))


def _takes_long(item: pytest.Item) -> bool:
    return hasattr(getattr(item, "module", None), "Portal") and not _uses_django_database(item)


def _is_the_same_everywhere(item: pytest.Item) -> bool:
    fixtures: Sequence[str] = getattr(item, "fixturenames", ())
    return item.get_closest_marker("one_engine") is not None or not _PAGE_FIXTURES.isdisjoint(fixtures)


def _uses_django_database(item: pytest.Item) -> bool:
    fixtures: Sequence[str] = getattr(item, "fixturenames", ())
    return item.get_closest_marker("django_db") is not None or not _DATABASE_FIXTURES.isdisjoint(fixtures)


@pytest.fixture
def start_process(tmp_path: Path) -> Iterator[StartProcess]:
    """Start a program; its output goes to `<name>.log` in tmp_path; it ends with the test."""
    with ExitStack() as running:

        def start(
            argv: Sequence[str | Path],
            *,
            name: str | None = None,
            env: Mapping[str, str] | None = None,
            cwd: Path | None = None,
        ) -> Process:
            log = tmp_path / f"{name or Path(argv[0]).name}.log"
            return running.enter_context(Process(argv, log=log, env=env, cwd=cwd))

        yield start


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """Redis for the whole run: what a test leaves in it, or stops, it also cleans up."""
    with RedisServer(program=require("redis-server")) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """PostgreSQL for the whole run, for tests about PostgreSQL itself.

    The suite as such runs on it through `python -m tests.services.with_postgres`.
    """
    if reason := reason_against_postgres():
        unavailable(reason)
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="session")
def openssh() -> Iterator[OpenSSHServer]:
    """sshd with the three ways to become neolane: log in as neolane, as campaign (sudo) or as root (su)."""
    require("sshd")
    require_accounts()
    with OpenSSHServer(accounts=(NEOLANE, CAMPAIGN, ROOT)) as server:
        yield server


@pytest.fixture
def start_openssh() -> Iterator[StartOpenSSH]:
    """Start an sshd for the named accounts (none: the current user); it ends with the test."""
    require("sshd")
    with ExitStack() as running:

        def start(
            *,
            accounts: Sequence[str] = (),
            host: str = "127.0.0.1",
            host_key_types: Sequence[str] = ("ed25519",),
            options: Mapping[str, str] | None = None,
        ) -> OpenSSHServer:
            server = OpenSSHServer(
                accounts=accounts, host=host, host_key_types=host_key_types, options=options
            )
            return running.enter_context(server)

        yield start


@pytest.fixture
def sudo_log() -> SudoLog:
    """What sudo logs of the account campaign during this test."""
    require_accounts()
    return SudoLog()


@pytest.fixture(scope="module")
def browser(django_db_setup: None) -> Iterator[Browser]:
    """The installed Chromium; Django's database stays usable beside it.

    Per module, for it starts in less than a second: Playwright's event loop, and with it the
    licence to use the database beside that, then end before other modules' tests. The test database
    is made first, so that the connection which removes it at the end is not one of the loop's.
    """
    with chromium() as started:
        yield started


@pytest.fixture
def browser_context(browser: Browser) -> Iterator[BrowserContext]:
    """A visitor of their own: no cookies, nothing cached."""
    with browser.new_context(viewport={"width": _VIEWPORT_WIDTH, "height": _VIEWPORT_HEIGHT}) as context:
        context.set_default_timeout(_PAGE_SECONDS * 1000)
        yield context


@pytest.fixture
def page_faults(browser_context: BrowserContext) -> Iterator[PageFaults]:
    """What went wrong in the browser; at the end of the test nothing may be left of it."""
    with no_faults_left(browser_context) as faults:
        yield faults


@pytest.fixture
def page(browser_context: BrowserContext, page_faults: PageFaults) -> Page:
    """A page that fails the test on console errors, exceptions, CSP violations and foreign requests."""
    return browser_context.new_page()
