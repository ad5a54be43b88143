"""Statements that the ORM cannot express, made of parts that it can."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, TypeVar
from uuid import UUID

from django.db import connection
from django.db.models import BooleanField, ExpressionWrapper, Q, QuerySet, UUIDField

Row = TypeVar("Row")


def compiled(rows: "QuerySet[Any, Any]") -> tuple[str, tuple[Any, ...]]:  # Any: of whichever model
    """Return the text and the values of a query that is to be a part of another one."""
    text, values = rows.query.get_compiler(connection=connection).as_sql()
    return text, tuple(values)


def fetch(parts: Sequence[str], values: Sequence[Any]) -> list[tuple[Any, ...]]:  # Any: values of columns
    """Run the statement that these parts make, and return its rows."""
    with connection.cursor() as cursor:
        cursor.execute(" ".join(parts), values)
        return list(cursor.fetchall())


def is_true(condition: Q) -> "ExpressionWrapper[Q]":
    """Return a column that says whether a condition is met."""
    return ExpressionWrapper(condition, output_field=BooleanField())


def stored_id(pk: UUID) -> Any:  # Any: text on SQLite
    """Return an id as a statement takes it on either engine."""
    return UUIDField().get_db_prep_value(pk, connection)


class Paged(Sequence[Row]):
    """Rows that the database counts and cuts, as a paginator asks for them: a length and slices."""

    def __init__(self, count: Callable[[], int], part: Callable[[int, int], list[Row]]) -> None:
        """`part` returns the rows from one number up to another one."""
        self._count, self._part = count, part

    @cached_property
    def _length(self) -> int:
        return self._count()

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, asked: Any) -> Any:  # Any: an index or a slice
        if isinstance(asked, slice):
            begin, end, _step = asked.indices(len(self))
            return self._part(begin, end)
        return self._part(asked, asked + 1)[0]


def id_of(stored: Any) -> UUID | None:  # Any: text on SQLite, which has no type for it
    """Return an id as a raw statement returns it on either engine."""
    return UUID(stored) if isinstance(stored, str) else stored
