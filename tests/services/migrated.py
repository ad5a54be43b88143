"""A migrated SQLite database, made once for each state of the code: migrating from nothing takes seconds."""

import fcntl
import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from functools import cache
from importlib.metadata import version
from pathlib import Path
from uuid import uuid4

ROOT = Path(__file__).resolve().parents[2]
MIGRATE = """
import django
from django.core.management import call_command
django.setup()
call_command("migrate", verbosity=0)
"""


def put_migrated_database(to: Path) -> None:
    """Copy a database with all tables and nothing in them but what migrations made; then `begin_anew`."""
    shutil.copyfile(_template(), to)
    to.chmod(0o600)


def begin_anew(database: str) -> None:
    """Give such a copy keys and an identity of its own, as the first `migrate` does."""
    # Once the apps are ready.
    from portal.audit.models import FIRST, seal
    from portal.keys.making import make_missing

    make_missing()
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("DELETE FROM keys_knownkey")
        connection.execute("UPDATE audit_audithead SET seal = ?", [seal(f"head|0|{FIRST}")])
        connection.execute("UPDATE instances_portalidentity SET value = ?", [uuid4().hex])


@cache
def _template() -> Path:
    folder = Path(tempfile.gettempdir()) / f"portal-migrated-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    made = folder / f"{_state_of_the_code()}.sqlite3"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            _make(made)
    return made


def _make(made: Path) -> None:
    with tempfile.TemporaryDirectory(dir=made.parent) as home:
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "portal.settings",
            "PORTAL_HOME": home,
            "DATABASE_URL": f"sqlite:///{home}/portal.sqlite3",
        }
        subprocess.run([sys.executable, "-c", MIGRATE], cwd=ROOT, env=environment, check=True, timeout=300)
        (Path(home) / "portal.sqlite3").rename(made)


def _state_of_the_code() -> str:
    digest = hashlib.sha256(version("django").encode())
    for package in ("portal", "instances", "credentials"):
        for file in sorted((ROOT / package).rglob("*.py")):
            digest.update(f"{file.relative_to(ROOT)}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:32]
