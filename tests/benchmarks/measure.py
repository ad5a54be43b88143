"""Opens pages of one portal again and again, in this process, and says what each of them cost.

Run by `tests.benchmarks.pages`, once for each portal and once for Django's admin: a process has one set of
settings. It prints the titles of its pages; then each line of its input, a title and a number of times, is
answered by one line, all JSON. With `--show` it opens all of them by itself, for people.
"""

import gc
import json
import os
import sys
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import django

from tests.figures import percentile, say

if TYPE_CHECKING:
    from django.test import Client

WARM_UP = 1
BUDGET, LEAST = 5.0, 3
"""No page is opened again after so many seconds, once it was opened so many times."""


@dataclass(frozen=True)
class Page:
    """One page, as somebody opens it."""

    title: str
    who: str
    url: str
    headers: dict[str, str]


@dataclass(frozen=True)
class Cost:
    """What one page cost: seconds of each request; statements, rows from the database and bytes of one."""

    seconds: list[float]
    queries: int
    rows: int
    size: int


def main(arguments: list[str]) -> int:
    """Answer until the input ends."""
    parser = ArgumentParser(prog="python -m tests.benchmarks.measure", description=__doc__)
    parser.add_argument("--show", metavar="PART", help="open the pages whose title has this part")
    parser.add_argument("--cookie", action="store_true", help="print a session of the admin, and end")
    options = parser.parse_args(arguments)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    django.setup()
    if options.cookie:
        say(_client("alice", {}).cookies["sid"].value)
        return 0
    pages = {page.title: page for page in _pages()}
    gc.freeze()  # as `portal.wsgi` does
    if options.show is not None:
        for title in pages:
            if options.show in title:
                _show(title, _cost(pages[title], 10))
        return 0
    say(json.dumps(list(pages)))
    for line in sys.stdin:
        wanted = json.loads(line)
        say(json.dumps(asdict(_cost(pages[wanted["title"]], wanted["times"]))))
    return 0


def _pages() -> Iterator[Page]:
    """The portal's pages, or the admin's lists."""
    from django.conf import settings
    from django.contrib.auth.models import User
    from django.urls import reverse

    from tests.benchmarks.visits import VISITS, Nothing

    if "django.contrib.admin" in settings.INSTALLED_APPS:
        User.objects.update_or_create(username="root", defaults={"is_superuser": True, "is_staff": True})
        for table in sorted({visit.table for visit in VISITS}):
            app, model = table.split(".")
            yield Page(table, "root", reverse(f"admin:{app}_{model}_changelist"), {})
        return
    for visit in VISITS:
        try:
            yield Page(visit.title, visit.who, visit.url(), dict(visit.headers))
        except Nothing:
            continue


def _cost(page: Page, times: int) -> Cost:
    from django.db import connection

    from tests.benchmarks.work import counted

    client = _client(page.who, page.headers)

    def once() -> int:
        response = client.get(page.url)
        if response.status_code not in (200, 302):
            raise AssertionError(f"{page.url} answers {response.status_code}")
        return len(b"".join(response) if response.streaming else response.content)

    for _ in range(WARM_UP):
        once()
    with counted(connection) as work:
        size = once()
    seconds: list[float] = []
    while len(seconds) < times and (sum(seconds) < BUDGET or len(seconds) < LEAST):
        begin = time.perf_counter()
        once()
        seconds.append(time.perf_counter() - begin)
    return Cost(seconds, work.statements, work.rows, size)


def _client(who: str, headers: dict[str, str]) -> "Client":
    """A browser in which somebody is signed in already."""
    from django.contrib.auth.models import User
    from django.test import Client

    client = Client(headers=headers, SERVER_NAME="127.0.0.1")
    if who:
        person = User.objects.get(username=who)
        client.force_login(person, backend="portal.people.backend.PasswordBackend")
    return client


def _show(title: str, cost: Cost) -> None:
    middle, high = (percentile(cost.seconds, share) * 1000 for share in (0.5, 0.95))
    asked = f"{cost.queries:3} queries {cost.rows:6} rows"
    say(f"{title:42} p50 {middle:8.1f} ms  p95 {high:8.1f} ms  {asked} {cost.size:8} bytes")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
