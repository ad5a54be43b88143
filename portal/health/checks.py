"""What the portal itself cannot do without: its database, up to date, and its broker."""

import tempfile
from collections.abc import Iterator
from functools import cache

from celery import current_app
from django.conf import settings
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from prometheus_client import Metric

from portal.health.metrics import collector, gauge
from portal.health.readiness import is_ready, ready_if


class NotReady(Exception):
    """A check's own finding."""


@ready_if("database")
def database_answers() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


@ready_if("migrations")
def database_is_up_to_date() -> None:
    missing = _migrations() - set(MigrationRecorder(connection).applied_migrations())
    if missing:
        raise NotReady(f"{len(missing)} migrations are not applied")


@cache
def _migrations() -> frozenset[tuple[str, str]]:
    return frozenset(MigrationLoader(None).disk_migrations)


@ready_if("broker")
def broker_answers() -> None:
    """Connect as a publisher does: Redis is asked for a PING, the file queue must take a file."""
    with current_app.connection_for_write() as broker:
        broker.connect()
        if broker.transport_cls == "filesystem":
            with tempfile.TemporaryFile(dir=settings.QUEUE) as file:
                file.write(b"ready?")


@collector("broker")
def figures() -> Iterator[Metric]:
    """Workers that have lost their broker still beat, so only asking it shows that it is away."""
    yield gauge("broker_up", "1 if the queue of messages could be reached.", is_ready("broker"))
