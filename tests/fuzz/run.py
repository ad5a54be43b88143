"""Sends hostile requests to a running portal while a person goes on working, and holds both to the goals."""

import contextlib
import json
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from queue import SimpleQueue

from tests.figures import Cell, Goal, Report, percentile
from tests.fuzz.hostile import STRANGER, Hostile, Site, hostile
from tests.services.portal import ROOT, Portal
from tests.services.processes import Process
from tests.services.usage import peak_memory
from tests.services.wire import Answer, ask, connect, read, request

SENDERS = 6
HELD = 40
PROBER_SECONDS = 30.0
PROBED = ("/", "/accounts/", "/rollouts/", "/history/", "/containers/", "/login/")
MEGABYTES = 300
LOG_BYTES = 1500  # per request of a stranger: two lines
ENVIRONMENT = {
    "BROKER_URL": "filesystem://localhost",
    "IMS_BASE_URL": "http://127.0.0.1:9",
    "LOG_FORMAT": "json",
}


@dataclass
class Findings:
    """What came back."""

    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    failures: list[Hostile] = field(default_factory=list)
    too_late: int = 0
    strangers: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, sent: Hostile, status: int) -> None:
        with self.lock:
            self.statuses[sent.role, status] += 1
            if status == 500:
                self.failures.append(sent)


class Sessions:
    """One living session for each role: some requests end the one they come with."""

    def __init__(self, site: Site) -> None:
        self._left = {role: iter(ids) for role, ids in site.people.items() if role != "Prober"}
        self.now = {role: next(ids) for role, ids in self._left.items()}

    def renew(self, role: str, used: str) -> None:
        """Take the next session if this one is still in use and has ended."""
        if self.now.get(role) == used:
            self.now[role] = next(self._left[role], used)


class Prober:
    """A person who goes from page to page meanwhile."""

    def __init__(self, portal: Portal, session: str) -> None:
        self._portal, self._session = portal, session
        self.seconds: list[float] = []
        self.missed: list[str] = []
        """What went wrong, for each request that did."""

    def visit(self, path: str) -> None:
        began = time.perf_counter()
        cookie = {} if path == "/login/" else {"Cookie": f"sid={self._session}"}
        try:
            status = ask(self._portal.port, request(f"GET {path}", cookie), seconds=PROBER_SECONDS).status
            wrong = "" if status == 200 else f"status {status}"
        except OSError as error:
            wrong = f"{type(error).__name__}: {error}"
        self.seconds.append(time.perf_counter() - began)
        if self.seconds[-1] > PROBER_SECONDS:
            wrong = wrong or "too late"
        if wrong:
            self.missed.append(f"{path} after {self.seconds[-1]:.1f} s: {wrong}")

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """Go on from page to page until the block ends."""
        enough = threading.Event()

        def work() -> None:
            for number in count():
                self.visit(PROBED[number % len(PROBED)])
                if enough.wait(0.05):
                    return

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield
        finally:
            enough.set()
            thread.join()


