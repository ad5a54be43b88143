"""Borrowed database connections: many workers' threads share few, and hold none while they wait elsewhere."""

from typing import TYPE_CHECKING, Any

from django.db import connection, connections

if TYPE_CHECKING:
    from psycopg_pool import ConnectionPool


def rest() -> None:
    """Give this thread's connection back to the pool until the next query; without a pool, keep it.

    To be called before waiting for a container: a pool has fewer connections than there are deliveries.
    Inside a transaction nothing happens.
    """
    if not connection.in_atomic_block and connection.settings_dict["OPTIONS"].get("pool"):
        connection.close()


def try_again(pool: "ConnectionPool[Any]") -> None:
    """Let a pool that could not connect try at once, about every second until the server is back.

    By itself it waits twice as long after each failure, and misses a server that was away for two seconds
    by half a minute.
    """
    pool.check()


def prepare_statements() -> None:
    """Let PostgreSQL plan this process's statements once; to be called before the first connection.

    For workers: they ask the same things with many joins again and again, and planning those costs more than
    running them. Not for pages: a plan that suits all values is a bad one for a search for what is rare.
    """
    if connection.vendor == "postgresql":
        options = {"server_side_binding": True, "prepare_threshold": 5}
        connections.settings["default"]["OPTIONS"].update(options)
