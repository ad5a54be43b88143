"""Runs a command with DATABASE_URL pointing at a PostgreSQL that lives as long as the command.

    python tests/services/with_postgres.py pytest -m database

Exit status: the command's; where PostgreSQL is missing 0, or 1 with REQUIRE_ALL=1.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

# Started by its path, a script has its own folder on the path instead of the project's.
sys.path[0] = str(Path(__file__).resolve().parents[2])

from tests.services.postgres_server import PostgresServer, reason_against_postgres  # noqa: E402
from tests.services.programs import everything_is_required  # noqa: E402

_LOOK_SECONDS = 0.1


def main(command: list[str]) -> int:
    """Run the command; give its exit status (128 + number if a signal ended it, as shells do)."""
    if not command:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    if reason := reason_against_postgres():
        sys.stderr.write(f"skipped: {reason}: not run: {' '.join(command)}\n")
        return 1 if everything_is_required() else 0
    # Noted, not raised: an exception between the command's start and our hold on it would lose it.
    told_to_stop: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: told_to_stop.append(number))
    with PostgresServer() as server:
        status = _run(command, database_url=server.create_database("portal"), told_to_stop=told_to_stop)
    return status if status >= 0 else 128 - status


def _run(command: list[str], *, database_url: str, told_to_stop: list[int]) -> int:
    child = subprocess.Popen(command, env={**os.environ, "DATABASE_URL": database_url})
    # The terminal sends Ctrl+C to the command as well: that one decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        if told_to_stop:
            child.terminate()
        try:
            return child.wait(timeout=_LOOK_SECONDS)
        except subprocess.TimeoutExpired:
            continue


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
