"""Append-only tables: one declaration per model, and triggers in the database that enforce it.

    register(Attempt, unless_open="finished")

next to the model's definition is all that a new append-only table needs. `protection` makes its triggers
after every migrate, and lets no process start without them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from portal.audit.append_only.triggers import create, drop, existing, expected, is_ours


@dataclass(frozen=True)
class AppendOnly:
    """A model whose rows can only be added; with `unless_open`, changed until that field is set."""

    model: type[models.Model]
    unless_open: str = ""

    @property
    def table(self) -> str:
        return self.model._meta.db_table  # noqa: SLF001  # Django's documented API

    @property
    def open_column(self) -> str:
        return self._column(self.unless_open) if self.unless_open else ""

    def _column(self, name: str) -> str:
        return str(self.model._meta.get_field(name).column)  # type: ignore[union-attr]  # noqa: SLF001


_registered: list[AppendOnly] = []


def register(model: type[models.Model], *, unless_open: str = "") -> None:
    """Declare a model append-only. With `unless_open`, a row may be changed until that field is set."""
    _registered.append(AppendOnly(model, unless_open))


def registered() -> list[AppendOnly]:
    """Return every append-only model."""
    return list(_registered)


def protect(schema_editor: BaseDatabaseSchemaEditor, table: str, *, unless_open: str = "") -> None:
    """Make the triggers of `table` anew, whatever was there before."""
    _make(schema_editor.connection, table, unless_open)


def unprotect(schema_editor: BaseDatabaseSchemaEditor, table: str) -> None:
    """Remove the triggers of `table`, for the reverse of a migration."""
    _remove(schema_editor.connection, table)


@contextmanager
def writable(schema_editor: BaseDatabaseSchemaEditor, table: str) -> Iterator[None]:
    """Let a data migration change rows of `table`: its triggers are off inside, and then as they were.

    Change data only, not the table. Triggers that an earlier migration lost stay away until the end of
    `migrate`.
    """
    with without_triggers(schema_editor.connection, table):
        yield


@contextmanager
def without_triggers(connection: BaseDatabaseWrapper, table: str) -> Iterator[None]:
    """Take the triggers of `table` off inside, and make them again as they were.

    All of it is one transaction: nobody else sees the table without its triggers, and a failure brings them
    back. PostgreSQL locks the table until that transaction ends.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("an append-only table is made writable within a transaction only")
    found = [each for each in existing(connection, table).values() if is_ours(each.name)]
    drop(connection, table, [each.name for each in found])
    yield
    create(connection, found)


def protect_all(connection: BaseDatabaseWrapper) -> None:
    """Make the triggers of all append-only tables anew where they are missing or differ; in a transaction."""
    for each in _at_hand(connection):
        if _differences(connection, each):
            _make(connection, each.table, each.open_column)


def unprotect_all(connection: BaseDatabaseWrapper) -> None:
    """Remove all triggers, to empty a test database."""
    for each in _at_hand(connection):
        _remove(connection, each.table)


def unprotected(connection: BaseDatabaseWrapper) -> list[str]:
    """Return the name of each trigger that is missing, disabled or has another body than it must have."""
    return [name for each in _at_hand(connection) for name in _differences(connection, each)]


def _at_hand(connection: BaseDatabaseWrapper) -> list[AppendOnly]:
    """Return what this database has tables for: between migrations some are missing."""
    with connection.cursor() as cursor:
        tables = set(connection.introspection.table_names(cursor))
    return [each for each in _registered if each.table in tables]


def _differences(connection: BaseDatabaseWrapper, each: AppendOnly) -> list[str]:
    found = existing(connection, each.table)
    missing = [
        name
        for name, trigger in expected(connection, each.table, each.open_column).items()
        if name not in found or found[name].definition != trigger.definition
    ]
    return missing if missing and _has_open_column(connection, each) else []


def _has_open_column(connection: BaseDatabaseWrapper, each: AppendOnly) -> bool:
    """Whether the table is already, or still, one that this release knows."""
    if not each.open_column:
        return True
    with connection.cursor() as cursor:
        columns = connection.introspection.get_table_description(cursor, each.table)
    return each.open_column in {column.name for column in columns}


def _make(connection: BaseDatabaseWrapper, table: str, open_column: str) -> None:
    _remove(connection, table)
    create(connection, expected(connection, table, open_column).values())


def _remove(connection: BaseDatabaseWrapper, table: str) -> None:
    drop(connection, table, [name for name in existing(connection, table) if is_ours(name)])
