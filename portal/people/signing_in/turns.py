"""How many passwords are hashed at once. A hash takes a core for half a second, on purpose.

Strangers can ask for as many as they like. A request that finds no turn is told so at once, and nothing is
counted: threads that wait would not be there for people who are signed in.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Busy(Exception):
    """Too many passwords are being looked at; trying again in some seconds is all there is to do."""


class Turns:
    """Places at once, places to wait in, and the seconds that a wait may take."""

    def __init__(self, at_once: int, waiting: int, seconds: float) -> None:
        self._free = threading.Semaphore(at_once)
        self._places = threading.Semaphore(at_once + waiting)
        self._seconds = seconds

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Run the block when there is a turn; `Busy` if there is none soon."""
        if not self._places.acquire(blocking=False):
            raise Busy
        try:
            if not self._free.acquire(timeout=self._seconds):
                raise Busy
            try:
                yield
            finally:
                self._free.release()
        finally:
            self._places.release()


strangers = Turns(at_once=max(1, min(4, (os.cpu_count() or 1) // 2)), waiting=1, seconds=5)
known = Turns(at_once=1, waiting=2, seconds=10)
"""For people who are signed in and for browsers that know their person: strangers take none of these."""
