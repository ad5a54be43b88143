"""`make demo`: the whole portal on a sandbox fleet, after one real rollout through Celery and SSH.

    python -m portal.sandbox.demo [--once] [--port PORT] [--home FOLDER]

Everything it writes lies below var/demo/, which each run makes anew. Nothing leaves the machine.
"""

import argparse
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypedDict

import django
from django.conf import settings

from portal.supervisor import Supervisor, wait_for_port

ROOT = Path(__file__).resolve().parent.parent.parent
ADDRESS = "127.0.0.1"
USUAL_PORT = 8000
MARK = "made-by-demo"
PLAIN_PATH = re.compile(r"[A-Za-z0-9/._-]+")  # what an install root may look like, on containers and so here


class Facts(TypedDict):
    """What the fleet's process writes when it is ready."""

    inventory_csv: str
    console_json: str
    console_json_next: str
    console_json_other: str
    without_account: list[str]
    workspace_json: str
    rotated: list[str]
    ims_url: str
    console_url: str
    expected: list[tuple[str, str, str, str]]


def settle_environment(home: Path, port: int) -> None:
    """Fix the settings of this process and its children: local, fast, and allowed to push to itself."""
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "portal.settings",
        "PORTAL_HOME": str(home),
        "HTTPS": "False",
        "ALLOWED_HOSTS": "127.0.0.1,localhost",
        "CSRF_TRUSTED_ORIGINS": f"http://127.0.0.1:{port},http://localhost:{port}",
        "DATABASE_URL": f"sqlite:///{home / 'portal.sqlite3'}",
        "BROKER_URL": "filesystem://localhost",
        "ALLOW_LOOPBACK_TARGETS": "True",
        "PUSH_COMMAND_LIMIT": "20",
        "PUSH_RETRY_DELAYS": "1,2",
        "RECONCILE_INTERVAL": "1",
        "ROTATION_IDLE": "10",  # a day, in a demo
        "ROTATION_ASK_INTERVAL": "2",
        "ROTATION_PAUSE": "1",
    }


@contextmanager
def fleet(home: Path, key_line: str) -> Iterator[Facts]:
    """Run the sandbox fleet in a process of its own while the block runs; give its facts."""
    folder = home / "sandbox"
    folder.mkdir(parents=True)
    key, ready = folder / "authorized_key", folder / "ready.json"
    key.write_text(key_line + "\n")
    place = folder / "fleet" if PLAIN_PATH.fullmatch(str(folder)) else Path(tempfile.mkdtemp(prefix="fleet-"))
    command = [sys.executable, "-m", "portal.sandbox.fleet", str(place), str(key), str(ready)]
    with (folder / "fleet.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)  # noqa: S603  # our own program
    try:
        yield _facts(ready, process, folder / "fleet.log")
    finally:
        process.terminate()
        process.wait(30)


def _facts(ready: Path, process: "subprocess.Popen[bytes]", log: Path) -> Facts:
    deadline = time.monotonic() + 60
    while not ready.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"The sandbox fleet did not start; see {log}")
        time.sleep(0.1)
    facts: Facts = json.loads(ready.read_text())
    return facts


def make_anew(home: Path) -> None:
    """Make an empty folder; what a former demo left there is removed, anything else is not."""
    if home.exists() and any(home.iterdir()) and not (home / MARK).exists():
        raise SystemExit(f"{home} holds something else than a demo; nothing was removed.")
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True, mode=0o700)
    (home / MARK).touch()


def free_port() -> int:
    """Return the usual port, or a free one where something else listens on it."""
    with socket.socket() as probe:
        if probe.connect_ex((ADDRESS, USUAL_PORT)):
            return USUAL_PORT
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        return int(probe.getsockname()[1])


