"""A filled portal, and copies of it with wrong, missing or swapped keys, on PostgreSQL and on SQLite."""

import hashlib
import json
import shutil
import sqlite3
import subprocess
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psycopg
from psycopg import sql

from portal.private_files import random_key
from portal.sandbox.console import ConsoleAccount
from tests.services.portal import Portal
from tests.services.postgres_server import PostgresServer
from tests.services.programs import require

Rows = dict[str, tuple[int, str]]
"""For each table the number of its rows, and a digest of all that is in them."""
PASSWORD = "a long enough password"


@dataclass(frozen=True)
class Flaw:
    """What is wrong with the keys of one process."""

    kind: str
    key: str
    other: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.key}" + (f" and {self.other}" if self.other else "")

    def apply(self, keys: Path) -> None:
        """Spoil the keys in this folder."""
        file = keys / self.key
        if self.kind == "missing":
            file.unlink()
        elif self.kind == "swapped":
            text = file.read_text()
            file.write_text((keys / self.other).read_text())
            (keys / self.other).write_text(text)
        elif self.key in ("ssh_key", "signing_key"):
            file.unlink()
            make = [str(require("ssh-keygen")), "-q", "-t", "ed25519", "-N", "", "-f", str(file)]
            subprocess.run(make, check=True)
            file.with_suffix(".pub").unlink()
        else:
            file.write_text(random_key(48 if self.key == "secret_key" else 32) + "\n")


NAMES = ("audit_key", "keyring", "fingerprint_key", "secret_key", "ssh_key")
FLAWS = [
    *(Flaw("wrong", name) for name in (*NAMES, "signing_key")),
    *(Flaw("missing", name) for name in NAMES),
    Flaw("swapped", "audit_key", "fingerprint_key"),
    Flaw("swapped", "keyring", "fingerprint_key"),
    Flaw("swapped", "secret_key", "audit_key"),
    Flaw("swapped", "signing_key", "ssh_key"),
]


class Engine(Protocol):
    """Databases of one kind."""

    name: str

    def create(self, name: str) -> str: ...
    def copy(self, source: str, name: str) -> str: ...
    def rows(self, url: str) -> Rows: ...
    def execute(self, url: str, *statements: str) -> None: ...
    def leave(self, urls: list[str]) -> None: ...
    def come_back(self, urls: list[str]) -> None: ...


class Postgres:
    """One server; when it leaves, all its databases do."""

    name = "postgresql"

    def __init__(self, server: PostgresServer) -> None:
        self.server = server

    def create(self, name: str) -> str:
        return self.server.create_database(name)

    def copy(self, source: str, name: str) -> str:
        names = (sql.Identifier(each) for each in (name, source.rpartition("/")[2]))
        self.server.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(*names))
        return self.server.url(name)

    def rows(self, url: str) -> Rows:
        content = "SELECT count(*), md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) FROM {} t"
        with psycopg.connect(url) as connection:
            names = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
            found: Rows = {}
            for (name,) in names.fetchall():
                row = connection.execute(sql.SQL(content).format(sql.Identifier(name))).fetchone()
                assert row
                found[name] = (row[0], row[1])
        return found

    def execute(self, url: str, *statements: str) -> None:
        with psycopg.connect(url) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def leave(self, urls: list[str]) -> None:
        self.server.stop()

    def come_back(self, urls: list[str]) -> None:
        self.server.start()


class Sqlite:
    """Files; one that leaves is moved away, and a process finds an empty one that it made itself."""

    name = "sqlite"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def create(self, name: str) -> str:
        return f"sqlite:///{self.folder}/{name}.sqlite3"

    def copy(self, source: str, name: str) -> str:
        shutil.copyfile(self._file(source), self._file(self.create(name)))
        self._file(self.create(name)).chmod(0o600)
        return self.create(name)

    def rows(self, url: str) -> Rows:
        if not self._file(url).exists():
            return {}
        with closing(sqlite3.connect(self._file(url), timeout=20)) as connection:
            names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
            found: Rows = {}
            for (name,) in names:
                content = sorted(map(repr, connection.execute(f"SELECT * FROM {name}")))
                found[name] = (len(content), hashlib.md5("|".join(content).encode()).hexdigest())
        return found

    def execute(self, url: str, *statements: str) -> None:
        with closing(sqlite3.connect(self._file(url))) as connection:
            for statement in statements:
                connection.execute(statement)
            connection.commit()

    def leave(self, urls: list[str]) -> None:
        for url in urls:
            if self._file(url).exists():
                self._file(url).rename(self._away(url))

    def come_back(self, urls: list[str]) -> None:
        for url in urls:
            if self._away(url).exists():
                self._away(url).replace(self._file(url))

    def _file(self, url: str) -> Path:
        return Path(url.removeprefix("sqlite:///"))

    def _away(self, url: str) -> Path:
        return self._file(url).with_suffix(".away")


@dataclass
class Original:
    """A portal with people, an account and a history, which all copies are made of."""

    engine: Engine
    portal: Portal
    backup: Path
    next_account: Path
    password: Path

    @classmethod
    def make(cls, engine: Engine, folder: Path) -> "Original":
        home = folder / "original"
        home.mkdir(mode=0o700)
        portal = Portal(home, {"DATABASE_URL": engine.create("original"), "BROKER_URL": "filesystem://"})
        portal.prepare()
        password = folder / "password"
        password.write_text(PASSWORD + "\n")
        portal.manage("create_admin", "--name", "alice", "--password-file", str(password))
        account = ["add_account", "First", "--from-json", "-", "--no-check"]
        portal.manage(*account, stdin=ConsoleAccount().download_json())
        portal.manage("evidence", "--key")  # which makes the signing key
        saved = json.loads(portal.manage("backup", str(folder / "backup"), "--json"))
        next_account = folder / "next.json"
        next_account.write_text(ConsoleAccount().download_json())
        # Something for sync_roles to do.
        last = "DELETE FROM auth_group_permissions WHERE id = (SELECT max(id) FROM auth_group_permissions)"
        engine.execute(portal.environment["DATABASE_URL"], last)
        return cls(engine, portal, Path(saved["database"]), next_account, password)

    def copy(self, name: str, folder: Path, flaw: Flaw | None, *, empty: bool = False) -> Portal:
        """Return another process's view of the same portal, with a flaw in its keys."""
        engine, url = self.engine, self.portal.environment["DATABASE_URL"]
        home = folder / name
        shutil.copytree(self.portal.home / "keys", home / "keys")
        home.chmod(0o700)
        if flaw:
            flaw.apply(home / "keys")
        url = engine.create(name) if empty else engine.copy(url, name)
        return Portal(home, {"DATABASE_URL": url, "BROKER_URL": "filesystem://"})

    def put_keys_right(self, portal: Portal) -> None:
        """Copy the right keys over whatever is there, as an operator does."""
        for key in (self.portal.home / "keys").iterdir():
            shutil.copy(key, portal.home / "keys" / key.name)
