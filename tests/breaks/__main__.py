"""Breaks the code on purpose, each time in a copy, and sees that the tests notice.

    python -m tests.breaks
    python -m tests.breaks 03 sent-again-for-ever

A name is the number of a patch beside this file, or a part of its name.

Exit status: 0 if every break was noticed by each test that it names, 1 if one was not, 2 if nothing could be
tried.
"""

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.breaks.breaks import FOLDER, ROOT, Break, Run, Runner, copy_tree, read_all
from tests.figures import Table, say

AT_ONCE = 2
RUN_SECONDS = 300
UNBROKEN_SECONDS = 1200
LAST_LINES = 30


@dataclass(frozen=True)
class Trial:
    """A break that was tried; `run` is None if its patch does not apply."""

    tried: Break
    run: Run | None

    def word(self, test: str) -> str:
        if self.run is None:
            return "does not apply"
        if self.run.has_noticed(test):
            return "noticed"
        said = self.run.said_about(test)
        return "NOT NOTICED" if said == "passed" else f"NOT NOTICED ({said})"

    @property
    def is_noticed(self) -> bool:
        return self.run is not None and all(map(self.run.has_noticed, self.tried.tests))

    def rows(self) -> Iterator[list[str]]:
        seconds = f"{self.run.seconds:.0f}" if self.run else ""
        for test in self.tried.tests:
            yield [self.tried.name, test, self.word(test), seconds]


def main(arguments: Sequence[str], *, root: Path = ROOT, folder: Path = FOLDER) -> int:
    parser = argparse.ArgumentParser(prog="make breaks", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these breaks")
    names = parser.parse_args(arguments).names
    breaks = [each for each in read_all(folder) if not names or any(map(each.name.__contains__, names))]
    if unknown := [name for name in names if not any(name in each.name for each in breaks)]:
        sys.stderr.write(f"There is no such break: {', '.join(unknown)}\n")
        return 2
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="portal-breaks-") as place,
        trying(Trials(root, Path(place))) as trials,
    ):
        if not trials.pass_unbroken(breaks):
            return 2
        tried = trials.try_all(breaks)
    return tell(tried, time.monotonic() - began)


def tell(tried: Sequence[Trial], seconds: float) -> int:
    rows = [row for each in tried for row in each.rows()]
    say("\n" + Table("Breaks", ["break", "test", "outcome", "s"], rows).markdown)
    left = [each.tried.name for each in tried if not each.is_noticed]
    if left or not tried:
        say(f"{len(left)} of {len(tried)} breaks were not noticed: {', '.join(left)}. Took {seconds:.0f} s.")
        return 1
    say(f"All {len(tried)} breaks were noticed. Took {seconds:.0f} s.")
    return 0


@contextmanager
def trying(trials: "Trials") -> Iterator["Trials"]:
    """Leave nothing running, whatever ends this."""
    try:
        yield trials
    finally:
        trials.stop()


class Trials:
    """Tries breaks of one tree, some at once, each in a copy of its own."""

    def __init__(self, root: Path, place: Path) -> None:
        self._root = root
        self._place = place
        self._runner = Runner()
        self._pool = ThreadPoolExecutor(AT_ONCE)

    def stop(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._runner.stop()
        self._pool.shutdown()

    def pass_unbroken(self, breaks: Sequence[Break]) -> bool:
        """Whether all named tests pass in a copy with nothing broken: else a failure would show nothing."""
        tests = sorted({test for each in breaks for test in each.tests})
        say(f"{len(tests)} tests, with nothing broken")
        halves = [half for half in (tests[0::2], tests[1::2]) if half]
        names = ("unbroken-1", "unbroken-2")
        fit = True
        for half, run in zip(halves, self._pool.map(self._run_unbroken, names, halves), strict=False):
            wrong = [test for test in half if run.result_of(test) != "passed" or run.status != 0]
            for test in wrong:
                say(f"  {test}: {run.said_about(test)}")
            if wrong:
                say("\n".join(run.output.splitlines()[-LAST_LINES:]))
            fit = fit and not wrong
        return fit

    def _run_unbroken(self, name: str, tests: Sequence[str]) -> Run:
        return self._runner.run(self._copy(name), tests, within=UNBROKEN_SECONDS)

    def try_all(self, breaks: Sequence[Break]) -> list[Trial]:
        return list(self._pool.map(self._try, breaks))

    def _try(self, tried: Break) -> Trial:
        tree = self._copy(tried.name)
        applies = tried.apply(tree)
        run = self._runner.run(tree, tried.tests, within=RUN_SECONDS) if applies else None
        trial = Trial(tried, run)
        say(f"{tried.name}: {'noticed' if trial.is_noticed else 'NOT NOTICED'}. {tried.told}")
        return trial

    def _copy(self, name: str) -> Path:
        tree = self._place / name / "tree"
        tree.mkdir(parents=True)
        copy_tree(self._root, tree)
        return tree


if __name__ == "__main__":
    # Ends in order when told to, so that every process is taken along.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main(sys.argv[1:]))
