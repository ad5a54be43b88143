"""Figures that a run measured, and the goals they are held against: printed as tables, kept as Markdown."""

import math
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Literal

MEASURED = "<!-- What follows is written anew by each run of record; what is above is kept. -->"
Cell = str | int | float
LIBRARIES = ("django", "celery", "paramiko", "redis", "psycopg")
PATTERNS = {"at most": "≤", "at least": "≥"}


@dataclass(frozen=True)
class Goal:
    """One figure and its limit. `value` None means that it could not be measured, which misses the goal."""

    what: str
    value: float | None
    sense: Literal["at most", "at least"]
    limit: float
    unit: str = ""

    @property
    def is_met(self) -> bool:
        if self.value is None:
            return False
        return self.value <= self.limit if self.sense == "at most" else self.value >= self.limit

    @property
    def row(self) -> list[Cell]:
        goal = f"{PATTERNS[self.sense]} {shown(self.limit)} {self.unit}".rstrip()
        value = "not measured" if self.value is None else f"{shown(self.value)} {self.unit}".rstrip()
        return [self.what, value, goal, "met" if self.is_met else "MISSED"]


@dataclass(frozen=True)
class Table:
    """One table; `note` comes below it."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""

    @property
    def markdown(self) -> str:
        lines = [
            f"### {self.title}\n",
            _line(self.columns),
            _line(["---"] + ["---:" for _ in self.columns[1:]]),
            *[_line([shown(cell) for cell in row]) for row in self.rows],
        ]
        return "\n".join(lines) + (f"\n\n{self.note}" if self.note else "") + "\n"


@dataclass
class Report:
    """Everything that one command measured. Tables are printed as they come."""

    command: str
    tables: list[Table] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)

    def table(
        self, title: str, columns: Sequence[str], rows: Sequence[Sequence[Cell]], note: str = ""
    ) -> None:
        """Add a table and print it."""
        self.tables.append(Table(title, columns, rows, note))
        say("\n" + self.tables[-1].markdown)

    def goal(self, goal: Goal) -> None:
        """Add a goal."""
        self.goals.append(goal)

    @property
    def missed(self) -> list[Goal]:
        return [goal for goal in self.goals if not goal.is_met]

    def finish(self, record: Path | None = None, *, introduction: str = "") -> int:
        """Print the goals, write all to `record` if given; return the exit status, 1 if one is missed.

        What people wrote above `MEASURED` in that file stays; a new file begins with `introduction`.
        """
        columns = ["goal", "figure", "limit", ""]
        goals = Table("Goals", columns, [goal.row for goal in self.goals])
        say("\n" + goals.markdown)
        if record:
            body = "\n".join(table.markdown for table in [goals, *self.tables])
            figures = f"`{self.command}`, {machine()}.\n\n{body}"
            record.write_text(_written_by_people(record, introduction) + figures)
        say(f"{len(self.missed)} of {len(self.goals)} goals missed." if self.missed else "Every goal is met.")
        return 1 if self.missed else 0


def _written_by_people(record: Path, introduction: str) -> str:
    """Return what is above the figures, up to and with the mark; nothing where nobody introduces them."""
    former = record.read_text() if record.exists() else ""
    above, mark, _figures = former.partition(MEASURED)
    introduction = above if mark else introduction
    return f"{introduction.rstrip()}\n\n{MEASURED}\n\n" if introduction.strip() else ""


def say(text: str) -> None:
    """Print at once, also into a pipe: a run takes minutes."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def shown(value: Cell) -> str:
    """Return a figure with as many digits as it deserves."""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else value


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that `share` (0 to 1) of all values do not exceed: one of them (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(1, math.ceil(share * len(ordered))) - 1]


def machine() -> str:
    """Return date, machine and versions in one line."""
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**30
    when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return (
        f"{when}, {os.cpu_count()} cores, {memory} GiB, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, {libraries}"
    )


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
