"""Asking what may never answer: a black-holed database or broker."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

from django.db import connections

T = TypeVar("T")


class Bounded(Generic[T]):
    """A function that runs in a thread of its own, so that callers can give up waiting for it.

    It never runs twice at once: callers that ask while it runs get the same answer. So a question that hangs
    costs one thread, however often it is asked.
    """

    def __init__(self, function: Callable[[], T]) -> None:
        self._function = function
        self._lock = threading.Lock()
        self._running: Future[T] | None = None

    def start(self) -> "Future[T]":
        """Return the answer to come."""
        with self._lock:
            if self._running is None or self._running.done():
                self._running = Future()
                threading.Thread(target=self._run, args=(self._running,), daemon=True).start()
            return self._running

    def _run(self, future: "Future[T]") -> None:
        try:
            answer = self._function()
        except Exception as error:  # noqa: BLE001  # it goes to the caller
            future.set_exception(error)
        else:
            future.set_result(answer)
        finally:
            connections.close_all()  # this thread's own
