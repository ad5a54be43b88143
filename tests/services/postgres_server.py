"""A real PostgreSQL cluster of its own on a free port of 127.0.0.1."""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

import psycopg
from psycopg import sql

from tests.services.processes import Process, Server
from tests.services.programs import find_program
from tests.services.waiting import free_port

_ROLE = "portal"
# PostgreSQL refuses to run as root; Debian's package brings this account.
_UNPRIVILEGED = "postgres"
_START_SECONDS = 30.0
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "log_min_messages": "warning",
    "max_connections": "300",
}
# The data is thrown away at the end: speed instead of surviving a power cut.
_CARELESS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


def reason_against_postgres() -> str | None:
    """Why no cluster can be made on this machine, or None if one can."""
    if find_program("postgres") is None or find_program("initdb") is None:
        return "no PostgreSQL here (Debian package postgresql)"
    if os.geteuid() == 0 and not _account_exists(_UNPRIVILEGED):
        return "no PostgreSQL here for root: it needs the user postgres (Debian package postgresql)"
    return None


def _account_exists(name: str) -> bool:
    return any(entry.pw_name == name for entry in pwd.getpwall())


class PostgresServer(Server):
    """A fresh cluster; its one role `portal` logs in by password and may do everything.

    Unless it is `durable`, it saves the time that surviving a power cut takes. `settings` are lines of
    postgresql.conf, which replace ours; `environment` is added to the server's own, once it has become its
    account.
    """

    def __init__(
        self,
        *,
        durable: bool = False,
        settings: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        self._settings = {**_SETTINGS, **({} if durable else _CARELESS), **(settings or {})}
        self._prefix = ["env", *(f"{name}={value}" for name, value in (environment or {}).items())]
        self.password = secrets.token_urlsafe(24)
        self.port = free_port()
        self._user = _UNPRIVILEGED if os.geteuid() == 0 else None
        self._data = self.home / "data"
        try:
            self._make_cluster()
        except BaseException:
            self.close()
            raise

    def _make_cluster(self) -> None:
        password_file = self.home / "password"
        password_file.touch(mode=0o600)
        password_file.write_text(self.password)
        if self._user:
            shutil.chown(self.home, self._user)
            shutil.chown(password_file, self._user)
        initdb = Process(
            [
                _installed("initdb"), "--pgdata", self._data, "--username", _ROLE, "--pwfile", password_file,
                "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync",
            ],
            log=self.log,
            cwd=self.home,
            user=self._user,
        )  # fmt: skip
        with initdb:
            status = initdb.wait_for_exit(within=_START_SECONDS)
        if status:
            raise subprocess.CalledProcessError(status, "initdb", initdb.output())

    def launch(self) -> Process:
        options = [f"--{name}={value}" for name, value in self._settings.items()]
        return Process(
            [*self._prefix, _installed("postgres"), "-D", self._data, "-p", str(self.port), *options],
            log=self.log,
            cwd=self.home,
            user=self._user,
            # "Fast shutdown": TERM would wait for every client to leave.
            stop_signal=signal.SIGINT,
        )

    def wait_until_ready(self, process: Process) -> None:
        process.wait_for(self._answers, within=_START_SECONDS, what="answer to a query")

    def _answers(self) -> bool:
        try:
            self.execute(sql.SQL("SELECT 1"))
        except psycopg.OperationalError:
            return False
        return True

    def url(self, database: str = "portal") -> str:
        """The address of a database as django-environ's DATABASE_URL takes it, password included."""
        return f"postgres://{_ROLE}:{self.password}@{self.host}:{self.port}/{database}"

    def create_database(self, name: str) -> str:
        """Make an empty database and give its address."""
        self.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.url(name)

    def execute(self, statement: sql.SQL | sql.Composed, *, database: str = "postgres") -> None:
        """Run one statement outside any transaction."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            connection.execute(statement)


def _installed(name: str) -> Path:
    program = find_program(name)
    if program is None:
        raise LookupError(reason_against_postgres())
    return program
