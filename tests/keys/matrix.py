"""Every flaw in the keys, for every process, with the database there or coming back: what was written?"""

import http.cookiejar
import re
import signal
import sys
import threading
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.keys.portals import PASSWORD, Engine, Flaw, Original, Rows
from tests.services.portal import ROOT, Portal
from tests.services.processes import Process
from tests.services.waiting import accepts_connections, wait_until

REFUSED = 3
SECONDS = 90  # for a start on a busy machine
SAID = {
    "audit_key": ("AUDIT_KEY", "The audit key"),
    "fingerprint_key": ("FINGERPRINT_KEY", "The fingerprint key"),
    "keyring": ("KEYRING", "cannot be decrypted"),
    "secret_key": ("SECRET_KEY",),
    "ssh_key": ("SSH_KEY_PATH",),
    "signing_key": ("SIGNING_KEY_PATH",),
}
NOTICES_ABSENCE = re.compile(r"error connecting|does not answer|has not recorded")
LACKED_IT = re.compile(r"found no database|couldn't get a connection|has not recorded")
"""What a process that serves says once a query of its own has failed, after 20 s without PostgreSQL."""


@dataclass(frozen=True)
class Kind:
    """One process of the portal, and how it is started."""

    name: str
    command: Callable[[Original, Portal], Sequence[str]]
    serves: bool = False
    begins_empty: bool = False
    is_upgrade: bool = False
    is_patient: bool = False
    """A command for the start of a machine waits for the database. Others say at once that it is away."""

    def is_concerned_by(self, flaw: Flaw) -> bool:
        """Whether it must refuse: only a worker needs the SSH key, and an old release recorded none."""
        if flaw == Flaw("missing", "ssh_key"):
            return self.name == "worker"
        keys = {flaw.key, flaw.other} - {""}
        return not (self.is_upgrade and flaw.kind != "missing" and keys <= UNRECORDED)

    def can_wait_for(self, engine: Engine) -> bool:
        """Whether it waits for a database: to a command a SQLite file that is not there is empty."""
        return self.serves or (self.is_patient and engine.name == "postgresql")


def _manage(*arguments: str) -> Callable[[Original, Portal], Sequence[str]]:
    return lambda original, portal: ["manage.py", *arguments]


KINDS = [
    Kind(
        "web",
        lambda original, portal: [
            *("-m", "portal.webserver", "--bind", f"127.0.0.1:{portal.port}"),
        ],
        serves=True,
    ),
    Kind(
        "worker",
        lambda original, portal: [
            *("-m", "celery", "-A", "portal", "worker", "--pool", "threads"),
            *("--without-gossip", "--without-mingle", "--without-heartbeat"),
        ],
        serves=True,
    ),
    Kind("scheduler", _manage("scheduler"), serves=True),
    Kind(
        "create_admin",
        lambda original, portal: [
            *("manage.py", "create_admin", "--force", "--name", "bob"),
            *("--password-file", str(original.password)),
        ],
    ),
    Kind(
        "add_account",
        lambda original, portal: [
            *("manage.py", "add_account", "Next", "--no-check", "--from-json", str(original.next_account)),
        ],
    ),
    Kind("sync_roles", _manage("sync_roles"), is_patient=True),
    Kind("verify_audit", _manage("verify_audit", "--record")),
    Kind("upgrade", _manage("migrate"), is_upgrade=True, is_patient=True),
    Kind(
        "restore",
        lambda original, portal: ["manage.py", "restore", str(original.backup)],
        begins_empty=True,
    ),
]
UNRECORDED = {"secret_key", "ssh_key", "signing_key"}
"""What nothing that an old release stored tells apart."""
BEFORE_THIS_RELEASE = (
    "DROP TABLE keys_knownkey",
    "DROP TABLE keys_keyholder",
    "DELETE FROM django_migrations WHERE app = 'keys'",
)


