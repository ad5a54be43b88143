"""Last part of `make check`: migrations are complete, and the documented production settings are safe."""

import os
import secrets
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def documented_environment() -> dict[str, str]:
    """Return the production environment that `.env.example` documents: its uncommented lines."""
    lines = (ROOT / ".env.example").read_text().splitlines()
    pairs = (line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    return {name.strip(): value.strip() for name, value in pairs}


def main() -> int:
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, **documented_environment(), "PORTAL_HOME": home}
        environment["SECRET_KEY"] = secrets.token_urlsafe(48)  # only a first start would make one
        for command in (
            ["makemigrations", "--check", "--dry-run"],
            ["check", "--deploy", "--fail-level", "WARNING"],
        ):
            print("manage.py", *command, flush=True)  # noqa: T201  # a command's output
            # SQLite stands in for the database, which these two commands do not touch
            settings = {**environment, "DATABASE_URL": f"sqlite:///{home}/check.sqlite3"}
            done = subprocess.run(
                [sys.executable, "manage.py", *command], cwd=ROOT, env=settings, check=False
            )
            if done.returncode:
                return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
