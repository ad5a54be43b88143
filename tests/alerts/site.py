"""One portal with its database, broker, web server and worker, and the Prometheus that watches it."""

import shutil
import signal
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import psycopg

from portal.sandbox.config_files import Shape
from portal.sandbox.console import ConsoleAccount
from portal.sandbox.container import make_container
from portal.sandbox.ssh_server import SSHServer
from tests.alerts.prometheus import Prometheus
from tests.alerts.scale import Scale
from tests.services.portal import Portal
from tests.services.postgres_server import PostgresServer
from tests.services.processes import Process
from tests.services.programs import find_program
from tests.services.redis_server import RedisServer

HEADER = "instance,container,address,port,install_root,host_key"
ROUTINE = """
from django.core.management import call_command
call_command("backup", {folder!r}, verbosity=0)
call_command("verify_audit", "--record", verbosity=0)
"""


class Site:
    """Everything runs on this machine. Make it, and use it, in one thread: its processes end with that."""

    def __init__(self, name: str, folder: Path, *, scale: Scale, scrape_seconds: int) -> None:
        self.name = name
        self.folder = folder / name
        self.folder.mkdir(mode=0o700)
        self.scale = scale
        self._scrape_seconds = scrape_seconds
        self._stack = ExitStack()
        self._running: dict[str, Process] = {}

    def __enter__(self) -> Self:
        try:
            self._begin()
        except BaseException:
            self._stack.close()
            raise
        return self

    def _begin(self) -> None:
        self.postgres = self._stack.enter_context(PostgresServer())
        self.redis = self._stack.enter_context(RedisServer(program=program("redis-server")))
        settings = {
            "DATABASE_URL": self.postgres.create_database("portal"),
            "BROKER_URL": self.redis.url(),
            "RECONCILE_INTERVAL": str(self.scale.duration(15)),
            "PUSH_LEASE": str(round(self.scale.duration(120))),
            "PUSH_LEASE_RENEWAL": str(self.scale.duration(20)),
            "PUSH_COMMAND_LIMIT": "60",
        }
        home = self.folder / "home"
        home.mkdir(mode=0o700)
        self.portal = Portal(home, settings)
        self.portal.prepare()
        self.prometheus = Prometheus(
            program=program("prometheus"),
            target=f"127.0.0.1:{self.portal.port}",
            scale=self.scale,
            scrape_seconds=self._scrape_seconds,
        )
        self._stack.callback(self.prometheus.close)
        self._stack.callback(self.stop_all)

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def stop_all(self) -> None:
        for name in list(self._running):
            self.stop(name)

    def start_web(self) -> None:
        self._running["web"] = self.portal.web()

    def start_worker(self) -> None:
        self._running["worker"] = self.portal.worker(concurrency=2)

    def stop(self, name: str) -> None:
        """End `web` or `worker` in order."""
        process = self._running.pop(name)
        process.send(signal.SIGCONT)
        process.stop(within=60)

    def kill(self, name: str) -> None:
        """End `web` or `worker` as a power cut does."""
        self._running.pop(name).kill()

    def send(self, name: str, which: signal.Signals) -> None:
        self._running[name].send(which)

    def shell(self, code: str) -> str:
        """Run Python with the portal's settings, as one process of it."""
        return self.portal.manage("shell", "-v", "0", "-c", code)

    def routine(self) -> None:
        """Do what cron does each night."""
        self.shell(ROUTINE.format(folder=str(self.folder / "backups")))

    def execute(self, *statements: str) -> None:
        """Change the database behind the portal's back, in one transaction."""
        with psycopg.connect(self.postgres.url()) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def value(self, query: str) -> object:
        """Return the first value of a query."""
        with psycopg.connect(self.postgres.url()) as connection:
            row = connection.execute(query.encode()).fetchone()
            return row[0] if row else None

    def stock(self) -> None:
        """Add a container with an instance `prod1`, and an account `Triggers` that is assigned to it."""
        self.container = make_container(self.folder / "mkt-1", instances={"prod1": Shape.PLAIN})
        container, key = self.container, self.portal.public_key
        self.server = server = SSHServer(environment=container.environment, authorized_keys=[key])
        server.start()
        self._stack.callback(server.stop)
        row = f"prod1,mkt-1,{server.address},{server.port},{container.install_root},{server.fingerprint}"
        inventory = self.folder / "inventory.csv"
        inventory.write_text(f"{HEADER}\n{row}\n")
        self.portal.manage("import_inventory", str(inventory))
        account = ["add_account", "Triggers", "--from-json", "-", "--no-check"]
        self.portal.manage(*account, stdin=ConsoleAccount().download_json())
        self.portal.manage("assign", "Triggers", "prod1")

    def keep_logs(self, target: Path) -> None:
        """Copy the logs of the portal's processes for reading."""
        target.mkdir(parents=True, exist_ok=True)
        for log in self.portal.home.glob("*.log"):
            shutil.copy(log, target / f"{self.name}-{log.name}")


def program(name: str) -> Path:
    """Return an installed program; `LookupError` without it."""
    found = find_program(name)
    if found is None:
        raise LookupError(f"no {name} here")
    return found
