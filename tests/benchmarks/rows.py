"""Many rows into a table, as fast as the database takes them."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from django.db import connection, models
from django.db.models.expressions import DatabaseDefault

CHUNK = 5_000


def store(rows: Iterable[models.Model]) -> int:
    """Insert rows of one model and return how many. What the first leaves to the database, all do."""
    count = 0
    for chunk in _chunks(rows):
        if connection.vendor == "postgresql":
            _copy(chunk)
        else:
            table: models.QuerySet[models.Model] = models.QuerySet(type(chunk[0]))
            table.bulk_create(chunk)
        count += len(chunk)
    return count


def _copy(rows: list[models.Model]) -> None:
    """Send rows by COPY, which spares the database parsing and planning."""
    options = type(rows[0])._meta
    given = [field for field in options.concrete_fields if rows[0].pk is not None or not field.primary_key]
    fields = [field for field in given if not isinstance(getattr(rows[0], field.attname), DatabaseDefault)]
    quote = connection.ops.quote_name
    columns = ", ".join(quote(str(field.column)) for field in fields)
    with (
        connection.cursor() as cursor,
        cursor.copy(f"COPY {quote(options.db_table)} ({columns}) FROM STDIN") as copy,
    ):
        for row in rows:
            copy.write_row([_value(field, row) for field in fields])
            row._state.adding = False


def _value(field: "models.Field[Any, Any]", row: models.Model) -> object:
    value = getattr(row, field.attname)
    if isinstance(field, models.JSONField):
        return field.get_db_prep_save(value, connection)
    return value


def refresh_statistics() -> None:
    """Let the database count what is new, as its own housekeeping does sooner or later."""
    may_vacuum = connection.vendor == "postgresql" and not connection.in_atomic_block
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE" if may_vacuum else "ANALYZE")


def _chunks(rows: Iterable[models.Model]) -> Iterator[list[models.Model]]:
    iterator = iter(rows)
    while chunk := list(islice(iterator, CHUNK)):
        yield chunk
