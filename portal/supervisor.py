"""Runs the portal's processes side by side on one machine, restarts what ends, stops all of them together."""

import logging
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from types import FrameType

from portal.private_files import private_file

logger = logging.getLogger(__name__)
LOG_BYTES = 10 * 1024 * 1024  # a log file longer than this is put aside
LOG_FILES = 5  # this number is kept in addition to the one that grows
RESTART_PAUSE = 2.0  # seconds
STOP_PATIENCE = 110.0  # seconds; longer than a push may take, so that a stop cuts none in two


@dataclass
class Program:
    """One process: its command, and the file its output goes to."""

    name: str
    command: Sequence[str]
    log: Path
    environment: Mapping[str, str]
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        with private_file(self.log).open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603  # our own programs, no shell
                self.command,
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def has_ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def rotate(self) -> None:
        """Put a long log file aside as `.1`, older ones as `.2` and so on; the oldest goes.

        The process keeps its open file, so the text is copied and the file emptied. A line written in
        between is lost: that takes a full file and a few milliseconds.
        """
        if self.log.stat().st_size < LOG_BYTES:
            return
        aside = [self.log.with_name(f"{self.log.name}.{number}") for number in range(1, LOG_FILES + 1)]
        for newer, older in reversed(list(pairwise(aside))):
            if newer.exists():
                newer.replace(older)
        shutil.copyfile(self.log, private_file(aside[0]))
        os.truncate(self.log, 0)


@dataclass
class Supervisor:
    """Keeps programs running until SIGINT or SIGTERM, or until `stop` is called."""

    programs: list[Program] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        for program in self.programs:
            program.start()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.stopping.set()

    def watch(self) -> None:
        """Restart whatever ends by itself, until a signal says stop."""
        while not self.stopping.wait(0.5):
            for program in self.programs:
                program.rotate()
                if program.has_ended:
                    logger.warning("%s ended; starting it again. Its output: %s", program.name, program.log)
                    self.stopping.wait(RESTART_PAUSE)
                    program.start()

    def stop(self) -> None:
        """End every program: ask first, insist later."""
        running = [program.process for program in reversed(self.programs) if program.process]
        for process in running:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_PATIENCE
        for process in running:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_for_port(host: str, port: int, seconds: float, program: Program) -> None:
    """Return once something listens; `RuntimeError` with its log otherwise."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not program.has_ended:
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex((host, port)) == 0:
                return
        time.sleep(0.1)
    tail = program.log.read_text(errors="replace").splitlines()[-15:] if program.log.exists() else []
    raise RuntimeError(f"{program.name} does not answer on {host}:{port}.\n" + "\n".join(tail))
