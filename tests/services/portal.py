"""The portal as its users run it: commands, worker and web server, each a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from tests.services.migrated import put_migrated_database
from tests.services.processes import Process
from tests.services.waiting import free_port

ROOT = Path(__file__).resolve().parent.parent.parent
COMMAND_SECONDS = 120
# Three commands in one process: starting each takes longer than what it does.
PREPARE = """
import sys
import django
from django.core.management import call_command
django.setup()
if sys.argv[1:]:
    from tests.services.migrated import begin_anew
    begin_anew(sys.argv[1])
call_command("migrate", verbosity=0)
call_command("sync_roles", verbosity=0)
call_command("collectstatic", interactive=False, verbosity=0)
"""


def content(path: Path) -> bytes:
    """What is in a file; nothing if it is gone by now, as SQLite's own beside the database come and go."""
    with suppress(FileNotFoundError):
        return path.read_bytes()
    return b""


class Portal:
    """A portal of its own below `home`. `environment` replaces its settings."""

    def __init__(self, home: Path, environment: Mapping[str, str]) -> None:
        self.home = home
        self.port = free_port()
        self.environment = {
            **{name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "HTTPS")},
            "DJANGO_SETTINGS_MODULE": "portal.settings",
            "PORTAL_HOME": str(home),
            "DATABASE_URL": f"sqlite:///{home}/portal.sqlite3",
            "ALLOW_LOOPBACK_TARGETS": "True",
            "PUSH_COMMAND_LIMIT": "10",
            "PUSH_RETRY_DELAYS": "1,1",
            "RECONCILE_INTERVAL": "1",
            "READ_INTERVAL": "0",  # nobody logs in unasked while a test counts
            **environment,
        }

    def manage(
        self, *arguments: str, stdin: str = "", fails: bool = False, within: float = COMMAND_SECONDS
    ) -> str:
        """Run a management command and return what it printed; fails unless it ends as expected."""
        return self._run("manage.py", *arguments, stdin=stdin, fails=fails, within=within)

    def _run(self, *arguments: str, stdin: str = "", fails: bool = False, within: float) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=within,
            check=False,
        )
        assert bool(done.returncode) == fails, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def prepare(self) -> None:
        """Do what the first start does; tables come from a database that was migrated before."""
        database = self.home / "portal.sqlite3"
        url = self.environment.get("DATABASE_URL")  # some name it in a file
        is_new = url == f"sqlite:///{database}" and not database.exists()
        if is_new:
            put_migrated_database(database)
        self._run("-c", PREPARE, *([str(database)] if is_new else []), within=3 * COMMAND_SECONDS)

    @property
    def public_key(self) -> str:
        return self.manage("portal_key", "--plain").strip()

    def worker(self, name: str = "worker", *, concurrency: int = 8) -> Process:
        """Start a Celery worker; use it as a context manager."""
        command = [sys.executable, "-m", "celery", "-A", "portal", "worker", "--pool", "threads"]
        command += ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "INFO"]
        environment = {**self.environment, "PUSHES_PER_WORKER": str(concurrency)}
        worker = Process(command, log=self.home / f"{name}.log", env=environment, cwd=ROOT)
        worker.wait_for_line(r"celery@.* ready", within=60)
        return worker

    def web(self) -> Process:
        """Start the web server at `url`; use it as a context manager."""
        command = [sys.executable, "-m", "portal.webserver"]
        command += ["--bind", f"127.0.0.1:{self.port}"]
        web = Process(command, log=self.home / "web.log", env=self.environment, cwd=ROOT)
        web.wait_for_port(self.port, within=60)
        return web

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def rollout(self, account: str, *, fails: bool = False) -> dict[tuple[str, str], tuple[str, str]]:
        """Start a rollout, wait for it, and return (instance, container) -> (state, code)."""
        printed = self.manage("rollout", account, "--unconfirmed", "--wait", "90", "--json", fails=fails)
        pushes = json.loads(printed)["pushes"]
        return {(push["instance"], push["container"]): (push["state"], push["code"]) for push in pushes}
