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
    for event, when in (("UPDATE", update_when), ("DELETE", "")):
        schema_editor.execute(
            f"CREATE TRIGGER {table}_no_{event.lower()} BEFORE {event} ON {table} {when} "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        )


def unprotect(schema_editor: BaseDatabaseSchemaEditor, table: str) -> None:
    """Remove what `protect` made, for the reverse of a migration and for emptying a test database."""
    postgres = schema_editor.connection.vendor == "postgresql"
    for event in ("update", "delete", "truncate") if postgres else ("update", "delete"):
        schema_editor.execute(
            f"DROP TRIGGER IF EXISTS {table}_no_{event}" + (f" ON {table}" if postgres else "")
        )
