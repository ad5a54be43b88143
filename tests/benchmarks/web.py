"""The main pages through the real web server, one request after the other, to confirm the other figures."""

import subprocess
import sys
import time
from http.client import HTTPConnection

from tests.benchmarks.scale import Scale
from tests.figures import Cell, Report, percentile
from tests.services.portal import ROOT, Portal

MAIN = ("/", "/accounts/", "/instances/", "/containers/", "/rollouts/", "/rollouts/failed/", "/history/")
WARM_UP, TIMES = 3, 30


def cookie(portal: Portal) -> str:
    """A session of the admin."""
    command = [sys.executable, "-m", "tests.benchmarks.measure", "--cookie"]
    done = subprocess.run(
        command, cwd=ROOT, env=portal.environment, check=True, capture_output=True, text=True
    )
    return f"sid={done.stdout.strip()}"


def measure_web(report: Report, portal: Portal, scale: Scale) -> None:
    """Add a table of the main pages."""
    headers = {"Cookie": cookie(portal)}
    with portal.web():
        rows: list[list[Cell]] = [[path, *_figures(portal.port, path, headers)] for path in MAIN]
    report.table(f"Through the web server with {scale}", ["page", "p50 ms", "p95 ms"], rows)


def _figures(port: int, path: str, headers: dict[str, str]) -> list[float]:
    seconds = []
    for number in range(WARM_UP + TIMES):
        begin = time.perf_counter()
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        response.read()
        connection.close()
        assert response.status == 200, (path, response.status)
        if number >= WARM_UP:
            seconds.append(time.perf_counter() - begin)
    return [percentile(seconds, share) * 1000 for share in (0.5, 0.95)]
