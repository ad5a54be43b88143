"""Borrowed database connections: many workers' threads share few, and hold none while they wait elsewhere."""

from django.db import connection


def rest() -> None:
    """Give this thread's connection back to the pool until the next query; without a pool, keep it.

    To be called before waiting for a container: a pool has fewer connections than there are deliveries.
    Inside a transaction nothing happens.
    """
    if not connection.in_atomic_block and connection.settings_dict["OPTIONS"].get("pool"):
        connection.close()