def run(home: Path, port: int, *, once: bool) -> bool:
    """Run the demo in settled Django; return whether every outcome was as planned."""
    from instances.reaching import portal_key  # only now are there settings
    from portal.management.commands.start import prepare, programs
    from portal.sandbox import tour

    say("Preparing database, keys and people")
    prepare()
    passwords = tour.people()
    with fleet(home, portal_key.public_line()) as facts:
        os.environ["IMS_BASE_URL"] = settings.IMS_BASE_URL = facts["ims_url"]
        os.environ["ADOBE_CONSOLE_URL"] = settings.ADOBE_CONSOLE_URL = facts["console_url"]
        supervisor = Supervisor(programs(ADDRESS, port, pushes=8))
        supervisor.start()
        try:
            wait_for_port(ADDRESS, port, 60, supervisor.programs[0])
            say("Filling the inventory from the sandbox fleet")
            tour.stock(
                inventory_csv=facts["inventory_csv"],
                console_json=facts["console_json"],
                without_account=[*facts["without_account"], *facts["rotated"]],
            )
            others = {*facts["without_account"], *facts["rotated"]}
            expected = {
                (row[0], row[1]): (row[2], row[3]) for row in facts["expected"] if row[0] not in others
            }
            say(f"Pushing a first account to {len(expected)} installations, through Celery and SSH")
            rows: list[tour.TourRow] = []
            for rows in tour.roll_out(expected):
                say(f"  {sum(row.state in tour.ENDED for row in rows)} of {len(rows)} have ended")
            say(f"\n{tour.table(rows)}\n")
            is_as_planned = bool(rows) and all(row.is_as_expected for row in rows)
            say("Every outcome is as planned." if is_as_planned else "NOT every outcome is as planned.")
            is_as_planned &= show_rotation(facts)
            if not once:
                say_logins(port, passwords, tour.ROLES)
                say_files(facts, tour.ACCOUNT)
                say("Ctrl-C ends the demo.")
                supervisor.watch()
        finally:
            supervisor.stop()
    return is_as_planned


def show_rotation(facts: Facts) -> bool:
    """Replace the secret of another account from end to end; return whether it was done."""
    from portal.sandbox import tour

    names = ", ".join(facts["rotated"])
    say(f"\nReplacing the secret of the account {tour.ROTATED} ({names}), where a day takes ten seconds")
    end = ""
    for end in tour.rotate(console_json=facts["workspace_json"], instances=facts["rotated"]):
        say(f"  {end}")
    return end == tour.ROTATION_DONE


def say_logins(port: int, passwords: dict[str, str], roles: dict[str, str]) -> None:
    say(f"\nThe portal runs at http://{ADDRESS}:{port}/\n")
    for name, password in passwords.items():
        say(f"  {roles[name]:<9}  login {name:<9}  password {password}")


def say_files(facts: Facts, account: str) -> None:
    say("\nTwo files as Adobe's Download JSON makes them:\n")
    say("  for the wizard (New account, I have the JSON file), then choose")
    say(f"  {', '.join(facts['without_account'])}:")
    say(f"    {facts['console_json_other']}")
    say(f"  for a rotation of the account {account} by hand (Rotate the secret, then Enter the new secret):")
    say(f"    {facts['console_json_next']}\n")
    say("The third account was made from the JSON file of its workspace, which has the numbers for Adobe's")
    say(f"API as well: {facts['workspace_json']}\n")


def say(text: str) -> None:
    print(text, flush=True)  # noqa: T201  # a command's output


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; return 0 if every outcome is as planned."""
    parser = argparse.ArgumentParser(prog="make demo", description="Try the portal on a sandbox fleet.")
    parser.add_argument("--once", action="store_true", help="end after the table of outcomes")
    parser.add_argument(
        "--port", type=int, default=0, help="port of the web server (default 8000, or a free one)"
    )
    parser.add_argument(
        "--home", type=Path, default=ROOT / "var" / "demo", help="folder for all files, made anew"
    )
    options = parser.parse_args(arguments)
    home, port = options.home.resolve(), options.port or free_port()
    make_anew(home)
    settle_environment(home, port)
    os.chdir(ROOT)
    django.setup()
    return 0 if run(home, port, once=options.once) else 1


if __name__ == "__main__":
    sys.exit(main())
