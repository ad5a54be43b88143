"""How fast every page is in a large portal, against the same page in an empty one and Django's admin.

    make bench ARGS=pages

Four portals on one PostgreSQL: empty (a few people), with one installation, small, and large. Each has a
process of its own, as has the admin over the large one; the requests of all of them alternate, so that a busy
machine slows all alike. A page is compared with itself in the empty portal; one that needs a row, in the
smallest that has it. All are measured; the goals are about lists and details, and those are opened often
enough for the slowest twentieth to mean something.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.benchmarks.scale import ONE, SEEN_SMALL, SMALL, Scale
from tests.benchmarks.streams import measure_streams
from tests.benchmarks.web import measure_web
from tests.figures import Cell, Goal, Report, percentile, say
from tests.services.portal import ROOT, Portal
from tests.services.postgres_server import PostgresServer

ROUNDS = 4
TIMES, TIMES_OF_A_TASK = 10, 4
"""Requests of each round at most: a page that takes seconds is opened less often (`measure.BUDGET`)."""
REQUESTS = (
    f"{ROUNDS * TIMES} requests each ({ROUNDS * TIMES_OF_A_TASK} of a task; fewer where one takes seconds)"
)
SEEN_PAGES = {
    "coverage", "drift", "installation", "container_timeline", "instance_timeline",
    "jwt_and_builds", "proposals", "readings", "container", "instance", "account",
}  # fmt: skip
EMPTY_LIMIT, ADMIN_LIMIT = 2.0, 3.0
MOST_ROWS = 1_000
"""Rows that a page may fetch, however much there is: the longest list shows 250, and what belongs to them."""
PEOPLE = "from tests.benchmarks.fleet import seed_people; seed_people()"


@dataclass
class Opener:
    """A process that opens the pages of one portal."""

    process: "subprocess.Popen[str]"
    titles: list[str]

    def open(self, title: str, times: int) -> dict[str, Any]:  # Any: plain JSON values
        """Open a page some times and return what it cost."""
        return dict(self._ask(json.dumps({"title": title, "times": times})))

    def _ask(self, line: str) -> Any:  # Any: whatever JSON holds
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


@contextmanager
def opener(portal: Portal, settings: str) -> Iterator[Opener]:
    """Start a process for one portal under these settings."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.measure"],
        cwd=ROOT,
        env={**portal.environment, "DJANGO_SETTINGS_MODULE": settings},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdin
        assert process.stdout
        yield Opener(process, json.loads(process.stdout.readline()))
        process.stdin.close()


@dataclass
class Row:
    """One page: seconds of its requests in the large portal, in the bare one, and of the admin's list."""

    title: str
    kind: str
    table: str
    compared_with: str
    queries: tuple[int, int] = (0, 0)
    """In the small and in the large portal."""
    fetched: tuple[int, int] = (0, 0)
    """Rows that came from the database, likewise."""
    full: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    admin: list[float] = field(default_factory=list)

    @property
    def against_bare(self) -> float:
        return percentile(self.full, 0.95) / percentile(self.bare, 0.95)

    @property
    def against_admin(self) -> float:
        return percentile(self.admin, 0.95) / percentile(self.full, 0.95)

    @property
    def cells(self) -> list[Cell]:
        milliseconds = [
            percentile(seconds, share) * 1000
            for seconds, share in ((self.full, 0.5), (self.full, 0.95), (self.bare, 0.95), (self.admin, 0.95))
        ]
        shown: list[Cell] = [self.title, self.kind]
        shown += [" / ".join(f"{number:,}" for number in pair) for pair in (self.queries, self.fetched)]
        shown += [*milliseconds[:3], self.compared_with, self.against_bare]
        return [*shown, self.table, milliseconds[3], self.against_admin]


def run(report: Report, scale: Scale) -> None:
    """Measure all pages, the streams and the real web server, and add tables and goals."""
    with PostgresServer() as server, tempfile.TemporaryDirectory(prefix="portal-pages-") as home:
        portals = {
            name: make_portal(server, Path(home), name, size)
            for name, size in (("empty", None), ("one", ONE), ("small", SMALL), ("full", scale))
        }
        rows = measure_pages(portals)
        show_pages(report, rows, scale)
        measure_web(report, portals["full"], scale)
        measure_streams(report, portals["full"], scale)


def seen(report: Report, scale: Scale) -> None:
    """Measure the pages that tell what containers hold and held, and add a table and a goal."""
    with PostgresServer() as server, tempfile.TemporaryDirectory(prefix="portal-seen-") as home:
        portals = {
            name: make_portal(server, Path(home), name, size)
            for name, size in (("empty", None), ("one", ONE), ("small", SEEN_SMALL), ("full", scale))
        }
        rows = measure_pages(portals, only=SEEN_PAGES)
    report.table(
        f"What containers hold, and held: {scale}",
        [
            "page",
            "kind",
            "statements small / large",
            "rows small / large",
            "p50 ms",
            "p95 ms",
            "bare p95 ms",
            "bare",
        ],
        [row.cells[:8] for row in rows],
        f"{REQUESTS}, in turn with the others. Small: {SEEN_SMALL}. "
        "Bare: the same page in an empty portal, or in the smallest that has it.",
    )
    grown = [row for row in rows if row.queries[1] > row.queries[0]]
    what = f"seen: pages, of {len(rows)}, with more statements{_named(grown)}"
    report.goal(Goal(what, len(grown), "at most", 0))


