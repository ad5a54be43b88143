"""Append-only tables: one declaration per model, and triggers in the database that enforce it.

    register(Attempt, unless_open="finished")

next to the model's definition is all that a new append-only table needs. `protection` makes its triggers
after every migrate, and lets no process start without them.

What is no evidence, and grows for ever, may be let go: `removable` rows and `clearable` texts. The triggers
themselves tell these from all others, so that no defect of a housekeeping job can remove more.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.db import connections, models, router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from portal.audit.append_only.triggers import (
    BetweenEquals,
    Rule,
    columns,
    create,
    drop,
    drop_functions,
    existing,
    expected,
    is_ours,
)

__all__ = [
    "AppendOnly",
    "BetweenEquals",
    "drop_functions",
    "make_way",
    "protect",
    "protect_all",
    "register",
    "registered",
    "removable_keys",
    "unprotect",
    "unprotect_all",
    "unprotected",
    "without_triggers",
    "writable",
]


@dataclass(frozen=True)
class AppendOnly:
    """A model whose rows can only be added; with `unless_open`, changed until that field is set."""

    model: type[models.Model]
    unless_open: str = ""
    removable: BetweenEquals | None = None
    clearable: tuple[str, str] | None = None

    @property
    def table(self) -> str:
        return self.model._meta.db_table  # noqa: SLF001  # Django's documented API

    @property
    def rule(self) -> Rule:
        return Rule(
            self.table,
            self.column(self.unless_open) if self.unless_open else "",
            self.removable,
            (self.column(self.clearable[0]), self.column(self.clearable[1])) if self.clearable else None,
        )

    def column(self, name: str) -> str:
        """Return what a field is called in the table."""
        return str(self.model._meta.get_field(name).column)  # type: ignore[union-attr]  # noqa: SLF001


_registered: list[AppendOnly] = []


def register(
    model: type[models.Model],
    *,
    unless_open: str = "",
    removable: BetweenEquals | None = None,
    clearable: tuple[str, str] | None = None,
) -> None:
    """Declare a model append-only.

    With `unless_open`, a row may be changed until that field is set. `removable` rows may be removed. Of a
    frozen row, `clearable` names a text that may be emptied once, and the field that then says when.
    """
    _registered.append(AppendOnly(model, unless_open, removable, clearable))


def registered() -> list[AppendOnly]:
    """Return every append-only model."""
    return list(_registered)


def protect(schema_editor: BaseDatabaseSchemaEditor, table: str, *, unless_open: str = "") -> None:
    """Make the triggers of `table` anew, whatever was there before."""
    _make(schema_editor.connection, Rule(table, unless_open))


def unprotect(schema_editor: BaseDatabaseSchemaEditor, table: str) -> None:
    """Remove the triggers of `table`, for the reverse of a migration."""
    _remove(schema_editor.connection, table)


def removable_keys(model: type[models.Model], *, before: tuple[str, datetime], most: int) -> list[Any]:
    """Return the primary keys of rows that may be removed, at most `most`: the triggers let only these go.

    `before`: a field, and the moment that its value must be earlier than. What another table refers to stays.
    """
    each = next(each for each in _registered if each.model is model)
    if each.removable is None:
        raise ValueError(f"no row of {each.table} may be removed")
    name, moment = before
    connection, key = connections[router.db_for_read(model)], model._meta.pk  # noqa: SLF001  # Django's documented API
    column: Any = model._meta.get_field(name)  # noqa: SLF001  # Any: a field with a value
    conditions = [
        f"{each.column(name)} < %s",
        each.removable.condition(connection.vendor, each.table),
    ]
    conditions += [
        f"NOT EXISTS (SELECT 1 FROM {table} AS other WHERE other.{column} = OLD.{key.column})"  # noqa: S608
        for table, column in _references(model)
    ]
    query = f"SELECT {key.column} FROM {each.table} AS old WHERE {' AND '.join(conditions)} LIMIT %s"  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(query, [column.get_db_prep_value(moment, connection), most])
        return [key.to_python(value) for (value,) in cursor.fetchall()]


def _references(model: type[models.Model]) -> list[tuple[str, str]]:
    """Return the table and column of each foreign key that leads to a model, those without a name too."""
    return [
        (each.related_model._meta.db_table, str(each.field.column))  # noqa: SLF001
        for each in model._meta.get_fields(include_hidden=True)  # noqa: SLF001
        if isinstance(each, models.ForeignObjectRel) and isinstance(each.field, models.ForeignKey)
    ]


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
    for rule in _rules_at_hand(connection):
        if _differences(connection, rule):
            _make(connection, rule)


def make_way(connection: BaseDatabaseWrapper) -> None:
    """Let the triggers name no columns: SQLite alters no table that one of them names.

    Until `protect_all` makes them anew, at the end of a migration, they refuse what may go as well.
    """
    for rule in _rules_at_hand(connection):
        if connection.vendor == "sqlite" and (rule.removable or rule.clearable):
            _make(connection, rule.without_exceptions())


def unprotect_all(connection: BaseDatabaseWrapper) -> None:
    """Remove all triggers, to empty a test database."""
    for rule in _rules_at_hand(connection):
        _remove(connection, rule.table)


def unprotected(connection: BaseDatabaseWrapper) -> list[str]:
    """Return the name of each trigger that is missing, disabled or has another body than it must have."""
    return [name for rule in _rules_at_hand(connection) for name in _differences(connection, rule)]


def _rules_at_hand(connection: BaseDatabaseWrapper) -> list[Rule]:
    """Return the rule of each table that this database has.

    Between two migrations a table, a column or all that an exception is about may be missing.
    """
    found = columns(connection)
    return [_fitting(each.rule, found[each.table]) for each in _registered if each.table in found]


def _fitting(rule: Rule, found: Sequence[str]) -> Rule:
    for candidate in (rule, rule.without_exceptions()):
        if candidate.columns <= set(found):
            return replace(candidate, table_columns=tuple(found))
    return Rule(rule.table, table_columns=tuple(found))


def _differences(connection: BaseDatabaseWrapper, rule: Rule) -> list[str]:
    found = existing(connection, rule.table)
    return [
        name
        for name, trigger in expected(connection, rule).items()
        if name not in found or found[name].definition != trigger.definition
    ]


def _make(connection: BaseDatabaseWrapper, rule: Rule) -> None:
    _remove(connection, rule.table)
    create(connection, expected(connection, rule).values())


def _remove(connection: BaseDatabaseWrapper, table: str) -> None:
    drop(connection, table, [name for name in existing(connection, table) if is_ours(name)])
