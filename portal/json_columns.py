"""Database functions for JSON columns that Django has only for keys known beforehand, or not at all."""

from typing import Any

from django.db.models import CharField, Func, IntegerField, Value
from django.db.models.functions import Concat


class JSONText(Func):
    """The text that a JSON object has under the key that another expression gives; NULL without one.

    The key may hold letters, digits, `_`, `-` and `.`: SQLite has no way to quote others in a path.
    """

    output_field = CharField()
    arity = 2

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        """Compile for SQLite, which names a value by a path."""
        column, key = self.get_source_expressions()
        path = Concat(Value('$."'), key, Value('"'), output_field=CharField())
        extract = Func(column, path.resolve_expression(compiler.query), function="JSON_EXTRACT")
        return extract.as_sql(compiler, connection)

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        """Compile for PostgreSQL, which has an operator."""
        return self.as_sql(compiler, connection, template="(%(expressions)s)", arg_joiner=" ->> ", **context)


class JSONSize(Func):
    """How many keys a JSON object has."""

    output_field = IntegerField()
    arity = 1

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        """Compile for SQLite."""
        template = "(SELECT COUNT(*) FROM JSON_EACH(%(expressions)s))"
        return self.as_sql(compiler, connection, template=template, **context)

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        """Compile for PostgreSQL."""
        template = "(SELECT COUNT(*) FROM JSONB_OBJECT_KEYS(%(expressions)s))"
        return self.as_sql(compiler, connection, template=template, **context)
