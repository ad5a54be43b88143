"""The stack of docker-compose.yml as a project of its own, and what can be seen of it from outside."""

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
ROOT = Path(__file__).resolve().parent.parent.parent
POLL_SECONDS = 0.5
COMMAND_SECONDS = 120
BUILD_SECONDS = 1200
LEASE, INTERVAL = 20, 5  # seconds


class Off(Exception):
    """Something of the stack is not as it must be."""


def run(
    command: Sequence[str], *, within: float = COMMAND_SECONDS, environment: dict[str, str] | None = None
) -> str:
    """Run a command and return its standard output; `Off` with its last lines if it fails or takes longer."""
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=within,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Off(f"{' '.join(command[:6])} took longer than {within:g} s") from None
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-25:])
        raise Off(f"{' '.join(command)} ended with {done.returncode}:\n{tail}")
    return done.stdout


def wait_until(
    condition: Callable[[], T | None],
    *,
    within: float,
    what: str,
    hint: Callable[[], str] = lambda: "",
) -> T:
    """Return the condition's first true answer; `Off` after `within` seconds, with the `hint`."""
    deadline = time.monotonic() + within
    while True:
        is_late = time.monotonic() >= deadline
        if answer := condition():
            return answer
        if is_late:
            raise Off(f"waited {within:g} s in vain for {what}; last answer: {answer!r} {hint()}")
        time.sleep(POLL_SECONDS)


def configure(folder: Path) -> None:
    """Make keys, passwords and settings; a short lease, so that the try takes minutes."""
    run([str(ROOT / "deploy/configure"), "--sandbox", str(folder)])
    lines = [f"PUSH_LEASE={LEASE}", "PUSH_LEASE_RENEWAL=4", f"RECONCILE_INTERVAL={INTERVAL}"]
    with (folder / "portal.env").open("a") as file:
        file.write("\n".join(lines) + "\n")


@dataclass(frozen=True)
class ComposeContainer:
    """One container of the stack, by its full id."""

    id: str
    service: str
    state: str
    health: str

    @property
    def is_ready(self) -> bool:
        """Healthy where it has a health check; a service that runs once must have ended well."""
        return self.health == "healthy" if self.health else self.state == "exited 0"


class Stack:
    """A compose project named `project` with the keys in the folder `config`; it touches no other."""

    def __init__(self, project: str, config: Path) -> None:
        self.project = project
        self.config = config
        self.environment = {
            "COMPOSE_PROJECT_NAME": project,
            "PORTAL_CONFIG": str(config),
            "PORTAL_PORT": str(_free_port()),
            "PORTAL_TAG": "try",
        }

    def compose(self, *arguments: str, within: float = COMMAND_SECONDS) -> str:
        command = [*_compose_program(), "--profile", "sandbox", *arguments]
        return run(command, within=within, environment=self.environment)

    def up(self, *, workers: int) -> None:
        """Build both images, start everything, and wait until all of it is ready."""
        self.compose("build", "migrate", "mkt-1", within=BUILD_SECONDS)
        self.start("--scale", f"worker={workers}")

    def start(self, *arguments: str) -> None:
        """Start these services, or all, from the images that are there; wait until all that runs is ready."""
        self.compose("up", "--detach", "--no-build", *arguments, within=600)
        wait_until(
            lambda: all(each.is_ready for each in self.containers()),
            within=300,
            what="a healthy stack",
            hint=lambda: str([each for each in self.containers() if not each.is_ready]),
        )

    def down(self) -> None:
        """Remove containers, networks and volumes of this project."""
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "30", within=300)

    def containers(self) -> list[ComposeContainer]:
        """Return all containers of the project, also those that ended."""
        label = f"label=com.docker.compose.project={self.project}"
        ids = run(["docker", "ps", "--all", "--quiet", "--no-trunc", "--filter", label]).split()
        return [_container(each) for each in json.loads(run(["docker", "inspect", *ids]))] if ids else []

    def of(self, service: str) -> list[ComposeContainer]:
        return [each for each in self.containers() if each.service == service]

    def remove(self, *services: str, volumes: Sequence[str]) -> None:
        """Remove services with all that they hold, and volumes, for good."""
        self.compose("rm", "--stop", "--force", "-v", *services, within=300)
        run(["docker", "volume", "rm", *(f"{self.project}_{name}" for name in volumes)])

    def back_up(self, *arguments: str, folders: dict[Path, str]) -> str:
        """Run a command of the service `backup` as this user, with folders of this machine in it."""
        mounts = [f"--volume={folder}:{inside}" for folder, inside in folders.items()]
        user = f"--user={os.getuid()}:{os.getgid()}"
        return self.compose("run", "--rm", "-T", user, *mounts, "backup", *arguments)

    def kill(self, container: ComposeContainer) -> float:
        """Kill a container as a power cut does; return when it ended, by the engine's clock."""
        run(["docker", "kill", container.id])
        (found,) = json.loads(run(["docker", "inspect", container.id]))
        return datetime.fromisoformat(found["State"]["FinishedAt"]).timestamp()

    def manage(self, *arguments: str, within: float = COMMAND_SECONDS) -> str:
        """Run a management command in the web container and return what it printed."""
        return self.compose("exec", "-T", "web", "python", "manage.py", *arguments, within=within)

    def query(self, sql: str) -> list[dict[str, Any]]:  # Any: whatever the columns hold
        """Return the rows of a query, asked of PostgreSQL itself."""
        wrapped = f"SELECT coalesce(json_agg(row_to_json(found)), '[]') FROM ({sql}) found"
        psql = ["psql", "--username=portal", "--dbname=portal", "--no-align", "--tuples-only", "--command"]
        rows: list[dict[str, Any]] = json.loads(self.compose("exec", "-T", "postgres", *psql, wrapped))
        return rows

    def logs(self) -> str:
        """Return what every container of the project has written so far, also those that ended."""
        return "".join(_logs(each.id) for each in self.containers())

    def inspection(self) -> str:
        """Return what the engine tells about every container: environment, arguments, mounts."""
        return run(["docker", "inspect", *[each.id for each in self.containers()]])


def _container(found: dict[str, Any]) -> ComposeContainer:
    state = found["State"]
    status = f"exited {state['ExitCode']}" if state["Status"] == "exited" else str(state["Status"])
    return ComposeContainer(
        id=found["Id"],
        service=found["Config"]["Labels"]["com.docker.compose.service"],
        state=status,
        health=state.get("Health", {}).get("Status", ""),
    )


def _logs(container: str) -> str:
    done = subprocess.run(
        ["docker", "logs", container], capture_output=True, timeout=COMMAND_SECONDS, check=True
    )
    return (done.stdout + done.stderr).decode(errors="replace")


def _compose_program() -> list[str]:
    """Compose 2 is a part of Docker, Compose 1.29 a program of its own."""
    found = subprocess.run(["docker", "compose", "version"], capture_output=True, timeout=60, check=False)
    if found.returncode == 0:
        return ["docker", "compose"]
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    raise Off("there is neither `docker compose` nor `docker-compose` here")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