def ground(portal: Portal, what: str) -> dict[str, object]:
    """Run `tests.fuzz.ground` with the portal's settings."""
    command = [sys.executable, "-m", "tests.fuzz.ground", what]
    done = subprocess.run(
        command, cwd=ROOT, env=portal.environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    answer: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return answer


def prepared(portal: Portal) -> Site:
    portal.prepare()
    return Site(**ground(portal, "fill"))  # type: ignore[arg-type]  # JSON


def serving(web: Process) -> list[int]:
    """Return the serving processes below the one that was started."""
    return [int(each) for each in Path(f"/proc/{web.pid}/task/{web.pid}/children").read_text().split()]


def fuzz(portal: Portal, site: Site, report: Report, *, requests: int, seed: int, idle: int) -> Findings:
    """Send so many requests, and add tables and goals to the report."""
    findings, sessions = Findings(), Sessions(site)
    events = int(str(ground(portal, "count")["events"]))
    with portal.web() as web:
        calm = Prober(portal, site.people["Prober"][0])
        for number in range(idle):
            calm.visit(PROBED[number % len(PROBED)])
        busy = Prober(portal, site.people["Prober"][1])
        began, log = time.monotonic(), web.log.stat().st_size
        with _held(portal) as held, busy.working():
            numbers: SimpleQueue[int] = SimpleQueue()
            for number in range(requests):
                numbers.put(number)
            with ThreadPoolExecutor(SENDERS) as pool:
                for each in [
                    pool.submit(_send, portal, site, sessions, findings, numbers, seed, held)
                    for _ in range(SENDERS)
                ]:
                    each.result()
        took, logged = time.monotonic() - began, web.log.stat().st_size - log
        peak = max(peak_memory(pid) for pid in serving(web))
        restarts = web.output().count("another one is started") + web.output().count("makes way for another")
    _report(report, findings, calm, busy, peak, took)
    report.goal(Goal("answers of 500", len(findings.failures), "at most", 0))
    report.goal(Goal("peak memory of a web process", peak, "at most", MEGABYTES, "MB"))
    report.goal(Goal("web processes that ended or were replaced", restarts, "at most", 0))
    report.goal(Goal("requests of a person that failed or took 30 s", len(busy.missed), "at most", 0))
    report.goal(Goal("hostile requests without an end in 60 s", findings.too_late, "at most", 0))
    report.goal(
        Goal("log per request", logged / (requests + len(busy.seconds)), "at most", LOG_BYTES, "bytes")
    )
    kept = int(str(ground(portal, "count")["events"])) - events
    report.goal(Goal("history events per request", kept / requests, "at most", 1.0))
    return findings


@contextlib.contextmanager
def _held(portal: Portal) -> Iterator[list[socket.socket]]:
    """Hold half-sent requests open from the first to the last."""
    whole = request(
        "POST /login/", {"Content-Type": "application/x-www-form-urlencoded", "Content-Length": "60000"}
    )
    held = [connect(portal.port) for _ in range(HELD)]
    for number, each in enumerate(held):
        each.sendall(whole[: len(whole) if number % 2 else 20])
    try:
        yield held
    finally:
        for each in held:
            each.close()


def _send(
    portal: Portal,
    site: Site,
    sessions: Sessions,
    findings: Findings,
    numbers: "SimpleQueue[int]",
    seed: int,
    held: list[socket.socket],
) -> None:
    while not numbers.empty():
        number = numbers.get()
        known = dict(sessions.now)
        sent = hostile(f"{seed}/{number}", site, known)
        try:
            if sent.held:
                connection = connect(portal.port)
                connection.sendall(sent.data)
                held.append(connection)
                findings.add(sent, -1)
                continue
            answer = _answer(portal, sent)
        except TimeoutError:
            findings.too_late += 1
            continue
        except OSError:
            findings.add(sent, 0)
            continue
        findings.add(sent, answer.status)
        if sent.role != STRANGER and "/login/" in answer.header("Location"):
            sessions.renew(sent.role, known[sent.role])


def _answer(portal: Portal, sent: Hostile) -> Answer:
    """Send it all, then half-close: what lies about its length ends there."""
    with connect(portal.port) as connection:
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            connection.sendall(sent.data)
            connection.shutdown(socket.SHUT_WR)
        return read(connection)


def _report(report: Report, findings: Findings, calm: Prober, busy: Prober, peak: float, took: float) -> None:
    statuses = sorted({status for _, status in findings.statuses})
    words = {-1: "held", 0: "closed"}
    roles = sorted({role for role, _ in findings.statuses})
    report.table(
        "Answers",
        ["sent by", *(words.get(each, str(each)) for each in statuses)],
        [[role, *(findings.statuses[role, each] for each in statuses)] for role in roles],
        f"{sum(findings.statuses.values()):,} requests in {took:,.0f} s, {peak:,.0f} MB at the most.",
    )
    rows: list[list[Cell]] = [
        [
            what,
            len(each.seconds),
            percentile(each.seconds, 0.5) * 1000,
            percentile(each.seconds, 0.95) * 1000,
            max(each.seconds) * 1000,
        ]
        for what, each in (("alone", calm), ("meanwhile", busy))
    ]
    report.table("Another person", ["", "requests", "p50 ms", "p95 ms", "slowest ms"], rows)
    if busy.missed:
        report.table("What the other person did not get", ["page"], [[each] for each in busy.missed[:20]])
    seen = Counter(f"{each.role} {each.data[:60]!r}" for each in findings.failures)
    if seen:
        found: list[list[Cell]] = [[text, times] for text, times in seen.most_common(20)]
        report.table("Answers of 500", ["request", "times"], found)
