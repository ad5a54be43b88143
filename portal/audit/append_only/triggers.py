"""The triggers that make a table append-only: as they must be, and as they are, on SQLite and PostgreSQL.

SQLite drops a table's triggers without a word when Django rebuilds the table. PostgreSQL keeps them, but a
trigger can be disabled and its function replaced. So both are compared as they really are.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

POSTGRES_BODY = """
BEGIN
  RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
END
"""
POSTGRES_FUNCTION = (
    f"CREATE OR REPLACE FUNCTION portal_append_only() RETURNS trigger LANGUAGE plpgsql AS $${POSTGRES_BODY}$$"
)


@dataclass(frozen=True)
class Trigger:
    """A trigger: the statements that make it, and what distinguishes it from one that only has its name."""

    name: str
    create: tuple[str, ...]
    definition: str


def expected(connection: BaseDatabaseWrapper, table: str, open_column: str = "") -> dict[str, Trigger]:
    """Return the triggers that refuse UPDATE and DELETE on `table`, and everything that has the same effect.

    With `open_column`, a row may be changed as long as that column is NULL.
    """
    make = _expected_postgres if connection.vendor == "postgresql" else _expected_sqlite
    return {trigger.name: trigger for trigger in make(connection, table, open_column)}


def existing(connection: BaseDatabaseWrapper, table: str) -> dict[str, Trigger]:
    """Return the triggers that `table` has."""
    look = _existing_postgres if connection.vendor == "postgresql" else _existing_sqlite
    return {trigger.name: trigger for trigger in look(connection, table)}


def is_ours(name: str) -> bool:
    """Whether a trigger is one of these, also if it kept the former name of its table."""
    return name.endswith(("_no_insert", "_no_update", "_no_delete", "_no_truncate"))


def drop(connection: BaseDatabaseWrapper, table: str, names: Iterable[str]) -> None:
    """Remove triggers from `table`."""
    on_table = f" ON {_quoted(connection, table)}" if connection.vendor == "postgresql" else ""
    with connection.cursor() as cursor:
        _check_foreign_keys(connection, cursor)
        for name in names:
            cursor.execute(f"DROP TRIGGER {_quoted(connection, name)}{on_table}")


def create(connection: BaseDatabaseWrapper, made: Iterable[Trigger]) -> None:
    """Add triggers to their tables."""
    with connection.cursor() as cursor:
        _check_foreign_keys(connection, cursor)
        if connection.vendor == "postgresql":
            cursor.execute(POSTGRES_FUNCTION)
        for trigger in made:
            for statement in trigger.create:
                cursor.execute(statement)


def _check_foreign_keys(connection: BaseDatabaseWrapper, cursor: CursorWrapper) -> None:
    """Check now what PostgreSQL would check at the end: it refuses to alter a table with pending checks."""
    if connection.vendor == "postgresql":
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")


def _quoted(connection: BaseDatabaseWrapper, name: str) -> str:
    return connection.ops.quote_name(name)


def _expected_sqlite(connection: BaseDatabaseWrapper, table: str, open_column: str) -> list[Trigger]:
    # REPLACE removes the row in its way without asking the trigger on DELETE.
    same = _same_row(connection, table)
    taken = f"EXISTS (SELECT 1 FROM {table} AS other WHERE {same}"  # noqa: S608  # own names
    conditions = {
        "insert": f"WHEN {taken})",
        "update": f"WHEN OLD.{open_column} IS NOT NULL OR {taken} AND other.rowid <> OLD.rowid)"
        if open_column
        else "",
        "delete": "",
    }
    return [
        _sqlite(
            f"{table}_no_{event}",
            f"CREATE TRIGGER {table}_no_{event} BEFORE {event.upper()} ON {table} {when} "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END",
        )
        for event, when in conditions.items()
    ]


def _existing_sqlite(connection: BaseDatabaseWrapper, table: str) -> list[Trigger]:
    with connection.cursor() as cursor:
        query = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = %s"
        cursor.execute(query, [table])
        return [_sqlite(name, statement) for name, statement in cursor.fetchall()]


def _sqlite(name: str, statement: str) -> Trigger:
    return Trigger(name, (statement,), " ".join(statement.split()))


def _same_row(connection: BaseDatabaseWrapper, table: str) -> str:
    """Return the SQLite condition under which a new row would take the place of an `other` one.

    Partial indexes are left out: ours are for rows that are still open, and those may be changed anyway.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT i.name, c.name FROM pragma_index_list(%s) i, pragma_index_info(i.name) c"
            ' WHERE i."unique" AND NOT i.partial ORDER BY i.name, c.seqno',
            [table],
        )
        keys: dict[str, list[str]] = {"": ["other.rowid = NEW.rowid"]}
        for index, column in cursor.fetchall():
            keys.setdefault(index, []).append(f"other.{column} = NEW.{column}")
    return "(" + " OR ".join(f"({' AND '.join(columns)})" for columns in keys.values()) + ")"


def _expected_postgres(connection: BaseDatabaseWrapper, table: str, open_column: str) -> list[Trigger]:
    update_when = f"WHEN (OLD.{open_column} IS NOT NULL) " if open_column else ""
    conditions = (("update", "ROW", update_when), ("delete", "ROW", ""), ("truncate", "STATEMENT", ""))
    return [
        _postgres(
            f"{table}_no_{event}",
            f"CREATE TRIGGER {table}_no_{event} BEFORE {event.upper()} ON {table} "
            f"FOR EACH {level} {when}EXECUTE FUNCTION portal_append_only()",
            table=table,
            state="A",
            body=POSTGRES_BODY,
        )
        for event, level, when in conditions
    ]


def _existing_postgres(connection: BaseDatabaseWrapper, table: str) -> list[Trigger]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT t.tgname, pg_get_triggerdef(t.oid, true), t.tgenabled, p.prosrc"
            " FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid"
            " WHERE t.tgrelid = to_regclass(%s) AND NOT t.tgisinternal",
            [_quoted(connection, table)],
        )
        return [
            _postgres(name, statement, table=table, state=state, body=body)
            for name, statement, state, body in cursor.fetchall()
        ]


def _postgres(name: str, statement: str, *, table: str, state: str, body: str) -> Trigger:
    """`state` is pg_trigger.tgenabled: A also fires where session_replication_role silences the others."""
    set_state = {"A": "ENABLE ALWAYS", "R": "ENABLE REPLICA", "D": "DISABLE"}.get(state, "ENABLE")
    plain = " ".join(statement.lower().replace("(", " ").replace(")", " ").split())
    alter = f"ALTER TABLE {table} {set_state} TRIGGER {name}"
    return Trigger(name, (statement, alter), f"{state} {plain} {body}")
