"""Database triggers that refuse to change or remove rows of append-only tables, on both databases."""

from django.db.backends.base.schema import BaseDatabaseSchemaEditor

POSTGRES_FUNCTION = """
CREATE OR REPLACE FUNCTION portal_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
END $$
"""


def protect(schema_editor: BaseDatabaseSchemaEditor, table: str, *, unless_open: str = "") -> None:
    """Refuse UPDATE and DELETE on `table`; with `unless_open`, only once that column is set."""
    update_when = f"WHEN (OLD.{unless_open} IS NOT NULL)" if unless_open else ""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(POSTGRES_FUNCTION, params=None)  # its % is no placeholder
        for event, level, when in (
            ("UPDATE", "ROW", update_when),
            ("DELETE", "ROW", ""),
            ("TRUNCATE", "STATEMENT", ""),
        ):
            schema_editor.execute(
                f"CREATE TRIGGER {table}_no_{event.lower()} BEFORE {event} ON {table} "
                f"FOR EACH {level} {when} EXECUTE FUNCTION portal_append_only()"
            )
        return
    # REPLACE INTO removes the row in its way without asking the trigger on DELETE.
    insert_when = f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {_same_row(schema_editor, table)})"  # noqa: S608  # own names
    for event, when in (("INSERT", insert_when), ("UPDATE", update_when), ("DELETE", "")):
        schema_editor.execute(
            f"CREATE TRIGGER {table}_no_{event.lower()} BEFORE {event} ON {table} {when} "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        )


def _same_row(schema_editor: BaseDatabaseSchemaEditor, table: str) -> str:
    """Return the SQLite condition under which a new row would take the place of an existing one."""
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(
            "SELECT i.name, c.name FROM pragma_index_list(%s) i, pragma_index_info(i.name) c"
            ' WHERE i."unique" AND NOT i.partial',
            [table],
        )
        keys: dict[str, list[str]] = {}
        for index, column in cursor.fetchall():
            keys.setdefault(index, []).append(f"{column} = NEW.{column}")
    return " OR ".join(f"({' AND '.join(columns)})" for columns in keys.values())


def unprotect(schema_editor: BaseDatabaseSchemaEditor, table: str) -> None:
    """Remove what `protect` made, for the reverse of a migration and for emptying a test database."""
    postgres = schema_editor.connection.vendor == "postgresql"
    for event in ("update", "delete", "truncate") if postgres else ("insert", "update", "delete"):
        schema_editor.execute(
            f"DROP TRIGGER IF EXISTS {table}_no_{event}" + (f" ON {table}" if postgres else "")
        )
