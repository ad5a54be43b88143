"""What the portal asks of its database beyond Django's defaults."""

import pytest
from django.conf import settings
from django.db import connection


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
