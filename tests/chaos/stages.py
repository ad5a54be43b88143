"""How a container is brought to a stage of a push, and kept there: by gates, not by luck."""

from collections.abc import Callable
from dataclasses import dataclass, field

import psycopg

from portal.sandbox import nlserver
from tests.chaos.desk import Desk, RowLock, View
from tests.chaos.site import Site
from tests.chaos.steps import Steps, Wait, pause

GATES = {
    "preparing": "pdump",
    "line": "pdump",
    "cut": "pdump",
    "newline": "pdump",
    "before write": "setimsoauth",
    "torn": nlserver.TORN,
    "written": nlserver.WRITTEN,
    "reload": "reload",
    "report": "reload",
    "outcome": "reload",
    "between": "reload",
}
REACH_SECONDS = 15.0
LOCK_SECONDS = 2.5
SETTLE_SECONDS = 0.4
TORN_SHARES = (0.3, 0.6, 0.9)
"""How much of a file is written at `torn`: up to before the account, into it, and beyond it."""
LINE_BYTES = 120
"""The line with the four values is longer than that; a request to widen SSH's window is not."""


@dataclass
class Place:
    """One container on its way to a stage. `view` gives the database as it was seen last."""

    site: Site
    stage: str
    desk: Desk
    view: Callable[[], View]
    is_anchor: bool = False
    lock: RowLock | None = None
    is_near: bool = False
    is_there: bool = False
    _marks: dict[str, int] = field(default_factory=dict)
    _journals: list[str] = field(default_factory=list)

    def prepare(self) -> None:
        """Close gate or proxy, before the rollout starts."""
        self.site.read_log()
        gate = GATES.get(self.stage)
        self.site.container.set_gates(*([gate] if gate else []))
        if self.stage == "torn":
            self.site.remember_files()
            self.site.container.tear(TORN_SHARES[self.site.number % len(TORN_SHARES)])
        if self.stage == "connecting":
            self.site.proxy.set_entry("hold")
        if self.stage == "login":
            self.site.proxy.set_entry("pass", ("in",), after_keys=True)
        if self.is_reserved:
            self.desk.reserve(self.site)
        self._journals = self._read_journals()
        self._marks = {name: self.site.waiting(name) for name in ("pdump", *GATES.values())}

    def reach(self, go: Callable[[], bool]) -> Steps[None]:
        """Wait until the stage is reached. Stages that lock a row, for a short time, wait for `go` first."""
        gate = GATES.get(self.stage)
        if gate and not (yield Wait(lambda: self._is_waiting(gate), REACH_SECONDS)):
            return
        self.is_near = True
        if self.stage in ("line", "outcome"):
            yield Wait(go, REACH_SECONDS)
        way = WAYS.get(self.stage)
        try:
            self.is_there = (yield from way(self)) if way else True
        except psycopg.Error:  # the database is being disturbed just now
            self.is_there = False

    def _is_waiting(self, gate: str) -> bool:
        return self.site.waiting(gate) > self._marks[gate]

    @property
    def is_reserved(self) -> bool:
        """Whether it stays in the queue because we hold the container."""
        return self.is_anchor and self.stage == "queued"

    def open(self) -> None:
        """Let go of the container: lock, gates, reservation."""
        if self.lock:
            self.lock.release()
            self.lock = None
        if self.is_reserved:
            self.desk.unreserve(self.site)
        self.site.container.set_gates()

    # The stages that need more than a gate

    def _queued(self) -> Steps[bool]:
        def all_queued() -> bool:
            pushes = self.view().of(self.site)
            return bool(pushes) and all(push.state == "queued" and not push.attempts for push in pushes)

        return (yield Wait(all_queued, REACH_SECONDS))

    def _connecting(self) -> Steps[bool]:
        return (yield Wait(lambda: self.site.proxy.held("out") > 0, REACH_SECONDS))

    def _login(self) -> Steps[bool]:
        return (yield Wait(lambda: self.site.proxy.held("in") > 0, REACH_SECONDS))

    def _line(self) -> Steps[bool]:
        """The line has gone out, and the commit point waits for the row that we hold."""
        yield from self._hold_answer("pdump")
        self.lock = RowLock(self.desk.services, self.desk.rows[self.site.name])
        lock, sent = self.lock, self.site.proxy.passed("in")
        self.site.proxy.set("pass")
        return (
            yield Wait(
                lambda: self.site.proxy.passed("in") - sent > LINE_BYTES and lock.blocks(), LOCK_SECONDS
            )
        )

    def _cut(self) -> Steps[bool]:
        """The line arrived, its newline is under way."""
        yield from self._hold_answer("pdump")
        self.site.proxy.set("pass")
        self.site.proxy.hold_after_pieces(1)
        return (yield Wait(lambda: self._is_committing() and 0 < self.site.proxy.held("in") < LINE_BYTES, 5))

    def _newline(self) -> Steps[bool]:
        """Line and newline are under way."""
        yield from self._hold_answer("pdump")
        self.site.proxy.set("hold", ("in",))
        return (yield Wait(lambda: self._is_committing() and self.site.proxy.held("in") > 0, 5))

    def _report(self) -> Steps[bool]:
        """The container has done all and said so; its answer is under way."""
        yield from self._hold_answer("reload")
        return (yield Wait(self._has_reported, 5))

    def _outcome(self) -> Steps[bool]:
        """The portal has the answer, and waits for the row that we hold."""
        if not (yield from self._report()):
            return False
        self.lock = lock = RowLock(self.desk.services, self.desk.rows[self.site.name])
        self.site.proxy.set("pass")
        return (yield Wait(lock.blocks, LOCK_SECONDS))

    def _between(self) -> Steps[bool]:
        """The first of two pushes is over, the second one is being prepared."""
        self.site.container.set_gates("pdump")
        mark = self.site.waiting("pdump")

        def one_is_over() -> bool:
            states = [push.state for push in self.view().of(self.site)]
            return self.site.waiting("pdump") > mark and any(
                state not in ("queued", "running") for state in states
            )

        return (yield Wait(one_is_over, 10))

    def _hold_answer(self, action: str) -> Steps[None]:
        """Open the gate of an action, and keep what the container answers from then on."""
        self.site.proxy.set("hold", ("out",))
        ended = self.site.ended(action)
        self.site.container.set_gates()
        yield Wait(lambda: self.site.ended(action) > ended and self.site.proxy.held("out") > 0, 5)
        yield pause(SETTLE_SECONDS)

    def _is_committing(self) -> bool:
        return self.view().stage(self.site) == "committing"

    def _has_reported(self) -> bool:
        new = set(self._read_journals()) - set(self._journals)
        return any(" done " in journal for journal in new) and self.site.proxy.held("out") > 0

    def _read_journals(self) -> list[str]:
        return [self.site.journal(instance) for instance in self.site.instances]


Way = Callable[[Place], Steps[bool]]
WAYS: dict[str, Way] = {
    "queued": Place._queued,
    "connecting": Place._connecting,
    "login": Place._login,
    "line": Place._line,
    "cut": Place._cut,
    "newline": Place._newline,
    "report": Place._report,
    "outcome": Place._outcome,
    "between": Place._between,
}
