"""The portal as it is deployed: database, broker and workers, each a process that is measured."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from portal.sandbox.console import ConsoleAccount
from tests.benchmarks.containers import Fleet
from tests.services.accounts import NEOLANE
from tests.services.portal import ROOT, Portal
from tests.services.postgres_server import PostgresServer
from tests.services.processes import Process
from tests.services.programs import require
from tests.services.redis_server import RedisServer
from tests.services.usage import cpu_seconds

ACCOUNT = "Triggers"
SUCCEEDED = "succeeded"


@dataclass(frozen=True)
class Rollout:
    """What the portal recorded of one rollout; times are seconds since the press, `pressed` is monotonic.

    `counts` and `ends` tell how many pushes ended with a state and code, and when the last of them did;
    `in_vain` how many attempts ended with a code.
    """

    pressed: float
    answered: float
    begun: float
    seconds: float
    counts: Mapping[str, int]
    ends: Mapping[str, float]
    in_vain: Mapping[str, int]

    def require_success(self) -> None:
        """Fail unless every push succeeded."""
        if list(self.counts) != [SUCCEEDED]:
            raise AssertionError(f"{dict(self.counts)}, attempts in vain: {dict(self.in_vain)}")


@dataclass
class Site:
    """A portal that knows a fleet, and its processes. `services` are those of database and broker."""

    portal: Portal
    services: Sequence[int] = ()
    console: ConsoleAccount = field(default_factory=ConsoleAccount)
    workers: list[Process] = field(default_factory=list)

    @property
    def worker_pids(self) -> list[int]:
        return [worker.pid for worker in self.workers]

    def stock(self, fleet: Fleet) -> None:
        """Fill the portal by its commands, and let its key into the fleet."""
        fleet.server.authorize(NEOLANE, self.portal.public_key)
        inventory = self.portal.home / "inventory.csv"
        inventory.write_text(fleet.inventory())
        self.portal.manage("import_inventory", str(inventory))
        told = self.console.download_json()
        self.portal.manage("add_account", ACCOUNT, "--from-json", "-", "--no-check", stdin=told)
        names = [name for target in (*fleet.targets, *fleet.dead) for name in target.instances]
        self.portal.manage("assign", ACCOUNT, *names)

    def press(self, *containers: str, limit: float = 600) -> Rollout:
        """Start a rollout to all, or to some, and wait for its last verdict."""
        return self._press("--limit", str(limit), "--", ACCOUNT, *containers, patience=limit + 60)[0]

    def press_often(self, times: int, *, pause: float) -> list[Rollout]:
        """Start one rollout after the other in the same process, with pauses between them."""
        asked = ["--times", str(times), "--pause", str(pause), "--", ACCOUNT]
        return self._press(*asked, patience=times * (pause + 60) + 60)

    def _press(self, *arguments: str, patience: float) -> list[Rollout]:
        done = subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.press", *arguments],
            cwd=ROOT,
            env=self.portal.environment,
            capture_output=True,
            text=True,
            timeout=patience,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(done.stderr)
        return [_rollout(told) for told in json.loads(done.stdout)]

    def ask(self, *arguments: str, patience: float) -> dict[str, object]:
        """Run `tests.benchmarks.ask`, and return what it tells."""
        done = subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.ask", *arguments],
            cwd=ROOT,
            env=self.portal.environment,
            capture_output=True,
            text=True,
            timeout=patience,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(done.stderr)
        told: dict[str, object] = json.loads(done.stdout)
        return told

    def worker_cpu(self) -> float:
        return sum(map(cpu_seconds, self.worker_pids))

    def service_cpu(self) -> float:
        return sum(map(cpu_seconds, self.services))

    @contextmanager
    def working(self, workers: int, concurrency: int) -> Iterator[None]:
        """Run so many workers until the block ends."""
        with ExitStack() as running:
            for number in range(workers):
                worker = self.portal.worker(f"worker{number}", concurrency=concurrency)
                self.workers.append(running.enter_context(worker))
            yield
        self.workers.clear()


def _rollout(told: dict[str, object]) -> Rollout:
    if not told.pop("complete"):
        raise RuntimeError(f"the rollout had no end: {told}")
    return Rollout(**told)  # type: ignore[arg-type]  # the other side of our own JSON


@contextmanager
def make_site(folder: Path, environment: Mapping[str, str] | None = None) -> Iterator[Site]:
    """Make a portal on a durable PostgreSQL and a Redis of its own."""
    with PostgresServer(durable=True) as postgres, RedisServer(program=require("redis-server")) as redis:
        values = {"DATABASE_URL": postgres.create_database("portal"), "BROKER_URL": redis.url()}
        # Nothing else happens here for which a rollout would leave places.
        values["PUSHES_PER_ROLLOUT"] = "1000"
        assert postgres.pid
        assert redis.pid
        portal = _make_portal(folder, {**values, **(environment or {})})
        yield Site(portal, [postgres.pid, redis.pid])


@contextmanager
def make_embedded_site(folder: Path) -> Iterator[Site]:
    """Make a portal as `make start` runs it: SQLite, and files as the broker."""
    yield Site(_make_portal(folder, {}))


def _make_portal(folder: Path, environment: Mapping[str, str]) -> Portal:
    folder.mkdir(parents=True)
    # As shipped, where the test portals are hastier.
    shipped = {"PUSH_COMMAND_LIMIT": "60", "PUSH_RETRY_DELAYS": "15,60,300,900", "RECONCILE_INTERVAL": "15"}
    portal = Portal(folder, {**shipped, "HTTPS": "False", **environment})
    portal.manage(
        "migrate", "--verbosity", "0"
    )  # roles and static files are for people; here is no web server
    return portal