@dataclass
class Cell:
    """One process with one flaw. Without a flaw it has to work: the keys were put right after a refusal."""

    original: Original
    kind: Kind
    is_away: bool
    flaw: Flaw | None
    portal: Portal
    before: Rows = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    status: int | None = None
    changed: list[str] = field(default_factory=list)
    made: list[str] = field(default_factory=list)
    output: str = ""

    @classmethod
    def make(
        cls, original: Original, kind: Kind, flaw: Flaw, *, is_away: bool, name: str, folder: Path
    ) -> "Cell":
        portal = original.copy(name, folder, flaw, empty=kind.begins_empty)
        if kind.is_upgrade:
            original.engine.execute(portal.environment["DATABASE_URL"], *BEFORE_THIS_RELEASE)
        return cls(original, kind, is_away, flaw, portal)

    @property
    def url(self) -> str:
        return self.portal.environment["DATABASE_URL"]

    @property
    def situation(self) -> str:
        return "away, coming back" if self.is_away else "there"

    @property
    def is_right(self) -> bool:
        """Whether it refused without a trace, and said why; or, with the right keys, did its work."""
        if self.flaw is None:
            return bool(self.changed) and (self.kind.serves or self.status == 0)
        return not self.changed and not self.made and self.status not in (None, 0) and self.names_the_key

    @property
    def names_the_key(self) -> bool:
        """Whether its output says which key is at fault: it may have ended for another reason."""
        if self.flaw is None:
            return False
        said = SAID[self.flaw.key] + SAID.get(self.flaw.other, ())
        return any(word in self.output for word in said)

    def look_before(self) -> None:
        self.before = self.original.engine.rows(self.url)
        self.files = sorted(each.name for each in (self.portal.home / "keys").iterdir())

    def look_after(self, process: Process) -> None:
        after = self.original.engine.rows(self.url)
        tables = self.before.keys() | after.keys()
        self.changed = sorted(name for name in tables if self.before.get(name) != after.get(name))
        files = sorted(each.name for each in (self.portal.home / "keys").iterdir())
        self.made = [name for name in files if name not in self.files]
        self.output = process.output()

    def launch(self) -> Process:
        command = [sys.executable, *self.kind.command(self.original, self.portal)]
        log = self.portal.home / f"{self.kind.name}.log"
        return Process(command, log=log, env=self.portal.environment, cwd=ROOT)


def run_cells(cells: Sequence[Cell], *, is_long: bool = False) -> None:
    """Run these processes side by side, all of them with the database there or all with it away at first.

    It is away until each has noticed; if `is_long`, until queries of those that serve have failed.
    """
    for cell in cells:
        cell.look_before()
    with ExitStack() as ending:
        running = list(_launch(cells, ending, LACKED_IT if is_long else NOTICES_ABSENCE))
        for cell, process in running:
            _wait_for_end(cell, process)
    for cell, process in running:
        cell.look_after(process)


def _launch(
    cells: Sequence[Cell], ending: ExitStack, absence: re.Pattern[str]
) -> Iterator[tuple[Cell, Process]]:
    """Start the processes; a database that is away comes back once each of them has noticed."""
    engine, urls, is_away = cells[0].original.engine, [cell.url for cell in cells], cells[0].is_away
    if is_away:
        engine.leave(urls)
        ending.callback(engine.come_back, urls)
    running = [(cell, ending.enter_context(cell.launch())) for cell in cells]
    for cell in cells:
        if cell.kind.name == "web":
            ending.callback(Visitor(cell.portal).leave)
    if is_away:
        for cell, process in running:
            _wait_until_it_notices(cell, process, absence)
        engine.come_back(urls)
    yield from running


def _wait_until_it_notices(cell: Cell, process: Process, absence: re.Pattern[str]) -> None:
    def notices() -> bool:
        return process.exit_status is not None or bool(absence.search(process.output()))

    wait_until(notices, within=SECONDS, what=f"{cell.kind.name} {cell.flaw} to notice", hint=process.output)


def _wait_for_end(cell: Cell, process: Process) -> None:
    """Wait until it has ended by itself; one that serves with the right keys, until it has written."""

    def is_over() -> bool:
        if process.exit_status is not None:
            return True
        return cell.flaw is None and cell.kind.serves and cell.original.engine.rows(cell.url) != cell.before

    with suppress(AssertionError):  # it runs on and on: its verdict says so
        wait_until(is_over, within=SECONDS, what=f"the end of {cell.kind.name}")
    cell.status = process.exit_status


class Visitor:
    """Somebody who signs in again and again: a web server writes only when it is asked for something."""

    def __init__(self, portal: Portal) -> None:
        self._portal = portal
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._visit)
        self._thread.start()

    def leave(self) -> None:
        self._left.set()
        self._thread.join()

    def _visit(self) -> None:
        token = "a" * 32
        fields = {"username": "alice", "password": PASSWORD, "csrfmiddlewaretoken": token}
        request = urllib.request.Request(
            f"{self._portal.url}/login/",
            data=urllib.parse.urlencode(fields).encode(),
            headers={"Cookie": f"csrf={token}", "Referer": self._portal.url},
        )
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))
        while not self._left.wait(0.2):
            if accepts_connections("127.0.0.1", self._portal.port):
                with suppress(OSError):
                    browser.open(request, timeout=5).close()


def stop_on_term() -> None:
    """End in order when told to, so that every process is taken along."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
