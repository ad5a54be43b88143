"""Waiting with a monotonic deadline, while another thread makes a blocking call."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TypeVar

from instances.ssh.errors import TimedOut

Tick = Callable[[], None]
T = TypeVar("T")
TICK_SECONDS = 1.0


@dataclass(frozen=True)
class Deadlines:
    """Seconds each stage may take, whatever the other side does."""

    resolve: float = 5
    connect: float = 10
    negotiate: float = 20
    login: float = 15
    channel: float = 10
    send: float = 10


class Pulse:
    """Calls `tick` in the caller's thread, about once a second, whichever wait is going on."""

    def __init__(self, tick: Tick) -> None:
        self._tick = tick
        self._last = time.monotonic()

    def beat(self) -> None:
        if time.monotonic() - self._last >= TICK_SECONDS:
            self._last = time.monotonic()
            self._tick()


class Clock:
    """One deadline, on the monotonic clock."""

    def __init__(self, seconds: float, pulse: Pulse) -> None:
        self._ends = time.monotonic() + seconds
        self._pulse = pulse

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self._ends

    def step(self) -> float:
        """Tick if due, and return how long (seconds) the next wait may last; `TimedOut` once time is up."""
        self._pulse.beat()
        remaining = self._ends - time.monotonic()
        if remaining <= 0:
            raise TimedOut
        return min(TICK_SECONDS, remaining)


def beside(call: Callable[[], T], clock: Clock, abort: Callable[[], None] | None) -> T:
    """Run a blocking call in a thread and wait for it under the clock.

    `abort` makes the call return early; without one it is left to end by itself.
    """
    outcome: Future[T] = Future()
    thread = threading.Thread(target=_fulfil, args=(outcome, call), daemon=True)
    thread.start()
    try:
        while not _settled(outcome, clock.step()):
            pass
    except BaseException:
        if abort:
            abort()
            thread.join(2)
        raise
    thread.join()
    return outcome.result()


def _fulfil(outcome: Future[T], call: Callable[[], T]) -> None:
    try:
        outcome.set_result(call())
    except BaseException as error:  # noqa: BLE001  # handed over to the waiting thread, which raises it
        outcome.set_exception(error)


def _settled(outcome: Future[T], seconds: float) -> bool:
    try:
        outcome.exception(seconds)
    except TimeoutError:
        return False
    return True
