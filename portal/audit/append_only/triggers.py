"""The triggers that make a table append-only: as they must be, and as they are, on SQLite and PostgreSQL.

SQLite drops a table's triggers without a word when Django rebuilds the table. PostgreSQL keeps them, but a
trigger can be disabled and its function replaced. So both are compared as they really are.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

FUNCTION = "portal_append_only"
POSTGRES_BODY = """
BEGIN{exceptions}
  RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
END
"""


@dataclass(frozen=True)
class BetweenEquals:
    """The rows between the first and the last of a run of rows that say the same: no evidence needs them.

    `of`: the column that all rows of a run share; `order`: the column that tells which comes next, and `key`
    among equals; `equal`: the columns that say something. `vendors`: what must hold as well, in SQL on the
    row `OLD`, by the vendor of the database; `named`: the columns that it names.
    """

    of: str
    order: str
    equal: tuple[str, ...]
    vendors: Mapping[str, str] = field(default_factory=dict)
    named: tuple[str, ...] = ()
    key: str = "id"

    @property
    def columns(self) -> set[str]:
        return {self.of, self.order, self.key, *self.equal, *self.named}

    def condition(self, vendor: str, table: str) -> str:
        """Return in SQL whether the row `OLD` is such a row: both of its neighbours are equal to it."""
        earlier, later = (self._neighbour(table, *way) for way in (("<", "DESC"), (">", "ASC")))
        further = self.vendors.get(vendor)
        return f"{earlier} AND {later}" + (f" AND {further}" if further else "")

    def _neighbour(self, table: str, less: str, way: str) -> str:
        same = " AND ".join(f"near.{each} IS NOT DISTINCT FROM OLD.{each}" for each in self.equal)
        return (
            f"EXISTS (SELECT 1 FROM (SELECT * FROM {table} AS every"  # noqa: S608  # own names
            f" WHERE every.{self.of} = OLD.{self.of}"
            f" AND every.{self.order} {less}= OLD.{self.order}"
            f" AND (every.{self.order}, every.{self.key}) {less} (OLD.{self.order}, OLD.{self.key})"
            f" ORDER BY every.{self.order} {way}, every.{self.key} {way} LIMIT 1)"
            f" AS near WHERE {same})"
        )


@dataclass(frozen=True)
class Rule:
    """What may happen to the rows of an append-only table."""

    table: str
    open_column: str = ""
    """A row may be changed as long as this column is NULL."""
    removable: BetweenEquals | None = None
    """Rows that may be removed."""
    clearable: tuple[str, str] | None = None
    """A text that may be emptied once, and the column that must say when; nothing else may change with it."""
    table_columns: tuple[str, ...] = ()
    """All columns of the table, where something may be emptied."""

    @property
    def columns(self) -> set[str]:
        """The columns that the table must have for this."""
        named = {self.open_column} if self.open_column else set()
        return named | (self.removable.columns if self.removable else set()) | set(self.clearable or ())

    def without_exceptions(self) -> "Rule":
        """Return the rule by which nothing may go."""
        return Rule(self.table, self.open_column, table_columns=self.table_columns)


@dataclass(frozen=True)
class Trigger:
    """A trigger: the statements that make it, and what distinguishes it from one that only has its name."""

    name: str
    create: tuple[str, ...]
    definition: str


def expected(connection: BaseDatabaseWrapper, rule: Rule) -> dict[str, Trigger]:
    """Return the triggers that refuse UPDATE and DELETE, and everything that has the same effect.

    They let through what the rule allows.
    """
    make = _expected_postgres if connection.vendor == "postgresql" else _expected_sqlite
    return {trigger.name: trigger for trigger in make(connection, rule)}


def columns(connection: BaseDatabaseWrapper) -> dict[str, list[str]]:
    """Return the columns of every table of the database; one statement."""
    if connection.vendor == "postgresql":
        query = (
            "SELECT table_name, column_name FROM information_schema.columns"
            " WHERE table_schema = current_schema()"
        )
    else:
        query = (
            "SELECT t.name, c.name FROM sqlite_master AS t, pragma_table_info(t.name) AS c"
            " WHERE t.type = 'table'"
        )
    found: dict[str, list[str]] = {}
    with connection.cursor() as cursor:
        cursor.execute(query)
        for table, column in cursor.fetchall():
            found.setdefault(table, []).append(column)
    return found


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
        for trigger in made:
            for statement in trigger.create:
                cursor.execute(statement)


def drop_functions(connection: BaseDatabaseWrapper) -> None:
    """Remove what the triggers call, and the triggers with it, from a database that is being emptied."""
    if connection.vendor != "postgresql":
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT proname FROM pg_proc WHERE starts_with(proname, %s)"
            " AND pronamespace = to_regnamespace(current_schema())",
            [FUNCTION],
        )
        for (name,) in cursor.fetchall():
            cursor.execute(f"DROP FUNCTION {_quoted(connection, name)}() CASCADE")


def _check_foreign_keys(connection: BaseDatabaseWrapper, cursor: CursorWrapper) -> None:
    """Check now what PostgreSQL would check at the end: it refuses to alter a table with pending checks."""
    if connection.vendor == "postgresql":
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")


def _quoted(connection: BaseDatabaseWrapper, name: str) -> str:
    return connection.ops.quote_name(name)


def _clears(rule: Rule) -> str:
    """Return in SQL whether an update only empties the text that may be emptied; nothing if none may."""
    if not rule.clearable:
        return ""
    text, when = rule.clearable
    others = sorted(set(rule.table_columns) - {text, when})
    same = [f"NEW.{each} IS NOT DISTINCT FROM OLD.{each}" for each in others]
    return " AND ".join((f"NEW.{text} = ''", f"OLD.{when} IS NULL", f"NEW.{when} IS NOT NULL", *same))


def _expected_sqlite(connection: BaseDatabaseWrapper, rule: Rule) -> list[Trigger]:
    # REPLACE removes the row in its way without asking the trigger on DELETE.
    table = rule.table
    same = _same_row(connection, table)
    taken = f"EXISTS (SELECT 1 FROM {table} AS other WHERE {same}"  # noqa: S608  # own names
    closed = f"OLD.{rule.open_column} IS NOT NULL"
    clears = _clears(rule)
    closed += f" AND NOT ({clears})" if clears else ""
    removes = rule.removable.condition(connection.vendor, table) if rule.removable else ""
    conditions = {
        "insert": f"WHEN {taken})",
        "update": f"WHEN {closed} OR {taken} AND other.rowid <> OLD.rowid)" if rule.open_column else "",
        "delete": f"WHEN NOT ({removes})" if removes else "",
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


def _expected_postgres(connection: BaseDatabaseWrapper, rule: Rule) -> list[Trigger]:
    table = rule.table
    update_when = f"WHEN (OLD.{rule.open_column} IS NOT NULL) " if rule.open_column else ""
    conditions = (("update", "ROW", update_when), ("delete", "ROW", ""), ("truncate", "STATEMENT", ""))
    exceptions = _postgres_exceptions(connection, rule)
    function = f"{FUNCTION}_{table}" if exceptions else FUNCTION
    body = POSTGRES_BODY.format(exceptions=exceptions)
    return [
        _postgres(
            f"{table}_no_{event}",
            f"CREATE TRIGGER {table}_no_{event} BEFORE {event.upper()} ON {table} "
            f"FOR EACH {level} {when}EXECUTE FUNCTION {function}()",
            table=table,
            state="A",
            function=function,
            body=body,
        )
        for event, level, when in conditions
    ]


def _postgres_exceptions(connection: BaseDatabaseWrapper, rule: Rule) -> str:
    """Return the statements that let through what the rule allows.

    One statement for each event: the other's row, OLD or NEW, is not there.
    """
    cases = {
        ("UPDATE", "NEW"): _clears(rule),
        ("DELETE", "OLD"): rule.removable.condition(connection.vendor, rule.table) if rule.removable else "",
    }
    return "".join(
        f"\n  IF TG_OP = '{event}' THEN IF {condition} THEN RETURN {row}; END IF; END IF;"
        for (event, row), condition in cases.items()
        if condition
    )


def _existing_postgres(connection: BaseDatabaseWrapper, table: str) -> list[Trigger]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT t.tgname, pg_get_triggerdef(t.oid, true), t.tgenabled, p.proname, p.prosrc"
            " FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid"
            " WHERE t.tgrelid = to_regclass(%s) AND NOT t.tgisinternal",
            [_quoted(connection, table)],
        )
        return [
            _postgres(name, statement, table=table, state=state, function=function, body=body)
            for name, statement, state, function, body in cursor.fetchall()
        ]


def _postgres(name: str, statement: str, *, table: str, state: str, function: str, body: str) -> Trigger:
    """`state` is pg_trigger.tgenabled: A also fires where session_replication_role silences the others."""
    make = f"CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS $${body}$$"
    set_state = {"A": "ENABLE ALWAYS", "R": "ENABLE REPLICA", "D": "DISABLE"}.get(state, "ENABLE")
    plain = " ".join(statement.lower().replace("(", " ").replace(")", " ").split())
    alter = f"ALTER TABLE {table} {set_state} TRIGGER {name}"
    return Trigger(name, (make, statement, alter), f"{state} {plain} {body}")
