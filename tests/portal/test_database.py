"""What the portal asks of its database beyond Django's defaults."""

import time
from typing import Any

import pytest
from django.conf import settings
from django.db import connection, connections
from psycopg_pool import ConnectionPool

from portal.processes.database import prepare_statements, try_again
from tests.services.postgres_server import PostgresServer, reason_against_postgres
from tests.services.programs import require_that
from tests.services.waiting import wait_until


@pytest.mark.django_db
def test_a_frozen_worker_cannot_keep_rows_locked_for_longer_than_its_lease() -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite: no row outlives its process's lock")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT setting::int FROM pg_settings WHERE name = 'idle_in_transaction_session_timeout'"
        )
        [milliseconds] = cursor.fetchone()
    assert milliseconds == settings.PUSH_LEASE * 1000


@pytest.mark.django_db
def test_a_worker_s_statements_are_planned_once(monkeypatch: pytest.MonkeyPatch) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite: it has no server that could keep plans")
    settings_of_it = connections.settings["default"]
    monkeypatch.setitem(settings_of_it, "OPTIONS", {**settings_of_it["OPTIONS"]})
    prepare_statements()
    monkeypatch.delitem(settings_of_it["OPTIONS"], "pool", raising=False)  # which has its connections already
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            for number in range(8):
                cursor.execute("SELECT %s::int", [number])
            cursor.execute("SELECT statement FROM pg_prepared_statements")
            assert cursor.fetchall() == [("SELECT $1::int",)]
    finally:
        other.close()


def test_a_pool_notices_within_moments_that_the_server_is_back() -> None:
    require_that(not reason_against_postgres(), "no PostgreSQL here (Debian package postgresql)")
    failures = []

    def failed(pool: "ConnectionPool[Any]") -> None:
        failures.append(pool)
        try_again(pool)

    with PostgresServer() as server:
        server.stop()
        with ConnectionPool(
            server.url("postgres"), min_size=1, max_size=2, reconnect_timeout=1, reconnect_failed=failed
        ) as pool:
            # By itself the pool would wait for eight seconds by now.
            wait_until(lambda: len(failures) > 4, within=60, what="five failures")
            server.start()
            began = time.monotonic()
            with pool.connection(timeout=30):
                assert time.monotonic() - began < 7
