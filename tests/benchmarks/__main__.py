"""Measures how fast the portal is, and exits with 1 if a goal is missed.

python -m tests.benchmarks [SCENARIO…] [--quick] [--record docs/benchmarks.md]
"""

import os
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from tests.benchmarks import pages, pushes, reads, scale
from tests.benchmarks.course import QUICK, Size
from tests.figures import Cell, Goal, Report, say
from tests.services.programs import find_program

Scenario = Callable[[Report, Size], None]
HEADER = """\
# Benchmarks

Written by `make bench ARGS="--record docs/benchmarks.md"`, goals that were missed included. What each figure
is compared with was measured in the same run on the same machine, so the ratios matter more than the seconds.
"""


def _pages(report: Report, size: Size) -> None:
    """Open every page of a portal with a long past."""
    pages.run(report, scale.SMALL if size == QUICK else scale.FULL)


def _seen(report: Report, size: Size) -> None:
    """Open the pages that tell what containers hold and held, with a million observations."""
    pages.seen(report, scale.SEEN_QUICKLY if size == QUICK else scale.SEEN)


SCENARIOS: Mapping[str, Scenario] = {
    "rollout": pushes.rollout,
    "instant": pushes.instant,
    "scale": pushes.many,
    "memory": pushes.at_once,
    "one-handshake": pushes.one_handshake,
    "delay": pushes.delay,
    "unreachable": pushes.unreachable,
    "reads": reads.reads,
    "pages": _pages,
    "seen": _seen,
}


def main(arguments: list[str]) -> int:
    """Run the scenarios that were asked for, all by default."""
    parser = ArgumentParser(prog="python -m tests.benchmarks")
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=", ".join(["all", *SCENARIOS]))
    parser.add_argument(
        "--quick", action="store_true", help="small and once: shows that it works, not how fast"
    )
    parser.add_argument("--record", type=Path, help="write the report to this file")
    parser.add_argument("--workers", type=int, help="workers of the portal (default 2)")
    parser.add_argument("--concurrency", type=int, help="containers that each worker pushes to (default 100)")
    options = parser.parse_args(arguments)
    chosen = options.scenarios or ["all"]
    if unknown := set(chosen) - {"all", *SCENARIOS}:
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}")
    given = {name: value for name in ("workers", "concurrency") if (value := getattr(options, name))}
    size = replace(QUICK if options.quick else Size(), **given)
    report = Report(f'make bench ARGS="{" ".join(arguments)}"' if arguments else "make bench")
    _tell_programs(report, size)
    for name, scenario in SCENARIOS.items():
        if "all" in chosen or name in chosen:
            say(f"\n{name}: {(scenario.__doc__ or '').splitlines()[0]}")
            try:
                scenario(report, size)
            except (AssertionError, RuntimeError) as error:  # what was measured so far is kept
                say(f"It did not run to its end: {error}")
                report.goal(Goal(f"{name}, to its end ({error})", None, "at least", 1))
    return report.finish(options.record, introduction=HEADER)


def _tell_programs(report: Report, size: Size) -> None:
    programs = {
        "OpenSSH": ("ssh", "-V"),
        "PostgreSQL": ("postgres", "--version"),
        "Redis": ("redis-server", "--version"),
    }
    rows: list[list[Cell]] = [
        [name, _version(find_program(each[0]), each[1])] for name, each in programs.items()
    ]
    rows.append(["ansible-core", _version(size.ansible if size.ansible.exists() else None, "--version")])
    rows.append(["load of the machine before", f"{os.getloadavg()[0]:.2f}"])
    report.table("Programs", ["what", "version"], rows)


def _version(program: Path | None, option: str) -> str:
    if program is None:
        return "not installed"
    done = subprocess.run([program, option], capture_output=True, text=True, timeout=60, check=True)
    return (done.stdout or done.stderr).splitlines()[0].strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
