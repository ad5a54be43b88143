"""Workers that move only when they are told to: real threads, one of which runs at any moment.

A worker runs the portal's own code. At every point where the world could change under it (`Worker.pause`) it
asks whether to stop there. Until it is told to go on, everything else may happen; so an interleaving is a
list of orders, and the same orders give the same run.
"""

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

IDLE = "idle"
_SECONDS = 30.0
"""Longer than any stretch between two points; a worker that needs more is stuck, and the test says so."""


class Point(StrEnum):
    """Where a worker can be stopped. At all of them no transaction of its own is open."""

    DATABASE = "database"
    """Before a transaction, or before a statement outside of one."""
    CONNECT = "connect"
    PREPARE = "prepare"
    VALUES = "values"
    """Before the line with the values; its newline comes after the commit point."""
    NEWLINE = "newline"
    REPORT = "report"
    HANG_UP = "hang up"
    """The report was read, and nothing of it written down."""
    SLEEP = "sleep"


class Fault(StrEnum):
    """What becomes of the step before which a worker was stopped."""

    NONE = "none"
    FAILS = "fails"
    """It did not happen: the connection, or the database, is away."""
    ANSWER_LOST = "answer lost"
    """It did happen, but the worker sees an error."""
    DELAYED = "delayed"
    """It happens later, when the worker has long seen an error: a packet in a queue somewhere."""


class Killed(BaseException):
    """The end of a process by SIGKILL, as its code never sees it: nothing runs after it."""


@dataclass
class Until:
    """The point, counted from now, at which a worker stops next; no point: when its delivery is over."""

    point: Point | None = None
    nth: int = 1

    def is_reached(self, point: Point) -> bool:
        if point != self.point:
            return False
        self.nth -= 1
        return self.nth == 0

    def __repr__(self) -> str:
        return f"Until({self.point.value!r}, {self.nth})" if self.point else "Until()"


@dataclass
class _Order:
    until: Until
    fault: Fault = Fault.NONE
    work: Callable[[], object] | None = None
    kill: bool = False
    tick: bool = False


class Worker(threading.Thread):
    """One thread that runs deliveries under orders."""

    def __init__(self, name: str, around: Callable[[Callable[[], None]], None]) -> None:
        super().__init__(name=name, daemon=True)
        self.at: str = IDLE
        self.container_id = ""
        self.killed = False
        self.loses_commit = False
        self.failure: BaseException | None = None
        self._around = around
        self._until = Until()
        self._orders: queue.SimpleQueue[_Order | None] = queue.SimpleQueue()
        self._places: queue.SimpleQueue[str] = queue.SimpleQueue()

    @property
    def is_idle(self) -> bool:
        return self.at == IDLE

    def begin(self, work: Callable[[], object], until: Until) -> None:
        """Start a piece of work and let it run to its first stop."""
        self._order(_Order(until, work=work))

    def go_on(self, until: Until, fault: Fault = Fault.NONE) -> None:
        """Let it do the step before which it stands, with a fault or without, and run to its next stop."""
        self._order(_Order(until, fault))

    def tick(self) -> None:
        """Let time be noticed where it waits; it stays there unless that ends its work."""
        self._order(_Order(Until(), tick=True))

    def kill(self) -> None:
        """End it where it stands."""
        self._order(_Order(Until(), kill=True))

    def leave(self) -> None:
        """End the thread, which is idle."""
        self._orders.put(None)
        self.join(_SECONDS)

    def run(self) -> None:
        self._around(self._loop)

    def pause(self, point: Point, tick: Callable[[], None] | None = None) -> Fault:
        """Called by the code under test, through the seams: stop here if told so."""
        if self.killed:
            raise Killed
        if not self._until.is_reached(point):
            return Fault.NONE
        while True:
            self._places.put(point)
            order = self._orders.get()
            assert order
            self._until = order.until
            if order.kill:
                self.killed = True
                raise Killed
            if not order.tick:
                return order.fault
            if tick:
                tick()

    def _order(self, order: _Order) -> None:
        self._orders.put(order)
        self.at = self._places.get(timeout=_SECONDS)
        failure, self.failure = self.failure, None
        if failure:
            raise AssertionError(f"{self.name} ended with an error") from failure

    def _loop(self) -> None:
        while order := self._orders.get():
            assert order.work
            self._until, self.killed, self.loses_commit = order.until, False, False
            try:
                order.work()
            except Killed:
                pass
            except BaseException as error:  # noqa: BLE001  # handed over to the thread that gave the order
                self.failure = error
            self._places.put(IDLE)


def current() -> Worker | None:
    """Return the worker that runs the calling code, None in every other thread."""
    thread = threading.current_thread()
    return thread if isinstance(thread, Worker) else None


def pause(point: Point, tick: Callable[[], None] | None = None) -> Fault:
    """Stop here if the calling code is a worker's and it was told so."""
    worker = current()
    return worker.pause(point, tick) if worker else Fault.NONE
