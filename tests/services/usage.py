"""What processes take of the machine: processor, memory, threads, file descriptors; all from proc(5)."""

import os
import threading
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.services.processes import descendants

TICKS = os.sysconf("SC_CLK_TCK")
LOOK_SECONDS = 0.1


def cpu_seconds(pid: int) -> float:
    """Return what a process and all below it have used so far, the ended ones included."""
    return sum(_cpu_ticks(each) for each in (pid, *descendants(pid))) / TICKS


def _cpu_ticks(pid: int) -> int:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return sum(map(int, fields[11:15]))  # utime, stime, and those of children that ended


def memory(pid: int) -> float:
    """Return a process's resident memory in MB."""
    return _status(pid, "VmRSS") / 1024


def peak_memory(pid: int) -> float:
    """Return the most resident memory, in MB, since the process began or since `forget_peak`."""
    return _status(pid, "VmHWM") / 1024


def forget_peak(pid: int) -> None:
    """Let `peak_memory` begin anew."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def threads(pid: int) -> int:
    return _status(pid, "Threads")


def open_files(pid: int) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def holds_port(pid: int, ports: Collection[int]) -> bool:
    """Whether a process has a TCP connection (IPv4) from one of these local ports."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    inodes = {f"socket:[{row[9]}]" for row in rows if int(row[1].rpartition(":")[2], 16) in ports}
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):  # it was closed meanwhile
            if str(descriptor.readlink()) in inodes:
                return True
    return False


def _status(pid: int, name: str) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(f"{name}:"))


@dataclass
class Peak:
    """While entered, looks ten times a second for the most threads and descriptors that one of `pids` has."""

    pids: Sequence[int]
    threads: int = 0
    descriptors: int = 0
    _enough: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._run, name="peak", daemon=True)

    def __enter__(self) -> Self:
        self._look()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._enough.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._enough.wait(LOOK_SECONDS):
            self._look()

    def _look(self) -> None:
        for pid in self.pids:
            self.threads = max(self.threads, threads(pid))
            self.descriptors = max(self.descriptors, open_files(pid))
