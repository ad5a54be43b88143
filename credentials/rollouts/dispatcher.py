"""Takes bells, dials, and delivers to many containers at once; dead ones take nobody's place.

A bell puts containers into line. One thread makes all connections, which costs a descriptor each and no
thread; whoever answers gets a thread to be delivered to. A container that does not answer at once may take
its time among thousands of others, and its failure is written down by threads of their own.
"""

import contextlib
import logging
import resource
import selectors
import socket
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache

from celery.signals import worker_shutdown
from django.conf import settings
from django.db import DatabaseError, close_old_connections

from credentials.rollouts import delivery
from credentials.rollouts.gate import Gates
from credentials.rollouts.models import containers_with_work, next_rollout
from instances import policy, ssh
from instances.models import Container

logger = logging.getLogger(__name__)
PROMPT_SECONDS = 0.25
"""Most servers answer within this time; so long a place is kept for whoever was dialed."""
IDLE_SECONDS = 1.0
WHERE = ("address", "port", "jump_host__address", "jump_host__port")
OTHER_FILES = 256
RESOLVERS = 8


_making = threading.Lock()


class Dispatcher:
    """Delivers to at most `places` containers at once, `per_rollout` of one rollout, and dials up to `dials`.

    Behind one jump host there are at most `per_jump_host` dials and deliveries together.
    """

    def __init__(self, *, places: int, dials: int, per_jump_host: int, per_rollout: int) -> None:
        self._places = places
        self._spare = max(2, places // 8)
        self._dial_limit = _room_for(dials, places)
        self._changed = threading.Condition()
        self._known: set[uuid.UUID] = set()  # from the bell to the end of the delivery
        self._rung_again: set[uuid.UUID] = set()
        self._line: deque[uuid.UUID] = deque()
        self._gates = Gates(per_jump_host=per_jump_host, per_rollout=per_rollout)
        self._resolving: dict[uuid.UUID, Future[ssh.Dial]] = {}
        self._dials: dict[uuid.UUID, ssh.Dial] = {}
        self._expected: dict[uuid.UUID, float] = {}  # dialed when, oldest first: who may answer any moment
        self._swept = 0.0
        self._delivered_to: set[uuid.UUID] = set()
        self._selector = selectors.DefaultSelector()
        self._alarm, self._bell_rope = socket.socketpair()
        self._alarm.setblocking(False)
        self._bell_rope.setblocking(False)
        self._selector.register(self._alarm, selectors.EVENT_READ)
        self._deliveries = ThreadPoolExecutor(places, thread_name_prefix="delivery")
        self._failures = ThreadPoolExecutor(self._spare, thread_name_prefix="unreachable")
        self._resolvers = ThreadPoolExecutor(RESOLVERS, thread_name_prefix="resolver")
        self._thread = threading.Thread(target=self._run, name="dispatcher", daemon=True)
        self._thread.start()

    def ring(self, container_ids: Iterable[uuid.UUID]) -> None:
        """Put containers into line; waits while the line is long, so that other workers get their share."""
        with self._changed:
            while len(self._line) >= self._places and not delivery.stopping.is_set():
                self._changed.wait(1)
            for container_id in container_ids:
                self._put(container_id)

    def _put(self, container_id: uuid.UUID) -> None:
        if container_id not in self._known:
            self._known.add(container_id)
            self._line.append(container_id)
            self._wake()
        elif container_id not in self._line:
            self._rung_again.add(container_id)

    def _forget(self, container_id: uuid.UUID, *, again: bool = False) -> None:
        """Be done with a container, or put it into line once more if there was a bell in between."""
        with self._changed:
            self._known.discard(container_id)
            self._delivered_to.discard(container_id)
            self._line.extendleft(self._gates.leave(container_id))
            if again or container_id in self._rung_again:
                self._rung_again.discard(container_id)
                self._put(container_id)

    def _wake(self) -> None:
        with contextlib.suppress(OSError):  # it was woken often enough, or is closed
            self._bell_rope.send(b".")

    def close(self) -> None:
        """Wait for what is being delivered; `delivery.stopping` was set before."""
        self._wake()
        self._thread.join()
        for threads in (self._resolvers, self._deliveries, self._failures):
            threads.shutdown()
        self._selector.close()
        self._alarm.close()
        self._bell_rope.close()

    def _run(self) -> None:
        while not delivery.stopping.is_set():
            try:
                self._admit()
                self._poll()
            except Exception:  # nothing else dials, so no defect may end it
                logger.exception("The dispatcher failed; it goes on.")
                delivery.stopping.wait(IDLE_SECONDS)
        self._give_up()

    def _admit(self) -> None:
        """Dial whoever is first in line, as far as there are places for those who may answer at once."""
        with self._changed:
            chosen = [self._line.popleft() for _ in range(self._room())]
            self._changed.notify_all()
        if not chosen:
            return
        try:
            found = containers_with_work().filter(pk__in=chosen).annotate(rollout=next_rollout())
            rows = found.select_related("jump_host")
            with_work = {row.pk: row for row in rows.only(*WHERE)}
        except DatabaseError as error:
            logger.warning("The dispatcher found no database (%s); it tries again.", type(error).__name__)
            with self._changed:
                self._line.extendleft(reversed(chosen))
            delivery.stopping.wait(IDLE_SECONDS)
            return
        finally:
            close_old_connections()
        for pk in chosen:
            if pk not in with_work:
                self._forget(pk)
            elif self._may_start(with_work[pk]):
                self._resolve(with_work[pk])
        self._wake()  # whoever waits at the gate left room in the line

    def _may_start(self, container: Container) -> bool:
        """Ask the gates; whom they refuse is out of line until one of them returns it."""
        rollout: uuid.UUID | None = getattr(container, "rollout")  # noqa: B009  # an annotation
        with self._changed:
            may, others = self._gates.may_start(
                container.pk, jump_host=container.jump_host_id, rollout=rollout
            )
            self._line.extendleft(others)
        return may

    def _room(self) -> int:
        prompt = time.monotonic() - PROMPT_SECONDS
        while self._expected and next(iter(self._expected.values())) < prompt:
            slow = next(iter(self._expected))
            del self._expected[slow]
            self._line.extendleft(self._gates.is_slow(slow))
        places = self._places + self._spare - len(self._delivered_to) - len(self._expected)
        return max(0, min(places, self._dial_limit - len(self._dials), len(self._line)))

    def _resolve(self, container: Container) -> None:
        """Begin a dial, to its jump host if it has one, beside the loop: a name may take its time."""
        pk, first = container.pk, container.jump_host or container
        rules, limits = policy.address_policy(), policy.deadlines()
        future = self._resolvers.submit(ssh.dial, first.address, first.port, policy=rules, deadlines=limits)
        self._resolving[pk] = future
        self._expected[pk] = time.monotonic()
        future.add_done_callback(lambda _: self._wake())

    def _poll(self) -> None:
        """Wait for the next thing to happen, for a short while, and go on with what it concerns."""
        is_idle = not (self._line or self._dials)
        for key, _ in self._selector.select(IDLE_SECONDS if is_idle else PROMPT_SECONDS):
            if key.data is None:
                _drain(self._alarm)
            else:
                self._advance(key.data)
        for pk in [pk for pk, future in self._resolving.items() if future.done()]:
            self._resolved(pk, self._resolving.pop(pk))
        now = time.monotonic()
        if now - self._swept > PROMPT_SECONDS:
            self._swept = now
            for pk in [pk for pk, dial in self._dials.items() if now >= dial.ends]:
                self._advance(pk)

    def _resolved(self, pk: uuid.UUID, future: "Future[ssh.Dial]") -> None:
        try:
            dial = future.result()
        except ssh.SSHError:
            self._hand_over(pk, None)  # which finds the same, and writes it down
            return
        self._dials[pk] = dial
        self._watch(pk, dial)

    def _advance(self, pk: uuid.UUID) -> None:
        dial = self._dials[pk]
        self._selector.unregister(dial)
        dial.advance()
        self._watch(pk, dial)

    def _watch(self, pk: uuid.UUID, dial: ssh.Dial) -> None:
        if dial.is_over:
            del self._dials[pk]
            self._hand_over(pk, dial)
        else:
            wanted = selectors.EVENT_WRITE if dial.is_connecting else selectors.EVENT_READ
            self._selector.register(dial, wanted, pk)

    def _hand_over(self, pk: uuid.UUID, dial: ssh.Dial | None) -> None:
        self._expected.pop(pk, None)
        if dial is None or not dial.is_connected:
            with self._changed:
                self._line.extendleft(self._gates.is_slow(pk))
            self._failures.submit(self._deliver, pk, dial)
            return
        with self._changed:
            may_start, others = self._gates.answers(pk)
            self._line.extendleft(others)
            if may_start:
                self._delivered_to.add(pk)
        if may_start:
            self._deliveries.submit(self._deliver, pk, dial)
        else:
            dial.close()  # it answered late, and its rollout's places are taken: it is dialed anew later

    def _deliver(self, pk: uuid.UUID, dial: ssh.Dial | None) -> None:
        again = False
        try:
            again = delivery.deliver(pk, dial)
        except DatabaseError as error:
            logger.warning("A delivery found no database (%s); it is taken up again.", type(error).__name__)
        except Exception:  # a thread's end must not pass in silence, nor leave the container marked as busy
            logger.exception("A delivery to container %s failed inside the portal.", pk)
        finally:
            close_old_connections()
            self._forget(pk, again=again)
            self._wake()

    def _give_up(self) -> None:
        """Leave what was not begun to other workers: their reconciler rings what has no bell on its way."""
        for dial in self._dials.values():
            dial.close()
        for future in self._resolving.values():
            future.add_done_callback(_close)
        with self._changed:
            left = self._known - self._delivered_to | self._rung_again
            self._changed.notify_all()
        try:
            Container.objects.note_bells(left, rung=False)
        except DatabaseError as error:
            logger.warning("The bells of %d containers are lost (%s).", len(left), type(error).__name__)
        finally:
            close_old_connections()


def _close(future: "Future[ssh.Dial]") -> None:
    if not future.cancelled() and not future.exception():
        future.result().close()


def _drain(alarm: socket.socket) -> None:
    with contextlib.suppress(BlockingIOError):
        while alarm.recv(4096):
            pass


def _room_for(dials: int, places: int) -> int:
    """Return how many dials there can be at once, after asking for as many open files as they need."""
    needed = dials + 4 * places + OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(1, min(dials, soft - 4 * places - OTHER_FILES))


def dispatcher() -> Dispatcher:
    """Return the dispatcher of this worker, which the first bell makes."""
    with _making:  # two bells come at once, and `cache` alone would let both make one
        return _dispatcher()


@cache
def _dispatcher() -> Dispatcher:
    running = Dispatcher(
        places=settings.PUSHES_PER_WORKER,
        dials=settings.DIALS_PER_WORKER,
        per_jump_host=settings.PUSHES_PER_JUMP_HOST,
        per_rollout=settings.PUSHES_PER_ROLLOUT,
    )
    worker_shutdown.connect(lambda **_: running.close(), weak=False)
    return running
