"""Watches the arguments of every process on this machine, for tests that no secret shows there."""

import io
import os
import threading
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

# Long enough to leave the machine to the work that is watched.
_PAUSE_SECONDS = 0.001


class Sighting(NamedTuple):
    """One process whose arguments held the needle; `uid` is None if it ended while we looked."""

    comm: str
    uid: int | None
    argv: tuple[str, ...]


class ArgvSampler:
    """While entered, collects in `sightings` every process that carries `needle` in its arguments.

    It samples: a process that lives less than one scan can be missed (`scans` tells how many were
    made). So a test needs a process that must be seen as well, and programs that linger a moment.
    """

    def __init__(self, needle: str) -> None:
        self.sightings: set[Sighting] = set()
        self.scans = 0
        self._needle = needle.encode()
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._run, name="argv sampler", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._enough.set()
        self._thread.join()

    def programs(self) -> set[str]:
        """The names of the programs that were seen with the needle."""
        return {sighting.comm for sighting in self.sightings}

    def _run(self) -> None:
        while not self._enough.wait(_PAUSE_SECONDS):
            self._scan()
            self.scans += 1

    def _scan(self) -> None:
        with os.scandir("/proc") as entries:
            for entry in entries:
                if entry.name.isdigit():
                    self._look_at(entry.name)

    def _look_at(self, pid: str) -> None:
        try:
            # Not Path.read_bytes: this runs some ten thousand times a second.
            with io.FileIO(f"/proc/{pid}/cmdline") as cmdline:
                argv = cmdline.readall()
        except OSError:
            return
        if self._needle in argv:
            self.sightings.add(_sighting(Path("/proc", pid), argv))


def _sighting(process: Path, argv: bytes) -> Sighting:
    arguments = tuple(argv.decode(errors="replace").rstrip("\0").split("\0"))
    try:
        return Sighting(process.joinpath("comm").read_text().strip(), process.stat().st_uid, arguments)
    except OSError:
        return Sighting(Path(arguments[0]).name, None, arguments)
