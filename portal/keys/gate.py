"""The gate in front of every write: none passes until this process's keys are compared with the database.

It sits in Django's database connections, because everything that writes comes by there: sessions, lock-outs,
heartbeats, tasks, commands, migrations. Reading is always allowed. The first other statement of the process
makes it compare, by reading; if all keys fit, the gate is gone for good and costs nothing any more. While the
database is away nothing is compared, and nothing can be written either.
"""

import logging
import os
import re
import sys
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from django.db import DatabaseError, connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from portal.keys import holders
from portal.keys import known as keys
from portal.keys.making import make_missing
from portal.keys.models import KnownKey
from portal.keys.registry import registered

logger = logging.getLogger(__name__)
RETRY_SECONDS = 1.0
PATIENCE = (
    10.0  # seconds that a start waits for the database's answer; then it serves, and says what it lacks
)
# Whatever is not here counts as a write, so a statement that nobody thought of is refused, not let through.
READS = re.compile(r"\s*(SELECT|PRAGMA|BEGIN|COMMIT|ROLLBACK|SAVEPOINT|RELEASE|SHOW|SET)\b", re.IGNORECASE)


class Gate:
    """The gate of one process."""

    def __init__(self) -> None:
        self.is_open = False
        self.accepted: frozenset[str] = frozenset()
        self._lock = threading.RLock()
        self._trusted: int | None = None  # the thread that records keys and migrates
        self._serving = False
        self._needed: frozenset[str] = frozenset()
        self._also: Callable[[], list[str]] = list

    def close(self) -> None:
        """Guard the writes of this process."""
        self.is_open = False
        connection_created.connect(self._on_connection)
        for each in connections.all(initialized_only=True):
            self._on_connection(each)

    def _on_connection(self, connection: BaseDatabaseWrapper, **_: object) -> None:
        """Guard a connection. At the front of the list: others take theirs away from its end."""
        if connection.alias == "default" and self._pass not in connection.execute_wrappers:
            connection.execute_wrappers.insert(0, self._pass)

    def _pass(
        self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]
    ) -> Any:  # Any: Django's signature of a wrapper
        if not self.is_open and self._trusted != threading.get_ident() and not READS.match(str(sql)):
            self.verify()
        if self.is_open and self._pass in context["connection"].execute_wrappers:
            context["connection"].execute_wrappers.remove(self._pass)
        return execute(sql, params, many, context)

    def verify(self) -> None:
        """Compare all keys with the database, once; `KeysRefused` if one is missing or another one.

        A process that serves ends instead. `DatabaseError` if the database does not answer: ask again later.
        """
        with self._lock:
            if self.is_open:
                return
            if problems := keys.missing(needed=self._needed):
                self._refuse(problems)
            found = keys.known_keys()
            if not keys.is_recorded(found):
                raise keys.NotRecorded
            problems = keys.foreign(found, accepted=self.accepted)
            if self._serving:  # what is not recorded: older keys of the ring, which stored secrets still need
                problems += _evidence() or self._also()
            if problems:
                self._refuse(problems)
            self._open()

    def _open(self) -> None:
        self.is_open = True
        connection_created.disconnect(self._on_connection)

    def _refuse(self, problems: Collection[str]) -> NoReturn:
        error = keys.KeysRefused(problems)
        if self._serving:
            _end(error)
        raise error

    @contextmanager
    def migrating(self) -> Iterator[None]:
        """Let this thread make or change tables, and record at the end which keys the portal has.

        On an empty database, missing keys are made. A key that the database does not know yet is compared
        with the rows that it should have made: so a portal of an older release finds out about a wrong key.
        """
        if self.is_open:
            yield
            return
        if keys.is_empty():
            make_missing()
        found = keys.known_keys()
        unproven = {key.name for key in keys.unrecorded(found)}
        problems = keys.missing() + keys.foreign(found, accepted=self.accepted) + _evidence(unproven)
        if problems:
            raise keys.KeysRefused(problems)
        with self._trusting_this_thread():
            yield
            if keys.has_table(KnownKey):
                keys.record_keys(keys.unrecorded(keys.known_keys()), accepted=self.accepted)
        if keys.has_table(KnownKey):
            self.verify()

    @contextmanager
    def _trusting_this_thread(self) -> Iterator[None]:
        self._trusted = threading.get_ident()
        try:
            yield
        finally:
            self._trusted = None

    @contextmanager
    def emptying(self) -> Iterator[None]:
        """Let this thread remove all tables of a copy that does not belong to the keys."""
        with self._trusting_this_thread():
            yield

    def hold_against_copy(self) -> None:
        """Compare with a copy that was just loaded; `KeysRefused` if a key does not fit it."""
        compared = {key.name for key in registered() if key.name not in self.accepted or not key.takes_over}
        problems = keys.foreign(keys.known_keys(), accepted=self.accepted) + _evidence(compared)
        if problems:
            raise keys.KeysRefused(problems)

    def serve(
        self,
        *,
        needed: Collection[str] = (),
        also: Callable[[], list[str]] = list,
        begun: Callable[[], None] = lambda: None,
    ) -> None:
        """Compare before the process serves, or once the database answers; end the process if a key is wrong.

        A missing key ends it at once: no serving process makes keys, whatever the database holds.
        `also` says what else is wrong with the database, if anything; `begun` is called once all is well.
        """
        self._serving, self._needed, self._also = True, frozenset(needed), also
        if problems := keys.missing(needed=self._needed):
            self._refuse(problems)
        is_compared = threading.Event()
        threading.Thread(
            target=self._compare_soon, args=(is_compared, begun), name="keys", daemon=True
        ).start()
        if not is_compared.wait(PATIENCE):
            logger.warning(
                "The database does not answer. Nothing is written until it does and the keys were compared."
            )

    def _compare_soon(self, is_compared: threading.Event, begun: Callable[[], None]) -> None:
        """Try until the database has answered."""
        pause, is_told = threading.Event(), False
        while not is_compared.is_set():
            try:
                connection.ensure_connection()  # first: a thread that waits for the lock may hold all others
                self.verify()
                keys.record_keys(keys.unrecorded(keys.known_keys()))  # the SSH key of an older release
                begun()
                holders.begin()
                is_compared.set()
            except (DatabaseError, keys.NotRecorded) as error:
                if not is_told:
                    logger.warning("The keys are not compared yet, and nothing is written: %s", error)
                    is_told = True
            except keys.KeysRefused as error:
                _end(error)
            finally:
                connections.close_all()
            if not is_compared.is_set():
                pause.wait(RETRY_SECONDS)


def _evidence(names: Collection[str] | None = None) -> list[str]:
    return [
        text
        for key in registered()
        if (names is None or key.name in names) and key.held()
        for text in key.evidence()
    ]


def _end(error: keys.KeysRefused) -> NoReturn:
    """End the process, from any thread: nothing may go on, and nothing has begun that could be lost."""
    sys.stderr.write(f"The portal does not start:\n{error}\n")
    sys.stderr.flush()
    os._exit(error.STATUS)


gate = Gate()
