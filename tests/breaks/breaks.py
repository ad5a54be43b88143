"""Deliberate breaks of the code, kept as patches, and the tests that must notice them.

A patch begins with one line that says what is broken and what that would do to people, then a line
`Test: path::name` for each test that must fail with it. Each break is tried in a copy of the tree.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.breaks.witness import RESULTS, WRONG_TREE

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parents[1]
FAILURES_FOUND = 1
"""Exit status of pytest if tests failed, and nothing else went wrong."""
TEST = re.compile(r"Test: (\S.*)")
OURS_ALONE = ("DATABASE_URL", "DJANGO_SETTINGS_MODULE", "PORTAL_HOME")
"""Settings of the process that starts a run. Two runs at once need databases of their own."""


@dataclass(frozen=True)
class Break:
    """One patch: what it breaks, and who has to notice."""

    patch: Path
    told: str
    tests: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.patch.stem

    @classmethod
    def read(cls, patch: Path) -> Self:
        """Read the lines before the first changed file; `ValueError` if they do not say enough."""
        preamble = patch.read_text().partition("diff --git ")[0].splitlines()
        tests = [found[1].strip() for line in preamble if (found := TEST.fullmatch(line))]
        if not preamble or not preamble[0].strip() or TEST.match(preamble[0]) or not tests:
            raise ValueError(f"{patch.name} says not what it breaks or who notices")
        return cls(patch, preamble[0], tuple(tests))

    @property
    def files(self) -> list[str]:
        """The files that it changes."""
        return re.findall(r"^--- a/(.+)$", self.patch.read_text(), re.MULTILINE)

    def apply(self, tree: Path) -> bool:
        """Break the code in a tree that is no repository. False: it does not fit, and nothing was changed."""
        command = ["git", "apply", "--whitespace=nowarn", str(self.patch)]
        environment = environment_for(tree) | {"GIT_CEILING_DIRECTORIES": str(tree.parent)}
        done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, check=False)
        return done.returncode == 0


def read_all(folder: Path = FOLDER) -> list[Break]:
    return [Break.read(patch) for patch in sorted(folder.glob("*.patch"))]


def copy_tree(root: Path, to: Path) -> None:
    """Copy what git tracks, as it stands there now, committed or not."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=root, env=environment_for(root), capture_output=True, check=True
    )
    copy_files(root, to, filter(None, os.fsdecode(listed.stdout).split("\0")))


def copy_files(root: Path, to: Path, names: Iterable[str]) -> None:
    """Copy these files; those that were removed meanwhile are left out."""
    for name in names:
        source, target = root / name, to / name
        if source.is_file() or source.is_symlink():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)


def environment_for(tree: Path) -> dict[str, str]:
    """An environment in which this tree is what Python imports, in the processes of tests as well."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name not in OURS_ALONE and not name.startswith(("GIT_", "PYTEST_"))
    }
    return inherited | {"PYTHONPATH": str(tree)}


@dataclass(frozen=True)
class Run:
    """What a run of pytest came to. `results`: the worst that happened to each test."""

    status: int | None
    results: dict[str, str]
    seconds: float
    output: str

    def result_of(self, test: str) -> str:
        """The worst result of a named test with all its parameters; empty if it did not run."""
        found = {
            result for each, result in self.results.items() if each == test or each.startswith(f"{test}[")
        }
        return next((result for result in RESULTS if result in found), "")

    def has_noticed(self, test: str) -> bool:
        """Whether this test failed, and not because the tree cannot be run at all."""
        return self.status == FAILURES_FOUND and self.result_of(test) == "failed"

    def said_about(self, test: str) -> str:
        """Why a run says nothing about a test, in words."""
        if self.status is None:
            return "not at an end in time"
        if self.status == WRONG_TREE:
            return "another tree was imported"
        return {"failed": "failed", "broken": "error", "skipped": "skipped", "": "not run"}.get(
            self.result_of(test), "passed"
        )


class Runner:
    """Runs tests in copies of a tree, and takes every process along when it ends."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[bytes]] = set()
        self._is_over = False

    def run(self, tree: Path, tests: Sequence[str], *, within: float) -> Run:
        """Run these tests in `tree`, for so many seconds at most; what they say is written beside it."""
        results, log = tree.parent / "results", tree.parent / "output"
        command = [sys.executable, "-m", "pytest", "-n", "0", "-q", "-p", "no:cacheprovider"]
        command += ["-p", "tests.breaks.witness", f"--witness={results}", *tests]
        began = time.monotonic()
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=tree,
                env=environment_for(tree),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._running.add(process)
        if self._is_over:
            self._end(process)
        status: int | None = None
        try:
            status = process.wait(within)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self._end(process)
        return Run(status, _read(results), time.monotonic() - began, log.read_text(errors="replace"))

    def stop(self) -> None:
        """End whatever runs, and whatever is about to."""
        self._is_over = True
        for process in list(self._running):
            self._end(process)

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self._running.discard(process)


def _read(results: Path) -> dict[str, str]:
    """The worst result of each test, for it has one from each of its phases."""
    worst: dict[str, str] = {}
    for line in results.read_text().splitlines() if results.exists() else []:
        result, _, test = line.partition(" ")
        worst[test] = min(result, worst.get(test, result), key=RESULTS.index)
    return worst
