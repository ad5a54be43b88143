"""Moments of the past, for Python and for the database alike."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

AS_DJANGO_ASKS = "%Y-%m-%d %H:%M:%f"
"""The format of `Now()` and of its defaults on SQLite; its %f is %S.%f in Python, cut to thousandths."""


@contextmanager
def database_follows() -> Iterator[None]:
    """Let the database follow Python's clock, which `time_machine` sets, in all connections."""
    if connection.vendor != "sqlite":
        yield
        return
    connection.ensure_connection()
    _follow(connection=connection)
    connection_created.connect(_follow)
    try:
        yield
    finally:
        connection_created.disconnect(_follow)
        connection.close()  # SQLite does not bring its own function back; a new connection has it


def _follow(*, connection: BaseDatabaseWrapper, **_rest: object) -> None:
    connection.connection.create_function("strftime", -1, _now)


def _now(form: str, moment: str = "now", *changes: str) -> str:
    if form != AS_DJANGO_ASKS or moment.lower() != "now" or changes:
        raise NotImplementedError(form)
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3]
