"""The only places where the model takes hold of the portal. Everything else that runs is the portal's own.

* `ssh.Connection.open`: leads to a container in memory.
* transactions and statements outside of them, in a worker's thread: a point to stop at, to fail at, and to
  lose the answer of.
* `time.sleep` in a worker's thread: a point to stop at, and no sleep.
* the Celery task's `apply_async`: bells go into a list, or the broker is away.
* keeping the head of the history outside of the database, which is done every five seconds by a real clock.
* `os.urandom`: ids, which decide between pushes that are due at the same moment, are the same in every run.
"""

import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol
from unittest.mock import patch

from django.db import OperationalError, connection, transaction
from kombu.exceptions import OperationalError as BrokerAway

from instances import ssh
from instances.visits import bells
from portal.audit.chain import kept_head
from tests.credentials.rollouts.model import container
from tests.credentials.rollouts.model.container import Site
from tests.credentials.rollouts.model.workers import Fault, Killed, Point, current, pause

Execute = Callable[[str, object, bool, dict[str, Any]], object]


class Outside(Protocol):
    """What the seams need to know of the world around the portal."""

    bells: list[str]
    broker_is_away: bool

    def site_at(self, host: str) -> Site: ...


@contextmanager
def installed(outside: Outside) -> Iterator[None]:
    """Put all seams in place."""
    with ExitStack() as seams:
        seams.enter_context(patch.object(ssh.Connection, "open", _opening(outside)))
        seams.enter_context(patch.object(bells.visit, "apply_async", _ringing(outside)))
        seams.enter_context(patch.object(transaction.Atomic, "__enter__", _enter))
        seams.enter_context(patch.object(transaction.Atomic, "__exit__", _exit))
        seams.enter_context(patch.object(time, "sleep", _sleep))
        seams.enter_context(patch.object(kept_head, "keep_quietly", lambda: None))
        seams.enter_context(patch.object(os, "urandom", random.Random(0).randbytes))
        yield


def in_worker(loop: Callable[[], None]) -> None:
    """Run a worker's loop with this thread's own database connection, and close it at the end.

    It is opened here: what a new connection is told first would be one more point to stop at, in the first
    example alone.
    """
    try:
        connection.ensure_connection()
        with connection.execute_wrapper(_statement):
            loop()
    finally:
        connection.close()


def _opening(outside: Outside) -> Callable[..., container.Connection]:
    def open_(target: ssh.Target, *, tick: ssh.Tick = lambda: None, **_: object) -> container.Connection:
        return container.Connection.open(outside.site_at(target.host), target.host_keys, tick)

    return open_


def _ringing(outside: Outside) -> Callable[..., None]:
    def apply_async(args: tuple[list[str]], **_: object) -> None:
        if outside.broker_is_away:
            raise BrokerAway("away")
        outside.bells.extend(args[0])

    return apply_async


_real_enter = transaction.Atomic.__enter__
_real_exit = transaction.Atomic.__exit__
_real_sleep = time.sleep


def _enter(self: transaction.Atomic) -> None:
    worker = current()
    if worker and not connection.in_atomic_block:
        fault = pause(Point.DATABASE)
        if fault == Fault.FAILS:
            raise OperationalError("simulated: no database")
        worker.loses_commit = fault in (Fault.ANSWER_LOST, Fault.DELAYED)
    _real_enter(self)


def _exit(self: transaction.Atomic, *error: Any) -> None:  # Any: as in Django
    _real_exit(self, *error)
    worker = current()
    if worker and worker.loses_commit and not connection.in_atomic_block:
        worker.loses_commit = False
        if error[0] is None:
            raise OperationalError("simulated: committed, and no answer")


def _statement(execute: Execute, sql: str, params: object, many: bool, context: dict[str, Any]) -> object:
    worker = current()
    if worker and worker.killed:
        raise Killed
    if connection.in_atomic_block or sql.startswith("BEGIN"):  # the transaction was its own point
        return execute(sql, params, many, context)
    fault = pause(Point.DATABASE)
    if fault == Fault.FAILS:
        raise OperationalError("simulated: no database")
    result = execute(sql, params, many, context)
    if fault in (Fault.ANSWER_LOST, Fault.DELAYED):
        raise OperationalError("simulated: done, and no answer")
    return result


def _sleep(seconds: float) -> None:
    if current():
        pause(Point.SLEEP)
    else:
        _real_sleep(seconds)
