"""Counts what a page asks of the database: statements, and the rows that came back."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper


@dataclass
class Work:
    """How many statements were sent, and how many rows were fetched."""

    statements: int = 0
    rows: int = 0


class _Counting(CursorWrapper):
    """A cursor that counts for one `Work`."""

    work: Work

    def execute(self, *arguments: Any, **named: Any) -> Any:  # Any: Django's own signature
        self.work.statements += 1
        return super().execute(*arguments, **named)

    def executemany(self, *arguments: Any, **named: Any) -> Any:
        self.work.statements += 1
        return super().executemany(*arguments, **named)

    def __iter__(self) -> Iterator[Any]:
        return (self._counted(row) for row in self.cursor)

    def fetchone(self) -> Any:
        return self._counted(self.cursor.fetchone())

    def fetchmany(self, *size: int) -> Sequence[Any]:
        return self._all_counted(self.cursor.fetchmany(*size))

    def fetchall(self) -> Sequence[Any]:
        return self._all_counted(self.cursor.fetchall())

    def _counted(self, row: Any) -> Any:
        self.work.rows += row is not None
        return row

    def _all_counted(self, rows: Sequence[Any]) -> Sequence[Any]:
        self.work.rows += len(rows)
        return rows


@contextmanager
def counted(connection: BaseDatabaseWrapper) -> Iterator[Work]:
    """Count what is asked through this connection until the block ends."""
    work = Work()

    def make_cursor(cursor: Any) -> CursorWrapper:  # Any: the database's own cursor
        wrapper = _Counting(cursor, connection)
        wrapper.work = work
        return wrapper

    with (
        patch.object(connection, "make_cursor", make_cursor),
        patch.object(connection, "make_debug_cursor", make_cursor),
    ):
        yield work
