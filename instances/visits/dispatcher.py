"""Takes bells, dials, and visits many containers at once; dead ones hold no place.

A bell puts containers into the fair queue, where they wait for their turn. One thread makes all connections,
so each costs a descriptor and no thread; a container that answers gets a thread for its visit. One that does
not answer at once may take its time among thousands of others, and other threads store its failure. Names are
looked up by threads too, because that cannot be polled.
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
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache

from celery.signals import worker_shutdown
from django.conf import settings
from django.db import DatabaseError, close_old_connections

from instances import ssh
from instances.models import Container
from instances.reaching import policy
from instances.visits import errands, visit
from instances.visits.queue import FairQueue, Way

logger = logging.getLogger(__name__)
PROMPT_SECONDS = 0.25
"""Most servers answer within this time; a dialed container keeps its place for so long."""
IDLE_SECONDS = 1.0
WHERE = ("address", "port", "jump_host__address", "jump_host__port")
OTHER_FILES = 256
SORTED_AT_ONCE = 500
LOOKUPS = 48
"""Names looked up at once: a dead one keeps a thread for seconds."""
RESOLVERS = LOOKUPS + 16
"""The others are for the names of jump hosts, which many wait for."""


_making = threading.Lock()


class Dispatcher:
    """Visits at most `places` containers at once, `per_group` of one group, and dials up to `dials`.

    Behind one jump host there are at most `per_jump_host` dials and visits together.
    """

    def __init__(self, *, places: int, dials: int, per_jump_host: int, per_group: int) -> None:
        self._places = places
        self._spare = max(2, places // 8)
        self._dial_limit = _room_for(dials, places)
        self._changed = threading.Condition()
        self._known: set[uuid.UUID] = set()  # from the bell to the end of the visit
        self._rung_again: set[uuid.UUID] = set()
        self._line: deque[uuid.UUID] = deque()
        self._queue = FairQueue(
            per_group=per_group,
            shared=max(per_group, places - places // 8),
            per_jump_host=per_jump_host,
            lookups=LOOKUPS,
            limits=errands.limits(places),
        )
        self._lookups: dict[uuid.UUID, tuple[Future[list[str]], int]] = {}  # with the port to dial then
        self._dials: dict[uuid.UUID, ssh.Dial] = {}
        self._expected: dict[uuid.UUID, float] = {}  # dialed when, oldest first: who may answer any moment
        self._swept = 0.0
        self._visited: set[uuid.UUID] = set()
        self._selector = selectors.DefaultSelector()
        self._alarm, self._bell_rope = socket.socketpair()
        self._alarm.setblocking(False)
        self._bell_rope.setblocking(False)
        self._selector.register(self._alarm, selectors.EVENT_READ)
        self._visits = _pool(places, "visit")
        self._failures = _pool(self._spare, "unreachable")
        self._resolvers = _pool(RESOLVERS, "resolver")
        self._thread = threading.Thread(target=self._run, name="dispatcher", daemon=True)
        self._thread.start()

    def ring(self, container_ids: Iterable[uuid.UUID]) -> None:
        """Put containers into the queue; wait while it is long, so that other workers get their share."""
        with self._changed:
            while len(self._line) >= self._places and not visit.stopping.is_set():
                self._changed.wait(1)
            for container_id in container_ids:
                self._put(container_id)

    def _put(self, container_id: uuid.UUID) -> None:
        if container_id not in self._known:
            self._known.add(container_id)
            self._line.append(container_id)
            self._wake()
        elif container_id not in self._line and not self._queue.waits(container_id):
            self._rung_again.add(container_id)

    def _forget(self, container_id: uuid.UUID, *, again: bool = False) -> None:
        """Be done with a container, or put it into the queue once more if there was a bell in between."""
        with self._changed:
            self._known.discard(container_id)
            self._visited.discard(container_id)
            self._queue.leave(container_id)
            if again or container_id in self._rung_again:
                self._rung_again.discard(container_id)
                self._put(container_id)

    def _wake(self) -> None:
        with contextlib.suppress(OSError):  # it was woken often enough, or is closed
            self._bell_rope.send(b".")

    def close(self) -> None:
        """Wait for the visits under way; `visit.stopping` was set before."""
        self._wake()
        self._thread.join()
        self._resolvers.shutdown(wait=False, cancel_futures=True)  # nobody is left to want an address
        for threads in (self._visits, self._failures):
            threads.shutdown()
        self._selector.close()
        self._alarm.close()
        self._bell_rope.close()

    def _run(self) -> None:
        while not visit.stopping.is_set():
            self._try(self._admit)
            self._try(self._poll)
        self._give_up()

    def _try(self, step: Callable[[], None]) -> None:
        """Take a step; nothing else dials, so no defect may end it."""
        try:
            step()
        except DatabaseError as error:
            logger.warning("The dispatcher found no database (%s); it tries again.", type(error).__name__)
            visit.stopping.wait(IDLE_SECONDS)
        except Exception:
            logger.exception("The dispatcher failed; it goes on.")
            visit.stopping.wait(IDLE_SECONDS)

    def _admit(self) -> None:
        """Sort the queue, and dial the containers whose turn it is, as far as there are places for them."""
        with self._changed:
            rung = [self._line.popleft() for _ in range(min(len(self._line), SORTED_AT_ONCE))]
            self._changed.notify_all()
        fresh = {container.pk: container for container in self._with_work(rung)}
        for container in fresh.values():
            self._have_wait(container)
        chosen: list[uuid.UUID] = []
        with self._changed:
            room = self._room()
            while len(chosen) < room and (pk := self._queue.following()):
                chosen.append(pk)
        for pk in chosen:
            if pk in fresh:
                self._start(fresh[pk])
        # The others are read again, because they may have waited long.
        for container in self._with_work([pk for pk in chosen if pk not in fresh]):
            with self._changed:
                is_where_it_was = self._queue.is_on(container.pk, _way_to(container))
            if is_where_it_was:
                self._start(container)
            else:
                self._have_wait(container)
                self._wake()

    def _with_work(self, pks: list[uuid.UUID]) -> list[Container]:
        """Read where these containers are and forget those without work; after an error all stay queued."""
        if not pks:
            return []
        try:
            try:
                found = errands.containers_due().filter(pk__in=pks).annotate(group=errands.next_group())
                rows = {row.pk: row for row in found.select_related("jump_host").only(*WHERE)}
            finally:
                close_old_connections()
        except BaseException:
            with self._changed:
                for pk in pks:
                    self._queue.leave(pk)
                self._line.extendleft(reversed(pks))
            raise
        for pk in pks:
            if pk not in rows:
                self._forget(pk)
        return [rows[pk] for pk in pks if pk in rows]

    def _have_wait(self, container: Container) -> None:
        group: uuid.UUID | None = getattr(container, "group")  # noqa: B009  # an annotation
        with self._changed:
            self._queue.leave(container.pk)
            self._queue.wait(container.pk, group=group, way=_way_to(container))

    def _room(self) -> int:
        prompt = time.monotonic() - PROMPT_SECONDS
        while self._expected and next(iter(self._expected.values())) < prompt:
            slow = next(iter(self._expected))
            del self._expected[slow]
            self._queue.is_slow(slow)
        places = self._places + self._spare - len(self._visited) - len(self._expected)
        return max(0, min(places, self._dial_limit - len(self._dials) - len(self._lookups)))

    def _start(self, container: Container) -> None:
        """Begin a dial, to its jump host if it has one; a name is looked up first, outside the loop."""
        pk, first = container.pk, container.jump_host or container
        self._expected[pk] = time.monotonic()
        with self._losing_nobody(pk):
            if ssh.is_address(first.address):
                self._dial(pk, [first.address], first.port)
                return
            limits = policy.deadlines()
            future = self._resolvers.submit(ssh.look_up, first.address, first.port, limits)
            self._lookups[pk] = future, first.port
            future.add_done_callback(lambda _: self._wake())

    @contextlib.contextmanager
    def _losing_nobody(self, pk: uuid.UUID) -> Iterator[None]:
        """Go on with a container whose dial failed: to its verdict, or after a defect without the dial.

        Delivering then makes a connection of its own. If that meets the same defect, the verdict says so.
        """
        try:
            yield
        except ssh.SSHError as error:
            self._hand_over(pk, ssh.Dial.failed(error))
        except Exception:
            logger.exception("The dial to container %s failed inside the portal.", pk)
            if broken := self._dials.pop(pk, None):
                broken.close()
            self._hand_over(pk, None)

    def _poll(self) -> None:
        """Wait for the next thing to happen, for a short while, and go on with what it concerns."""
        is_idle = not (self._line or self._dials or self._lookups)
        for key, _ in self._selector.select(IDLE_SECONDS if is_idle else PROMPT_SECONDS):
            if key.data is None:
                _drain(self._alarm)
            else:
                self._advance(key.data)
        for pk in [pk for pk, (future, _) in self._lookups.items() if future.done()]:
            self._looked_up(pk)
        now = time.monotonic()
        if now - self._swept > PROMPT_SECONDS:
            self._swept = now
            for pk in [pk for pk, dial in self._dials.items() if now >= dial.ends]:
                self._advance(pk)

    def _looked_up(self, pk: uuid.UUID) -> None:
        future, port = self._lookups.pop(pk)
        with self._changed:
            self._queue.is_looked_up(pk)
        with self._losing_nobody(pk):
            self._dial(pk, future.result(), port)

    def _dial(self, pk: uuid.UUID, addresses: list[str], port: int) -> None:
        rules, limits = policy.address_policy(), policy.deadlines()
        self._watch(pk, ssh.dial(addresses, port, policy=rules, deadlines=limits))

    def _advance(self, pk: uuid.UUID) -> None:
        with self._losing_nobody(pk):
            dial = self._dials[pk]
            self._selector.unregister(dial)
            dial.advance()
            self._watch(pk, dial)

    def _watch(self, pk: uuid.UUID, dial: ssh.Dial) -> None:
        if dial.is_over:
            self._dials.pop(pk, None)
            self._hand_over(pk, dial)
        else:
            self._dials[pk] = dial
            wanted = selectors.EVENT_WRITE if dial.is_connecting else selectors.EVENT_READ
            self._selector.register(dial, wanted, pk)

    def _hand_over(self, pk: uuid.UUID, dial: ssh.Dial | None) -> None:
        self._expected.pop(pk, None)
        if dial is None or not dial.is_connected:
            with self._changed:
                self._queue.is_slow(pk)
            self._submit(self._failures, pk, dial)
            return
        with self._changed:
            has_place = self._queue.answers(pk)
            if has_place:
                self._visited.add(pk)
        if has_place:
            self._submit(self._visits, pk, dial)
        else:
            dial.close()  # it answered late, and its group's places are taken: it is dialed anew later

    def _submit(self, threads: ThreadPoolExecutor, pk: uuid.UUID, dial: ssh.Dial | None) -> None:
        with contextlib.suppress(RuntimeError):  # no more threads can be started: those that run take it up
            threads.submit(self._visit, pk, dial)

    def _visit(self, pk: uuid.UUID, dial: ssh.Dial | None) -> None:
        again = False
        try:
            again = visit.visit(pk, dial)
        except DatabaseError as error:
            logger.warning("A visit found no database (%s); it is taken up again.", type(error).__name__)
        except Exception:  # a thread's end must not pass in silence, nor leave the container marked as busy
            logger.exception("A visit to container %s failed inside the portal.", pk)
        finally:
            close_old_connections()
            self._forget(pk, again=again)
            self._wake()

    def _give_up(self) -> None:
        """Leave what was not begun to other workers: their reconciler rings what has no bell on its way."""
        for dial in self._dials.values():
            dial.close()
        with self._changed:
            left = self._known - self._visited | self._rung_again
            self._changed.notify_all()
        try:
            Container.objects.note_bells(left, rung=False)
        except DatabaseError as error:
            logger.warning("The bells of %d containers are lost (%s).", len(left), type(error).__name__)
        finally:
            close_old_connections()


def _way_to(container: Container) -> Way:
    if container.jump_host_id:
        return Way(jump_host=container.jump_host_id)
    return Way(by_name=not ssh.is_address(container.address))


def _pool(most: int, name: str) -> ThreadPoolExecutor:
    """Return a pool with a thread in it, which goes on alone if no more can be started."""
    threads = ThreadPoolExecutor(most, thread_name_prefix=name)
    threads.submit(int).result()
    return threads


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
        per_group=settings.PUSHES_PER_ROLLOUT,
    )
    worker_shutdown.connect(lambda **_: running.close(), weak=False)
    return running
