"""How large a run is, and what it runs on: containers, a portal that knows them, and its workers."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.containers import make_fleet
from tests.benchmarks.contenders import Race
from tests.benchmarks.site import make_site


@dataclass(frozen=True)
class Size:
    """How large a run is. `workers` times `concurrency` containers are pushed to at once."""

    containers: int = 200
    many: int = 2_000
    dead: int = 5_000
    rounds: int = 3
    presses: int = 21
    workers: int = 2
    concurrency: int = 100
    ansible: Path = Path(".venv-ansible/bin/ansible")

    @property
    def at_once(self) -> int:
        return self.workers * self.concurrency

    @property
    def workers_told(self) -> str:
        """The workers, for the text below a table."""
        return f"{self.workers} workers with {self.concurrency} threads each"


QUICK = Size(containers=20, many=60, dead=100, rounds=1, presses=3)


@contextmanager
def make_folder() -> Iterator[Path]:
    """Make a folder that neolane may enter, until the block ends."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@contextmanager
def make_race(
    size: Size,
    *,
    containers: int,
    instances: int = 1,
    pause: float = 0,
    dead: int = 0,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Race]:
    """Make a fleet, a portal that knows it, and running workers."""
    with make_folder() as folder, ExitStack() as stack:
        fleet = stack.enter_context(
            make_fleet(folder / "fleet", containers=containers, instances=instances, pause=pause, dead=dead)
        )
        site = stack.enter_context(make_site(folder / "portal", environment))
        site.stock(fleet)
        stack.enter_context(site.working(size.workers, size.concurrency))
        yield Race(fleet, site, size.at_once)
