"""Has containers read, waits for the last of them, and tells how long that took; or counts statements.

Run as a program of its own with the portal's environment; prints a JSON object.

    python -m tests.benchmarks.ask [--limit SECONDS]
    python -m tests.benchmarks.ask --statements CONTAINER ACCOUNT

The second form visits one container in this process, while no worker runs: to be pushed to, and to be read.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import django

django.setup()

from django.db import connection  # noqa: E402  # Django first
from django.db.models import Count, Max  # noqa: E402

from credentials.models import TechnicalAccount  # noqa: E402
from credentials.rollouts.models import Push  # noqa: E402
from credentials.rollouts.starting import start_rollout  # noqa: E402
from instances.discovery.models import Reading  # noqa: E402
from instances.discovery.services import ask  # noqa: E402
from instances.models import Container  # noqa: E402
from instances.visits.visit import visit  # noqa: E402
from portal.audit.trail import Actor  # noqa: E402

BENCH = Actor("bench")
# The time that counts is the database's; this look must only be rare enough to cost nothing.
LOOK_SECONDS = 0.2


def main() -> None:
    """Do what the arguments say."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--limit", type=float, default=600, help="seconds to wait for the last reading")
    parser.add_argument("--statements", nargs=2, metavar=("CONTAINER", "ACCOUNT"))
    options = parser.parse_args()
    told = _statements(*options.statements) if options.statements else _read_all(options.limit)
    json.dump(told, sys.stdout)


def _read_all(limit: float) -> dict[str, object]:
    """Have every container read; tell the seconds to the end of the last one, and how many ended how."""
    containers = list(Container.objects.filter(is_enabled=True))
    asked = time.time()
    readings = [reading.pk for reading in ask(containers=containers, actor=BENCH)]
    until = time.monotonic() + limit
    mine = Reading.objects.filter(pk__in=readings)
    while Reading.objects.filter(finished=None).exists():
        if time.monotonic() > until:
            raise TimeoutError("not all were read")
        time.sleep(LOOK_SECONDS)
    last = mine.aggregate(last=Max("finished"))["last"]
    ends = mine.order_by().values("state", "code").annotate(count=Count("pk"))
    return {
        "seconds": last.timestamp() - asked,
        "counts": {f"{each['state']} {each['code']}".strip(): each["count"] for each in ends},
    }


def _statements(name: str, account: str) -> dict[str, int]:
    """Count the statements of a visit that pushes, and of one that reads; the first of each is no count."""
    container = Container.objects.get(name=name)

    def push() -> None:
        secret = TechnicalAccount.objects.get(name=account).newest_version
        assert secret
        start_rollout(
            version=secret, installations=container.installations.all(), reason="repair", actor=BENCH
        )

    def read() -> None:
        ask(containers=[container], actor=BENCH)

    told = {what: _visit(container, begin) for what, begin in [("push", push), ("read", read)] * 2}
    if Push.objects.exclude(state=Push.State.SUCCEEDED).exists() or Reading.objects.exclude(code="").exists():
        raise AssertionError("what was counted did not succeed")
    return told


def _visit(container: Container, begin: Callable[[], None]) -> int:
    begin()
    count = 0

    def counted(execute: Any, sql: str, *rest: Any) -> Any:  # Any: Django's own signature
        nonlocal count
        count += 1
        return execute(sql, *rest)

    with connection.execute_wrapper(counted):
        visit(container.pk)
    return count


if __name__ == "__main__":
    main()
