"""A copy of the database that is whole while the portal works, and putting one back. Keys apart from it."""

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Collection
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from django.core.management import call_command
from django.db import connection, transaction
from django.db.backends.postgresql.client import DatabaseClient
from django.dispatch import Signal
from django.utils.translation import gettext as _

from portal.audit.append_only import drop_functions
from portal.audit.chain import kept_head
from portal.audit.models import AuditHead
from portal.audit.trail import Actor, record
from portal.key_changes import accept_keys
from portal.keys import known as known_keys
from portal.keys.gate import gate
from portal.keys.known import KeysRefused
from portal.keys.registry import configured, registered
from portal.private_files import folder, private_file
from portal.short_lived import short_lived

restored = Signal()
"""Sent with `actor`, in the transaction that ends a restore: what the copy holds as open may be long over."""


class BackupError(Exception):
    """Why nothing was saved or restored; the text is for the operator."""


def head() -> str:
    """Return the end of the audit trail, as `verify_audit --expect-head` takes it."""
    return str(AuditHead.objects.get(pk=1))


def save_database(target: Path) -> Path:
    """Write a consistent copy of the database, for this user alone, into a folder; return its path."""
    kept_head.keep()
    is_sqlite = connection.vendor == "sqlite"
    name = f"portal-{_now()}.{'sqlite3' if is_sqlite else 'dump'}"
    draft = private_file(folder(target) / f".{name}.draft")
    try:
        (_copy_sqlite if is_sqlite else _dump_postgres)(draft)
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        return draft.rename(target / name)
    finally:
        draft.unlink(missing_ok=True)


def save_keys(target: Path) -> Path:
    """Write all keys into a new folder below `target`, as they belong below PORTAL_HOME/keys.

    Keys of another portal would make a backup that restores nothing: `BackupError`.
    """
    if problems := known_keys.missing() + known_keys.foreign(known_keys.known_keys()):
        raise BackupError("\n".join(problems))
    keys = folder(target / f"keys-{_now()}")
    for key in registered():
        if not key.path_setting:
            private_file(keys / key.name).write_text(configured(key.setting) + "\n")
        elif key.path and key.path.exists():
            shutil.copyfile(key.path, private_file(keys / key.name))
    return keys


def restore_database(source: Path, *, actor: Actor, accepted: Collection[str] = ()) -> None:
    """Fill the empty database from a copy, bring it up to date, and let nothing go on by itself.

    A copy is old: since it was made, containers have seen newer pushes and people have decided otherwise. So
    every open push is cancelled, everybody signs in again, and people start new rollouts.

    A key that is missing, or does not fit the copy, leaves the database empty; only those that are `accepted`
    may be others than before.
    """
    if connection.introspection.table_names():
        raise BackupError(_("The database is not empty. Restore into a new one, and keep the old one aside."))
    if not source.is_file():
        raise BackupError(_("%(source)s is not there.") % {"source": source})
    if problems := known_keys.missing(needed=accepted):
        raise BackupError("\n".join(problems))
    (_load_sqlite if connection.vendor == "sqlite" else _load_postgres)(source)
    gate.accepted = frozenset(accepted)
    try:
        gate.hold_against_copy()
    except BaseException as error:
        _empty()
        if isinstance(error, KeysRefused):
            text = _("The keys are not those of this copy; nothing was restored.\n%(error)s") % {
                "error": error
            }
            raise BackupError(text) from error
        raise
    call_command("migrate", verbosity=0)
    saved = head()
    with transaction.atomic():
        accept_keys(accepted, actor=actor)
        for model in short_lived():  # a dump of your own has them
            model._default_manager.all().delete()  # noqa: SLF001  # Django's documented API
        restored.send(sender=None, actor=actor)
        details = {"file": source.name, "head": saved, **kept_head.given_up(kept_head.compare())}
        record("portal.restored", actor=actor, details=details)
    kept_head.keep()


def _empty() -> None:
    """Take out again what was loaded: it must not be mistaken for a restored portal."""
    if connection.vendor == "sqlite":
        with closing(sqlite3.connect(":memory:")) as nothing:
            nothing.backup(connection.connection)
        return
    names = [connection.ops.quote_name(name) for name in connection.introspection.table_names()]
    with gate.emptying(), connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE {', '.join(names)} CASCADE")
        drop_functions(connection)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")


def _left_out() -> list[str]:
    """Return the tables whose rows go into no copy: a session would let its reader in as that person."""
    return [model._meta.db_table for model in short_lived()]  # noqa: SLF001  # Django's documented API


def _copy_sqlite(draft: Path) -> None:
    """Copy in one step of SQLite's online backup: writers go on meanwhile, and the copy has none of it."""
    connection.ensure_connection()
    with closing(sqlite3.connect(draft, isolation_level=None)) as copy:
        connection.connection.backup(copy)
        copy.execute("PRAGMA journal_mode=MEMORY")  # one file, with no others next to it
        for table in _left_out():
            copy.execute(f'DELETE FROM "{table}"')  # noqa: S608  # a table's name, from the models
        copy.execute("VACUUM")  # the rows would still be in the file's unused pages
        _require_whole(copy)


def _load_sqlite(source: Path) -> None:
    connection.ensure_connection()
    try:
        with closing(sqlite3.connect(f"file:{source.resolve()}?mode=ro", uri=True)) as copy:
            _require_whole(copy)
            copy.backup(connection.connection)
    except sqlite3.DatabaseError as error:
        raise BackupError(
            _("%(source)s is not a complete SQLite database: %(error)s.") % {"source": source, "error": error}
        ) from error


def _require_whole(copy: sqlite3.Connection) -> None:
    found = copy.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if found != "ok":
        raise BackupError(_("The copy is damaged: %(found)s") % {"found": found})


def _dump_postgres(draft: Path) -> None:
    options = ["--format=custom", "--no-owner", f"--file={draft}"]
    options += [f"--exclude-table-data={table}" for table in _left_out()]
    _run_postgres("pg_dump", options, database="")


def _load_postgres(source: Path) -> None:
    options = ["--no-owner", "--exit-on-error", "--single-transaction"]
    _run_postgres("pg_restore", [*options, str(source)], database="--dbname=")


def _run_postgres(program: str, options: list[str], *, database: str) -> None:
    """Run one of PostgreSQL's programs on our database; the password goes by its environment."""
    found = shutil.which(program)
    if found is None:
        raise BackupError(
            _("%(program)s is not installed here: install PostgreSQL's client programs.")
            % {"program": program}
        )
    arguments, environment = DatabaseClient.settings_to_cmd_args_env(connection.settings_dict, [])
    *server, name = arguments[1:]
    command = [found, *options, *server, f"{database}{name}"]
    done = subprocess.run(  # noqa: S603  # our own settings, no shell
        command, env={**os.environ, **(environment or {})}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BackupError(
            _("%(program)s failed: %(error)s") % {"program": program, "error": done.stderr.strip()}
        )
