"""Borrowed database connections: many workers' threads share few, and hold none while they wait elsewhere."""

import logging
import threading
from typing import TYPE_CHECKING, Any

from django.db import connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper

if TYPE_CHECKING:
    from psycopg_pool import ConnectionPool

logger = logging.getLogger(__name__)
_ending = threading.Event()
BUSY_SECONDS = 20.0
"""How long a thread waits for one of the pool's connections while others use them all."""
AWAY_SECONDS = 2.0
"""How long it waits once the pool could not connect: nothing it does without the database is worth more."""


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
    by half a minute. Meanwhile nobody waits long for it, so that a process ends soon when it is told to.
    """
    pool.timeout = AWAY_SECONDS
    pool.check()


def is_back(connection: BaseDatabaseWrapper, **_: object) -> None:
    """Let threads wait for a pool's connections again, once one was given; Django says so."""
    pool = getattr(connection, "pool", None)
    if pool is not None and pool.timeout == AWAY_SECONDS and not _ending.is_set():
        pool.timeout = BUSY_SECONDS
        logger.info("the database answers again")


def hurry(**_: object) -> None:
    """Let no thread wait long for a connection any more: this process was told to end."""
    _ending.set()
    pool = getattr(connection, "pool", None)
    if pool is not None:
        pool.timeout = AWAY_SECONDS


def connect_directly() -> None:
    """Use no pool in this process; to be called before the first connection.

    For commands of people and the scheduler, which have few threads: they learn at once, and why, that the
    database is away, and hold on to nothing when they are told to end.
    """
    connections.settings["default"].get("OPTIONS", {}).pop("pool", None)


def prepare_statements() -> None:
    """Let PostgreSQL plan this process's statements once; to be called before the first connection.

    For workers: they ask the same things with many joins again and again, and planning those costs more than
    running them. Not for pages: a plan that suits all values is a bad one for a search for what is rare.
    """
    if connection.vendor == "postgresql":
        options = {"server_side_binding": True, "prepare_threshold": 5}
        connections.settings["default"]["OPTIONS"].update(options)
