"""The portal's workers, each a real process, started again by us as a supervisor would."""

import os
import re
import signal
import sys
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.services import Services
from tests.services import usage
from tests.services.portal import ROOT
from tests.services.processes import Process

CONCURRENCY = 8
PLACES = 16  # of a worker, and for one rollout: all that the suite has
READY = re.compile(r"celery@.* ready")
RESTART_PAUSE = 0.5


@dataclass(frozen=True)
class Usage:
    """What a worker holds of the machine."""

    threads: int
    files: int
    megabytes: float


@dataclass
class Life:
    """The measures of one process, one after each round."""

    measures: list[Usage] = field(default_factory=list)


class Worker:
    """One worker: its present process, and when it may be started again after it ended."""

    def __init__(self, number: int, home: Path, services: Services) -> None:
        self.name = f"worker-{number}"
        self.redis, self.postgres = services.new_doors()
        environment = {**os.environ, **services.settings(self.redis.port, self.postgres.port)}
        self.log = home / f"{self.name}.log"
        places = {"PUSHES_PER_WORKER": str(PLACES), "PUSHES_PER_ROLLOUT": str(PLACES)}
        self._environment = {**environment, **places, "PGAPPNAME": "chaos-worker"}
        self.process: Process | None = None
        self.starts = 0
        self._ended: float | None = None
        self.is_frozen = False
        self.was_asked = False
        self.bad_ends: list[int] = []
        self.lives: list[Life] = []

    def start(self) -> None:
        command = [sys.executable, "-m", "celery", "-A", "portal", "worker", "--pool", "threads"]
        command += ["--concurrency", str(CONCURRENCY), "--without-gossip", "--without-mingle"]
        command += ["--loglevel", "INFO", "--hostname", f"{self.name}@%h"]
        self.process = Process(command, log=self.log, env=self._environment, cwd=ROOT)
        self.starts += 1
        self._ended, self.is_frozen, self.was_asked = None, False, False
        self.lives.append(Life())

    @property
    def pid(self) -> int:
        return self.process.pid if self.process else 0

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.exit_status is None

    @property
    def is_ready(self) -> bool:
        return self.process is not None and self.is_running and bool(re.search(r"ready\.", self._output()))

    def _output(self) -> str:
        return self.process.output() if self.process else ""

    def supervise(self) -> None:
        """Start it again a moment after it ended."""
        if self.is_running:
            return
        if self._ended is None:
            self._ended = time.monotonic()
            if self.process and self.process.exit_status not in (0, -signal.SIGKILL):
                self.bad_ends.append(self.process.exit_status or 0)
        elif time.monotonic() - self._ended >= RESTART_PAUSE:
            self.start()

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)
        self.is_frozen = True

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)
        self.is_frozen = False

    def kill(self) -> None:
        if self.process:
            self.process.kill()

    def holds_port(self, ports: Collection[int]) -> bool:
        """Whether it has a connection from one of these local ports."""
        try:
            return self.is_running and usage.holds_port(self.pid, ports)
        except OSError:  # it is just ending
            return False

    def ask_to_stop(self) -> None:
        self._signal(signal.SIGTERM)
        self.was_asked = True

    @property
    def is_stopping(self) -> bool:
        return self.was_asked and self.is_running

    def _signal(self, number: signal.Signals) -> None:
        if self.process and self.is_running:
            self.process.send(number)

    def close(self) -> None:
        if self.process:
            if self.is_frozen:
                self.thaw()
            self.process.kill()

    def measure(self) -> None:
        """Note what it holds, at the end of a round, when it has nothing to do."""
        if not self.is_running:
            return
        held = Usage(
            threads=usage.threads(self.pid),
            files=usage.open_files(self.pid),
            megabytes=usage.memory(self.pid),
        )
        self.lives[-1].measures.append(held)
