"""The whole world of the suite: services, containers, workers, and the desk of the portal's people."""

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from django.core.management import call_command
from django.db import close_old_connections, connections

from instances.reaching import portal_key
from tests.chaos.desk import Desk
from tests.chaos.plan import DOUBLE
from tests.chaos.services import Services
from tests.chaos.site import Site
from tests.chaos.workers import Worker
from tests.services.accounts import NEOLANE
from tests.services.waiting import wait_until

START_SECONDS = 90.0


@dataclass
class World:
    """All that a round happens in."""

    services: Services
    sites: list[Site]
    desk: Desk
    workers: list[Worker]

    @property
    def logs(self) -> list[Path]:
        return [worker.log for worker in self.workers]

    def supervise(self) -> None:
        for worker in self.workers:
            worker.supervise()

    def heal(self) -> None:
        """Everything in order again, whatever a round left behind."""
        self.services.heal()
        for worker in self.workers:
            worker.thaw()
            worker.supervise()
        for site in self.sites:
            site.heal()

    def wait_for_workers(self) -> None:
        def ready() -> bool:
            self.supervise()
            return all(worker.is_ready for worker in self.workers)

        wait_until(ready, within=START_SECONDS, what="all workers to be ready")


@contextmanager
def make_world(services: Services, *, sites: int, workers: int, small_disks: bool) -> Iterator[World]:
    """Build it on services that run, and take it down again."""
    with ExitStack() as closing:
        closing.callback(connections.close_all)
        call_command("migrate", verbosity=0)
        call_command("sync_roles", verbosity=0)
        login = NEOLANE if os.geteuid() == 0 else os.environ.get("USER", "")
        made = []
        for number in range(sites):
            instances = ("first", "second") if number < DOUBLE else ("first",)
            site = Site(
                number,
                services.loop,
                login=login,
                key=portal_key.public_line(),
                instances=tuple(f"chaos{number:02}-{each}" for each in instances),
                small_disk=small_disks,
            )
            closing.callback(site.close)
            site.start()
            made.append(site)
        desk = Desk(services, made)
        staff = [Worker(number, services.home, services) for number in range(1, workers + 1)]
        for worker in staff:
            closing.callback(worker.close)
            worker.start()
        world = World(services, made, desk, staff)
        world.wait_for_workers()
        close_old_connections()
        yield world


def keep(home: Path, to: Path) -> Path:
    """Keep a folder for reading."""
    shutil.copytree(home, to, dirs_exist_ok=True, ignore=shutil.ignore_patterns("keys"))
    return to