def make_portal(server: PostgresServer, home: Path, name: str, scale: Scale | None) -> Portal:
    """Make a portal in a database of its own; all share one set of keys, and none the head of its history."""
    settings = {"DATABASE_URL": server.create_database(name), "LOG_LEVEL": "ERROR"}
    portal = Portal(home, settings | {"AUDIT_HEAD_PATH": str(home / f"head-{name}")})
    portal.prepare()
    if scale is None:
        portal.manage("shell", "--verbosity", "0", "--command", PEOPLE)
        return portal
    say(f"seeding {name}: {scale}")
    command = [sys.executable, "-m", "tests.benchmarks.seed", "--installations", str(scale.installations)]
    command += ["--attempts", str(scale.attempts), "--events", str(scale.events)]
    command += ["--sights", str(scale.sights)]
    subprocess.run(command, cwd=ROOT, env=portal.environment, check=True)
    return portal


def measure_pages(portals: dict[str, Portal], *, only: Collection[str] = ()) -> list[Row]:
    """Open each page in turn: everywhere a few times, then everywhere again. `only`: names of pages."""
    admin = "tests.benchmarks.admin_settings"
    environment = {**portals["full"].environment, "DJANGO_SETTINGS_MODULE": admin}
    command = [sys.executable, "manage.py", "collectstatic", "--noinput", "--verbosity", "0"]
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
    with ExitStack() as running:
        openers = {
            name: running.enter_context(opener(portal, "portal.settings")) for name, portal in portals.items()
        }
        openers["admin"] = running.enter_context(opener(portals["full"], admin))
        about = about_pages(portals["full"])
        titles = [title for title in openers["full"].titles if not only or title.partition(",")[0] in only]
        return [_row(title, *about[title], openers) for title in titles]


def about_pages(portal: Portal) -> dict[str, tuple[str, str]]:
    """Return each page's kind, and the table whose list it is compared with.

    Asked of a process that has the portal's settings.
    """
    code = "import json; from tests.benchmarks.visits import VISITS; "
    code += "print(json.dumps({visit.title: (visit.kind, visit.table) for visit in VISITS}))"
    return dict(json.loads(portal.manage("shell", "--verbosity", "0", "--command", code)))


def _row(title: str, kind: str, table: str, openers: dict[str, Opener]) -> Row:
    compared_with = next(name for name in ("empty", "one", "small") if title in openers[name].titles)
    row = Row(title, kind, table, compared_with)
    times = TIMES_OF_A_TASK if kind == "task" else TIMES
    for _ in range(ROUNDS):
        large = openers["full"].open(title, times)
        row.full += large["seconds"]
        row.bare += openers[compared_with].open(title, times)["seconds"]
        row.admin += openers["admin"].open(table, times)["seconds"]
    small = openers["small"].open(title, times=1)
    row.queries = (small["queries"], large["queries"])
    row.fetched = (small["rows"], large["rows"])
    return row


def show_pages(report: Report, rows: Sequence[Row], scale: Scale) -> None:
    """Add the table of all pages, and its goals."""
    report.table(
        f"Every page with {scale}",
        [
            "page", "kind", "queries small / large", "rows small / large", "p50 ms", "p95 ms", "bare p95 ms",
            "bare", "times bare", "admin's list", "its p95 ms", "times faster",
        ],
        [row.cells for row in rows],
        f"{REQUESTS}, in turn with the others. "
        "Bare: the same page in an empty portal, or in the smallest that has it. Admin: Django's list of the "
        "named table, large portal. A task is a step, a form or a question; the goals of speed leave it out.",
    )  # fmt: skip
    grown = [row for row in rows if row.queries[1] > row.queries[0]]
    report.goal(Goal(f"pages, of {len(rows)}, with more queries{_named(grown)}", len(grown), "at most", 0))
    many = [row for row in rows if row.fetched[1] > MOST_ROWS]
    what = f"pages, of {len(rows)}, that fetch more than {MOST_ROWS:,} rows{_named(many)}"
    report.goal(Goal(what, len(many), "at most", 0))
    judged = [row for row in rows if row.kind != "task"]
    slowed = [row for row in judged if row.against_bare > EMPTY_LIMIT]
    slow = [row for row in judged if row.against_admin < ADMIN_LIMIT]
    of = f"lists and details, of {len(judged)}"
    what = f"{of}, more than {EMPTY_LIMIT:g} times as slow as bare{_named(slowed)}"
    report.goal(Goal(what, len(slowed), "at most", 0))
    what = f"{of}, less than {ADMIN_LIMIT:g} times as fast as the admin's list{_named(slow)}"
    report.goal(Goal(what, len(slow), "at most", 0))


def _named(rows: Sequence[Row]) -> str:
    return f" ({'; '.join(row.title for row in rows)})" if rows else ""
