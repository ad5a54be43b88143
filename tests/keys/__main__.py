"""Wrong, missing and swapped keys, for every process, with the database there or coming back.

    python -m tests.keys
    python -m tests.keys --kinds worker,restore --engine sqlite

Exit status: 0 if no row was written under a wrong key, and every process works with the right one.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.figures import Goal, Report, say
from tests.keys.matrix import KINDS, Cell, Kind, run_cells, stop_on_term
from tests.keys.portals import FLAWS, Engine, Original, Postgres, Sqlite
from tests.services.postgres_server import PostgresServer, reason_against_postgres

AT_ONCE = 4
WORDS = {True: "refused", False: "WROTE OR RAN"}


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="make keys", description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", default=",".join(kind.name for kind in KINDS), help="only these processes")
    parser.add_argument("--engine", choices=["postgresql", "sqlite"], default="postgresql")
    parser.add_argument("--keep", type=Path, help="folder for the homes of all processes, for reading")
    options = parser.parse_args(arguments)
    if options.engine == "postgresql" and (reason := reason_against_postgres()):
        sys.stderr.write(f"The matrix cannot run: {reason}\n")
        return 2
    stop_on_term()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="portal-keys-")))
        if options.keep:
            stack.callback(shutil.copytree, folder, options.keep, dirs_exist_ok=True)
        engine: Engine = (
            Sqlite(folder)
            if options.engine == "sqlite"
            else Postgres(stack.enter_context(PostgresServer(settings={"max_connections": "200"})))
        )
        kinds = [kind for kind in KINDS if kind.name in options.kinds.split(",")]
        return run(engine, kinds, folder)


def run(engine: Engine, kinds: Sequence[Kind], folder: Path) -> int:
    report, began = Report("make keys"), time.monotonic()
    say(f"Filling a portal on {engine.name}")
    original = Original.make(engine, folder)
    wrong: list[Cell] = []
    right: list[Cell] = []
    for is_away in (False, True):
        for kind in kinds:
            if is_away and not kind.can_wait_for(engine):
                continue
            cells = list(cells_of(original, kind, is_away, folder))
            for start in range(0, len(cells), AT_ONCE):
                run_cells(cells[start : start + AT_ONCE], is_long=kind.serves and start == 0)
            wrong += cells
            healed = Cell(original, kind, is_away, None, cells[0].portal)
            original.put_keys_right(healed.portal)
            run_cells([healed])
            right.append(healed)
            say(
                f"{kind.name}, database {healed.situation}: {sum(each.is_right for each in cells)} of "
                f"{len(cells)} refused, right keys {'work' if healed.is_right else 'DO NOT WORK'} "
                f"({time.monotonic() - began:.0f} s)"
            )
    for is_away in (False, True):
        title = "The database is away, and comes back" if is_away else "The database is there"
        columns = ["flaw", *(kind.name for kind in kinds)]
        note = "Empty: the process does not need that key, or does not wait for a database."
        report.table(title, columns, list(table(kinds, wrong, is_away)), note=note)
    for cell in [each for each in [*wrong, *right] if not each.is_right]:
        say(f"{cell.kind.name}, {cell.flaw}, {cell.situation}: status {cell.status}, changed {cell.changed}")
        say(f"  made {cell.made}\n{cell.output[-3000:]}")
    report.goal(Goal("processes tried with a flawed key", len(wrong), "at least", len(kinds) * 2))
    rows = sum(len(cell.changed) for cell in wrong)
    report.goal(Goal("tables changed under a wrong key", rows, "at most", 0))
    made = sum(len(cell.made) for cell in wrong)
    report.goal(Goal("keys made for a portal that has them", made, "at most", 0))
    silent = sum(not cell.names_the_key for cell in wrong)
    report.goal(Goal("refusals that do not name the key", silent, "at most", 0))
    running = sum(cell.status in (None, 0) for cell in wrong)
    report.goal(Goal("processes that ran on", running, "at most", 0))
    works = sum(cell.is_right for cell in right)
    report.goal(Goal("processes that work with the right keys then", works, "at least", len(right)))
    say(f"Took {time.monotonic() - began:.0f} s")
    return report.finish()


def cells_of(original: Original, kind: Kind, is_away: bool, folder: Path) -> Iterator[Cell]:
    for number, flaw in enumerate(FLAWS):
        if kind.is_concerned_by(flaw):
            name = f"{kind.name}_{'away' if is_away else 'there'}_{number}"
            yield Cell.make(original, kind, flaw, is_away=is_away, name=name, folder=folder)


def table(kinds: Sequence[Kind], cells: Sequence[Cell], is_away: bool) -> Iterator[list[str]]:
    found = {(cell.flaw, cell.kind.name): WORDS[cell.is_right] for cell in cells if cell.is_away == is_away}
    for flaw in FLAWS:
        yield [str(flaw), *(found.get((flaw, kind.name), "") for kind in kinds)]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
