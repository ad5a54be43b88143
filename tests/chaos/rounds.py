"""One round: a rollout to all containers, its planned faults, the way back to rest, and the judgement."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import psycopg
from django.db import DatabaseError, close_old_connections

from tests.chaos.bounds import BELL, Bounds
from tests.chaos.desk import View
from tests.chaos.faults import strike_portal, strike_site
from tests.chaos.plan import LOCKING, WORKER_FAULTS, Injection, Plan
from tests.chaos.services import LEASE
from tests.chaos.stages import REACH_SECONDS, Place
from tests.chaos.steps import Steps, Task, Wait, pause
from tests.chaos.truth import Judgement, judge
from tests.chaos.workers import Worker
from tests.chaos.world import World

LOOK_SECONDS = 0.2
GATHER_SECONDS = 20.0
PEOPLE_TRIES = 20
TAKEOVER_SHARE = 20.0
TASKS_SECONDS = 180.0
CLOCK_SECONDS = 6.0
DIAL_SECONDS = 6.0
"""A dial that is not answered ends sooner; its retry comes within this time."""
NOT_REACHED = "the stage was not reached"
ELSEWHERE = "another worker held it"
WITHOUT_EFFECT = "the fault had no effect"


@dataclass
class Hit:
    """One injection that was seen to hit: where, when it was over, and when the portal had the outcome."""

    fault: str
    stage: str
    site: str
    bound: float
    lasting: bool = False
    over: float | None = None
    settled: float | None = None

    @property
    def recovery(self) -> float | None:
        if self.over is None or self.settled is None:
            return None
        return max(0.0, self.settled - self.over)


@dataclass(frozen=True)
class Miss:
    """One injection that was planned and did not hit."""

    fault: str
    stage: str
    why: str


@dataclass
class Result:
    """What a round showed."""

    plan: Plan
    hits: list[Hit] = field(default_factory=list)
    misses: list[Miss] = field(default_factory=list)
    accepted: int = 0
    judgement: Judgement = field(default_factory=Judgement)
    after_retry: Judgement = field(default_factory=Judgement)
    longest_attempt: float = 0.0
    longest_abandoned: float = 0.0
    seconds: float = 0.0
    connections: int = 0
    is_chain_whole: bool = False
    leaks: list[str] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)

    @property
    def vanished(self) -> int:
        """How many of the planned injections are in no book: neither hit nor missed."""
        return abs(self.plan.planned - len(self.hits) - len(self.misses))

    @property
    def is_clean(self) -> bool:
        late = any(hit.recovery is None or hit.recovery > hit.bound for hit in self.hits)
        told = self.leaks or self.troubles or self.vanished or self.after_retry.torn
        whole = self.judgement.is_clean and self.after_retry.is_clean and self.is_chain_whole
        return whole and not late and not told


class Round:
    """One round in a world at rest."""

    def __init__(self, plan: Plan, world: World, bounds: Bounds) -> None:
        self.plan, self.world, self.bounds = plan, world, bounds
        self.services, self.desk = world.services, world.desk
        self.view = View()
        self.result = Result(plan)
        self.takeover = LEASE + BELL + TAKEOVER_SHARE
        self.places = {
            number: Place(world.sites[number], stage, self.desk, lambda: self.view, is_anchor=True)
            for number, stage in plan.anchors
        }
        self.anchors = list(self.places.values())
        self.others = [
            (injection, Place(world.sites[injection.site], injection.stage, self.desk, lambda: self.view))
            for injection in plan.injections
        ]
        self.rollouts = len(self.desk.rollouts)
        self.is_struck = False
        self._hits: list[Hit] = []
        self._hits_of_portal: list[Hit] = []
        self._holders: dict[str, int] = {}
        self._struck_pids: set[int] = set()
        self._go = False
        self._next_look = 0.0

    def run(self) -> Result:
        """Run it to its end; the world is at rest again afterwards, or the result says that it is not."""
        began = time.monotonic()
        self._prepare()
        tasks = self._tasks()
        if self.plan.publishing:
            self._begin_early(tasks)
        self._press()
        self._run_until(lambda: self._queued_are_done(), tasks, REACH_SECONDS)
        for worker in self.world.workers:
            worker.thaw()
        if not self._run_until(lambda: all(task.is_over for task in tasks), tasks, TASKS_SECONDS):
            self.result.troubles += [f"{task.name} did not end" for task in tasks if not task.is_over]
        self._finish()
        self.result.seconds = time.monotonic() - began
        return self.result

    # Beginning

    def _prepare(self) -> None:
        for worker in self.world.workers:
            worker.freeze()
        for place in [*self.anchors, *(place for _, place in self.others)]:
            place.prepare()

    def _tasks(self) -> list[Task]:
        tasks = [
            Task(
                f"{injection.fault} at {injection.stage} on {place.site.name}", self._inject(injection, place)
            )
            for injection, place in self.others
        ]
        tasks += [Task(f"anchor {place.site.name}", place.reach(lambda: self._go)) for place in self.anchors]
        tasks.append(Task(self.plan.fault, self._strike()))
        tasks.append(Task(self.plan.people, self._people()))
        return tasks

    def _begin_early(self, tasks: list[Task]) -> None:
        """The broker's fault comes first, the rollout afterwards."""
        strike = strike_portal(self)
        next(strike)
        tasks[-2] = Task(self.plan.fault, self._end_early(strike))

    def _end_early(self, strike: Steps[None]) -> Steps[None]:
        yield Wait(lambda: all(place.is_there for place in self.anchors), REACH_SECONDS)
        self._note_hits()
        for worker in self.world.workers:
            worker.thaw()
        self._let_go()
        yield pause(self.plan.seconds)
        yield from strike
        self._over(self._hits_of_portal)

    def _press(self) -> None:
        rollout = self.desk.new_rollout()
        self.result.accepted += rollout.pushes.count()

    def _queued_are_done(self) -> bool:
        return all(place.is_near for _, place in self.others if place.stage == "queued")

    # The faults

    def _inject(self, injection: Injection, place: Place) -> Steps[None]:
        yield from place.reach(lambda: True)
        if place.is_there:
            hit = Hit(
                injection.fault,
                injection.stage,
                place.site.name,
                self.bounds.of(injection.fault, lasting=injection.lasting),
                injection.lasting,
            )
            strike = strike_site(place.site, injection.fault, injection.seconds, lasting=injection.lasting)
            wait = next(strike, None)
            place.open()
            if wait:
                yield wait
                yield from strike
            hit.over = time.monotonic()
            self._hits.append(hit)
        else:
            self.result.misses.append(Miss(injection.fault, injection.stage, NOT_REACHED))
            place.open()
            place.site.proxy.heal()

    def _strike(self) -> Steps[None]:
        slow = [place for place in self.anchors if place.stage in LOCKING]
        fast = [place for place in self.anchors if place.stage not in LOCKING]
        yield Wait(
            lambda: all(place.is_there for place in fast) and all(place.is_near for place in slow),
            GATHER_SECONDS,
        )
        self._go = True
        yield Wait(lambda: all(place.is_there for place in slow), 3.0 if slow else 0.0)
        dialed = [place for place in self.anchors if place.stage == "connecting" and place.is_there]
        yield Wait(lambda: all(self._holder(place) for place in dialed), DIAL_SECONDS if dialed else 0.0)
        yield from strike_portal(self)
        self._over(self._hits_of_portal)
        for place in self.anchors:
            place.site.proxy.heal()

    def victims(self, *, leave_one: bool = False) -> list[Worker]:
        """The workers that hold an anchored container, or just the one that holds most.

        `leave_one`: at least one of all workers is not among them.
        """
        self._holders = {place.site.name: self._holder(place) for place in self.anchors if place.is_there}
        pids = list(self._holders.values())
        staff = [worker for worker in self.world.workers if worker.is_running]
        staff.sort(key=lambda worker: pids.count(worker.pid), reverse=True)
        holding = [worker for worker in staff if worker.pid in pids] or staff[:1]
        chosen = holding if self.plan.strikes_all else holding[:1]
        if leave_one:
            chosen = chosen[: max(1, len(staff) - 1)]
        self._struck_pids = {worker.pid for worker in chosen}
        return chosen

    def _holder(self, place: Place) -> int:
        """The process that delivers to a container; before it claims, the one that dials it. 0 if none."""
        if place.stage != "connecting":
            return self.view.owners.get(place.site.name, 0)
        ports = place.site.proxy.client_ports
        return next((worker.pid for worker in self.world.workers if worker.holds_port(ports)), 0)

    def struck(self, *, over_after: float | None = None) -> None:
        """The portal's fault is there: count whom it hit, and let everything go its way.

        `over_after`: what outcomes are waited for from then on, so many seconds from now.
        """
        if self.plan.publishing:
            return
        self._note_hits()
        for hit in self._hits_of_portal if over_after is not None else []:
            hit.over = time.monotonic() + (over_after or 0)
        self._let_go()

    def _note_hits(self) -> None:
        fault = self.plan.fault
        for place in self.anchors:
            why = self._reason_against(place)
            if why:
                self.result.misses.append(Miss(fault, place.stage, why))
            else:
                bound = self.bounds.of(fault, lasting=False)
                self._hits_of_portal.append(Hit(fault, place.stage, place.site.name, bound))
        self.is_struck = True

    def _reason_against(self, place: Place) -> str:
        """Why the fault does not hit this container at its stage; empty if it does."""
        if not place.is_there:
            return NOT_REACHED
        if self.plan.fault not in WORKER_FAULTS:
            return "" if place.stage != "connecting" or self._holder(place) else NOT_REACHED
        if place.stage == "queued":
            return ""  # it waits for any worker
        holder = self._holders.get(place.site.name, 0)
        return "" if holder in self._struck_pids else ELSEWHERE if holder else NOT_REACHED

    def without_effect(self) -> None:
        """The portal's fault was there, but nobody met it."""
        self.result.misses += [Miss(hit.fault, hit.stage, WITHOUT_EFFECT) for hit in self._hits_of_portal]
        self._hits_of_portal.clear()

    def _let_go(self) -> None:
        for place in self.anchors:
            place.open()
            place.site.proxy.set_entry("pass")
            if not self.plan.late:
                place.site.proxy.heal()

    def _over(self, hits: list[Hit]) -> None:
        for hit in hits:
            if hit.over is None:
                hit.over = time.monotonic()
        self._hits += hits
        if hits is self._hits_of_portal:
            self._hits_of_portal = []

    def _people(self) -> Steps[None]:
        """Do what the plan says, as soon as the portal's fault is there and the database answers."""
        yield Wait(lambda: self.is_struck, GATHER_SECONDS * 2)
        deeds: dict[str, Callable[[], object]] = {
            "newer rollout": self._press,
            "cancel": self.desk.cancel,
            "retry": self.desk.retry,
        }
        deed = deeds.get(self.plan.people)
        for _ in range(PEOPLE_TRIES if deed else 0):
            try:
                deed() if deed else None
            except DatabaseError:
                with suppress(DatabaseError):
                    close_old_connections()
                yield pause(0.5)
            else:
                return

    # Running

    def _run_until(self, done: Callable[[], bool], tasks: list[Task], seconds: float) -> bool:
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            self._look()
            for task in tasks:
                task.advance()
            if done():
                return True
            time.sleep(0.02)
        return False

    def _look(self) -> None:
        if time.monotonic() < self._next_look:
            return
        self.world.supervise()
        self._keep_reservations()
        for site in self.world.sites:
            site.read_log()
        self.view = self.desk.look(self.desk.rollouts[self.rollouts :]) or self.view
        self._note_settled()
        self._next_look = time.monotonic() + LOOK_SECONDS

    def _keep_reservations(self) -> None:
        if not self.is_struck:
            for place in self.anchors:
                if place.is_reserved:
                    self.desk.reserve(place.site)

    def _note_settled(self) -> None:
        for hit in [*self._hits, *self._hits_of_portal]:
            pushes = [push for push in self.view.pushes if push.site == hit.site]
            is_open = any(push.is_open for push in pushes) or hit.site in self.view.owners
            if is_open:
                hit.settled = None
            elif hit.settled is None:
                hit.settled = time.monotonic()

    # Ending

    def _finish(self) -> None:
        for place in [*self.anchors, *(place for _, place in self.others)]:
            with suppress(psycopg.Error):
                place.open()
        limit = max([hit.bound for hit in self._hits], default=self.bounds.base)
        self._next_look = 0.0
        self._run_until(lambda: self.view.is_quiet, [], limit)
        # Not earlier: a fault that lasts for ever must not be mended by us.
        self.world.heal()
        self.result.hits = self._hits
        own = self.desk.rollouts[self.rollouts :]
        self.result.judgement = self._judge()
        for site in self.world.sites:
            site.mend_files()
        with suppress(DatabaseError):
            self.desk.retry()
        self._next_look = 0.0
        self._run_until(lambda: self.view.is_quiet, [], self.bounds.base)
        self.result.after_retry = self._judge()
        self.result.longest_attempt = self.desk.longest_attempt(own)
        if not self.services.clock.seconds:
            self.result.longest_abandoned = self.desk.longest_abandoned(own)
        self.result.is_chain_whole = self.desk.is_chain_whole()
        self._measure()
        if self.services.clock.seconds:
            self.services.clock.step(0)
            self._run_until(lambda: self.services.is_clock_right, [], CLOCK_SECONDS)

    def _judge(self) -> Judgement:
        numbers = [rollout.number for rollout in self.desk.rollouts[self.rollouts :]]
        return judge(self.world.sites, self.view.pushes, numbers, self.desk.secrets)

    def _measure(self) -> None:
        for worker in self.world.workers:
            if worker.is_ready:
                worker.measure()
            self.result.troubles += [f"{worker.name} ended with {status}" for status in worker.bad_ends]
            worker.bad_ends.clear()
        self.result.connections = self.services.connections()
