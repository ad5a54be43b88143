"""Programs that run while a test needs them, and never longer."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from tests.services.programs import find_program
from tests.services.waiting import accepts_connections, wait_until

T = TypeVar("T")

_LAST_LINES = 20
_REAPER = (sys.executable, Path(__file__).with_name("reaper.py"))


class Process:
    """One program, started by making this object; stdin is empty, all output goes to `log`.

    `user` runs it as another account (root only). With `adopts`, `pid` is that of a reaper above it, so that
    the processor time of what it orphans is counted too. Start it in the main thread: the kernel stops it
    when the thread that started it ends, so that even a killed test run leaves nothing behind.
    """

    def __init__(
        self,
        argv: Sequence[str | Path],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        user: str | None = None,
        adopts: bool = False,
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.name = Path(argv[0]).name
        self.log = log
        self._stop_signal = stop_signal
        self._log_start = log.stat().st_size if log.exists() else 0
        launcher = _launcher(user, stop_signal)
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                [*_launcher(None, stop_signal), *_REAPER, *launcher, *argv] if adopts else [*launcher, *argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=env,
                cwd=cwd,
                # Ctrl+C in the terminal is for the test run, which then stops this in order.
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def exit_status(self) -> int | None:
        """None while it runs; minus the signal's number if a signal ended it."""
        return self._popen.poll()

    def output(self) -> str:
        """What it has written to its log since it was started."""
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    def wait_for(self, condition: Callable[[], T], *, within: float, what: str) -> T:
        """The condition's first true answer; fails with the log's end if late or if the program ends."""

        def checked() -> T:
            if self.exit_status is not None:
                raise AssertionError(
                    f"{self.name} ended ({self.exit_status}) before {what}\n{self._last_lines()}"
                )
            return condition()

        return wait_until(checked, within=within, what=f"{self.name}: {what}", hint=self._last_lines)

    def wait_for_line(self, pattern: str, *, within: float) -> re.Match[str]:
        """The first match of a regular expression in its output (`^` and `$` match at each line)."""
        expression = re.compile(pattern, re.MULTILINE)
        found = self.wait_for(
            lambda: expression.search(self.output()), within=within, what=f"line {pattern!r}"
        )
        assert found
        return found

    def wait_for_port(self, port: int, *, host: str = "127.0.0.1", within: float) -> None:
        """Come back once it, or somebody, listens there."""
        self.wait_for(lambda: accepts_connections(host, port), within=within, what=f"{host}:{port} open")

    def wait_for_exit(self, *, within: float) -> int:
        """Its exit status, once it ended by itself."""
        self._popen.wait(timeout=within)
        return self._popen.returncode

    def send(self, which: signal.Signals) -> None:
        """Send a signal to the program alone, not to its children."""
        self._popen.send_signal(which)

    def stop(self, *, within: float = 10.0) -> None:
        """End it in order, or by force after `within` seconds; then what it started and left behind."""
        with _family(self.pid) as left_behind:
            if self.exit_status is None:
                self.send(self._stop_signal)
                self._wait_or_kill(within)
            _kill_all(left_behind)

    def kill(self) -> None:
        """End it and all below it at once, as a power cut does."""
        with _family(self.pid) as children:
            self._popen.kill()
            _kill_all(children)
            self._popen.wait()

    def _wait_or_kill(self, within: float) -> None:
        try:
            self._popen.wait(timeout=within)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()

    def _last_lines(self) -> str:
        return "\n".join(self.output().splitlines()[-_LAST_LINES:])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class Server:
    """A service with a folder of its own that can be stopped and started again, keeping its data and port.

    Subclasses say how it is launched and when it is ready.
    """

    host = "127.0.0.1"
    port: int

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix=f"portal-{type(self).__name__}-"))
        self.log = self.home / "log"
        self._process: Process | None = None

    def launch(self) -> Process:
        """Start the program in the foreground."""
        raise NotImplementedError

    def wait_until_ready(self, process: Process) -> None:
        """Come back when the program serves; fail when it does not."""
        raise NotImplementedError

    @property
    def pid(self) -> int | None:
        """The program's process id, None while it is stopped."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Serve; nothing happens if it already does."""
        if self._process:
            return
        self._process = self.launch()
        try:
            self.wait_until_ready(self._process)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the program, and with it the connections it served; nothing happens if it has ended."""
        if self._process:
            self._process.stop()
            self._process = None

    def kill(self) -> None:
        """End the program as a power cut does."""
        if self._process:
            self._process.kill()
            self._process = None

    def restart(self) -> None:
        self.stop()
        self.start()

    def close(self) -> None:
        """Stop for good and remove the folder."""
        self.stop()
        shutil.rmtree(self.home)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _launcher(user: str | None, stop_signal: signal.Signals) -> list[str]:
    """What stands before the program: it becomes that program, so the process id stays the same."""
    setpriv = find_program("setpriv")
    if setpriv is None:
        if user:
            raise LookupError("running a program as another user needs setpriv (Debian package util-linux)")
        return []
    # setpriv knows signals by name without SIG.
    launcher = [str(setpriv), "--pdeathsig", stop_signal.name.removeprefix("SIG")]
    return [*launcher, "--reuid", user, "--regid", user, "--init-groups"] if user else launcher


def descendants(pid: int) -> set[int]:
    """The processes below this one."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # The name before ")" may hold anything; state and parent follow it (proc(5)).
            parent = int(stat.read_text(errors="replace").rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        found.update(below)
        waiting.extend(below)
    return found


@contextlib.contextmanager
def _family(pid: int) -> Iterator[list[int]]:
    """Handles to all processes below this one: unlike ids, they never come to mean another process."""
    handles: list[int] = []
    for descendant in descendants(pid):
        with contextlib.suppress(ProcessLookupError):
            handles.append(os.pidfd_open(descendant))
    try:
        yield handles
    finally:
        for handle in handles:
            os.close(handle)


def _kill_all(handles: list[int]) -> None:
    for handle in handles:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
