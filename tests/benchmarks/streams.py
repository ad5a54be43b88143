"""The two jobs that read every audit event: the CSV export and `verify_audit`."""

import json
import re
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from urllib.parse import urlencode

from tests.benchmarks.scale import Scale
from tests.benchmarks.web import cookie
from tests.figures import Cell, Goal, Report
from tests.services.portal import ROOT, Portal
from tests.services.usage import peak_memory

CHUNK = 1 << 16
SHORT = timedelta(days=11)  # a hundredth of the seeded past
FLAT = 8.0  # MB
BLOCKED = 1.0  # seconds that an event may wait while an export runs
TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="(\w+)"')


@dataclass(frozen=True)
class Export:
    """One download; `peak` is the server's memory in MB."""

    rows: int
    seconds: float
    first_byte: float
    megabytes: float
    peak: float

    @property
    def cells(self) -> list[Cell]:
        rate = self.rows / self.seconds
        return [self.rows, self.seconds, rate, self.first_byte, self.megabytes, self.peak]


def measure_streams(report: Report, portal: Portal, scale: Scale) -> None:
    """Add tables and goals of the export and of the verification."""
    since = (datetime.now(UTC) - SHORT).date().isoformat()
    short = _export(portal, urlencode({"since": since}))
    with _recorder(portal) as waits:
        long = _export(portal)
    report.table(
        "CSV export of the history through the web server",
        ["rows", "s", "rows/s", "first byte s", "MB", "server's peak MB"],
        [short.cells, long.cells],
        f"During the second one another process recorded {waits['count']} events: the median waited "
        f"{waits['usual'] * 1000:.0f} ms, the slowest {waits['slowest'] * 1000:.0f} ms.",
    )
    more = long.peak - short.peak
    report.goal(Goal("memory of an export of everything, above that of 1 %", more, "at most", FLAT, "MB"))
    report.goal(Goal("rows of an export of everything", long.rows, "at least", scale.events))
    report.goal(Goal("longest wait of an event while it runs", waits["slowest"], "at most", BLOCKED, "s"))
    _verify(report, portal, scale)


def _export(portal: Portal, query: str = "") -> Export:
    """Download through a fresh server."""
    session = cookie(portal)
    with portal.web() as web:
        page = _request(portal, "GET", "/history/", {"Cookie": session})
        tokens = TOKEN.findall(page.read().decode())
        csrf = (page.getheader("Set-Cookie") or "").split(";")[0]
        begin = time.perf_counter()
        answer = _request(
            portal,
            "POST",
            f"/history/export/?{query}",
            {"Cookie": f"{session}; {csrf}", "Content-Type": "application/x-www-form-urlencoded"},
            urlencode({"csrfmiddlewaretoken": tokens[0]}),
        )
        assert answer.status == 200, answer.status
        first_byte = time.perf_counter() - begin
        lines = size = 0
        while chunk := answer.read(CHUNK):
            lines, size = lines + chunk.count(b"\n"), size + len(chunk)
        return Export(lines - 1, time.perf_counter() - begin, first_byte, size / 1e6, _peak(web.pid))


def _request(
    portal: Portal, method: str, path: str, headers: dict[str, str], body: str | None = None
) -> HTTPResponse:
    connection = HTTPConnection("127.0.0.1", portal.port, timeout=600)
    connection.request(method, path, body=body, headers={**headers, "Referer": portal.url})
    return connection.getresponse()


def _peak(pid: int) -> float:
    """The most memory, in MB, that a child of this process ever had."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return max(peak_memory(int(child)) for child in children)


@contextmanager
def _recorder(portal: Portal) -> Iterator[dict[str, float]]:
    """Record events meanwhile; how long they took is there afterwards."""
    command = [sys.executable, "-m", "tests.benchmarks.recorder"]
    waits: dict[str, float] = {}
    with subprocess.Popen(
        command, cwd=ROOT, env=portal.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield waits
        waits.update(json.loads(process.communicate()[0]))


def _verify(report: Report, portal: Portal, scale: Scale) -> None:
    begin = time.perf_counter()
    found = json.loads(portal.manage("verify_audit", "--json", within=3600))
    seconds = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    verdict = "intact" if found["intact"] else "NOT intact"
    report.table(
        "verify_audit",
        ["events", "s", "events/s", "verdict"],
        [[found["events"], seconds, found["events"] / seconds, verdict]],
        f"No process that this run started and waited for had more than {peak:.0f} MB.",
    )
    report.goal(
        Goal("events verified and intact", found["events"] * found["intact"], "at least", scale.events)
    )
