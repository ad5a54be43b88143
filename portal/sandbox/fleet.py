"""The fleet to try the portal on: containers with every common trouble, and how a rollout to them must end.

As data first (`SITES`, `INSTANCES`), then as running servers (`Fleet`), then as a program of its own:

    python -m portal.sandbox.fleet HOME AUTHORIZED_KEY_FILE READY_FILE
"""

import contextlib
import csv
import io
import json
import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from portal.sandbox.campaign import Campaign
from portal.sandbox.config_files import Shape
from portal.sandbox.console import ConsoleAccount, make_secret
from portal.sandbox.console_api import StandInConsole
from portal.sandbox.container import Container, make_container
from portal.sandbox.ims import StandInIMS
from portal.sandbox.ssh_server import KeyFile, SSHFaults, SSHServer, make_host_key

COLUMNS = (
    "instance",
    "container",
    "address",
    "port",
    "login",
    "become",
    "install_root",
    "environment",
    "deployment",
    "role",
    "uses_triggers",
    "host_key",
)
LINES_OF_A_PUSH = 65
"""The portal's harmless lines and the one with the account: a test compares it, since the sandbox knows
nothing of the portal."""


@dataclass(frozen=True, kw_only=True)
class InstanceRow:
    """What the inventory says of an instance."""

    name: str
    environment: str = "production"
    deployment: str = "on-premise"
    role: str = "MKT"
    uses_triggers: bool = False
    has_account: bool = True
    """Whether the demo's first account is for it; the others wait for somebody to try the wizard."""
    is_rotated: bool = False
    """Whether it has an account of its own, whose secret the demo replaces from end to end."""


@dataclass(frozen=True, kw_only=True)
class PlannedOutcome:
    """How a push to an installation must end: its state, and a code of `instances.failures` or ''."""

    state: str = "succeeded"
    code: str = ""


SUCCEEDED = PlannedOutcome()


def failed(code: str) -> PlannedOutcome:
    return PlannedOutcome(state="failed", code=code)


@dataclass(frozen=True, kw_only=True)
class Site:
    """One container of the fleet: what is on it, how it is reached, what is wrong, and what comes of it."""

    name: str
    instances: Mapping[str, Shape]
    story: str
    login: str = "neolane"
    become: str = "none"
    build: int = 9391
    language: str = "en"
    major: str = "nl6"
    faults: Sequence[str] = ()
    ssh_faults: SSHFaults = field(default_factory=SSHFaults)
    outcome: PlannedOutcome = SUCCEEDED


INSTANCES = (
    InstanceRow(name="acme-prod", uses_triggers=True),
    InstanceRow(name="acme-mid", role="MID"),
    InstanceRow(name="acme-rt", role="RT"),
    InstanceRow(name="acme-france", deployment="hybrid"),
    InstanceRow(name="acme-stage", environment="stage"),
    InstanceRow(name="acme-dev", environment="development", has_account=False),
    InstanceRow(name="acme-test", environment="stage", has_account=False, is_rotated=True),
    InstanceRow(name="acme-cloud", deployment="hosted"),
)
"""The last one is hosted by Adobe: it is in the inventory without a container and is never pushed to."""
WITHOUT_ACCOUNT = tuple(row.name for row in INSTANCES if not row.has_account and not row.is_rotated)
ROTATED = tuple(row.name for row in INSTANCES if row.is_rotated)

SITES = (
    Site(name="mkt-1", instances={"acme-prod": Shape.PLAIN}, story="logs in as neolane"),
    Site(
        name="mkt-2",
        instances={"acme-prod": Shape.MULTILINE},
        story="logs in as root and uses su; its login shell talks",
        login="root",
        become="su",
    ),
    Site(
        name="mkt-3",
        instances={"acme-prod": Shape.PLAIN},
        story="is down",
        ssh_faults=SSHFaults(refuse=True),
        outcome=failed("connection_refused"),
    ),
    Site(
        name="mkt-4",
        instances={"acme-prod": Shape.PLAIN},
        story="was reinstalled: its host key is not the approved one",
        ssh_faults=SSHFaults(other_host_key=True),
        outcome=failed("host_key_changed"),
    ),
    Site(
        name="mid-1",
        instances={"acme-mid": Shape.MULTILINE},
        story="logs in as campaign and uses sudo",
        login="campaign",
        become="sudo",
    ),
    Site(
        name="mid-2",
        instances={"acme-mid": Shape.JWT},
        story="is too old (7.3.5) and still on JWT",
        build=9368,
        outcome=failed("build_too_old"),
    ),
    Site(
        name="mid-3",
        instances={"acme-mid": Shape.WITHOUT_IMS},
        story="says that all went well and writes nothing",
        faults=["exit_0_without_writing"],
        outcome=failed("not_applied"),
    ),
    Site(name="rt-1", instances={"acme-rt": Shape.PLAIN}, story="is slow", build=9400, faults=["slow=3"]),
    Site(
        name="rt-2",
        instances={"acme-rt": Shape.EMPTY_SHARED},
        story="loses the first connection just after the values were sent; the portal finds out by looking",
        build=9400,
        ssh_faults=SSHFaults(drop_after_newline=LINES_OF_A_PUSH, drops_left=1),
    ),
    Site(
        name="rt-3",
        instances={"acme-rt": Shape.PLAIN},
        story="has nlserver killed once, just after it wrote; the portal pushes again by itself",
        build=9400,
        faults=["killed_after_writing*1"],
    ),
    Site(
        name="france-1",
        instances={"acme-france": Shape.JWT},
        story="speaks French, runs nl7 and has a JWT account to be replaced",
        language="fr",
        major="nl7",
    ),
    Site(
        name="stage-1",
        instances={"acme-stage": Shape.PLAIN, "acme-france": Shape.MULTILINE},
        story="speaks French and carries two instances",
        language="fr",
    ),
    Site(
        name="stage-2",
        instances={"acme-stage": Shape.WITHOUT_IMS},
        story="writes the account but cannot reload",
        faults=["reload_fails"],
        outcome=failed("reload_failed"),
    ),
    Site(name="dev-1", instances={"acme-dev": Shape.PLAIN}, story="is new and has no account yet"),
    Site(name="dev-2", instances={"acme-dev": Shape.WITHOUT_IMS}, story="is new as well"),
    Site(name="test-1", instances={"acme-test": Shape.PLAIN}, story="has an account that is rotated"),
    Site(name="test-2", instances={"acme-test": Shape.MULTILINE}, story="likewise"),
    Site(name="test-3", instances={"acme-test": Shape.WITHOUT_IMS}, story="likewise"),
)


class Fleet:
    """The fleet's folders and servers, all below `home`; made again from the same folder it keeps its files.

    `create`, then `start` (ports are known from then on), then `stop`.
    """

    def __init__(self, home: Path, *, sites: Sequence[Site] = SITES) -> None:
        self.home = home.resolve()
        self.sites = {site.name: site for site in sites}
        self.containers: dict[str, Container] = {}
        self.servers: dict[str, SSHServer] = {}

    def create(self) -> Self:
        """Make every container's folder and host key; returns the fleet."""
        for site in self.sites.values():
            folder = self.home / site.name
            new = not folder.exists()
            self.containers[site.name] = make_container(
                folder, instances=site.instances, build=site.build, language=site.language, major=site.major
            )
            make_host_key(folder / "host_key")
            if new:
                self.containers[site.name].set_faults(*site.faults)
        return self

    def start(self, authorized_keys: Iterable[str]) -> None:
        """Start every server for the owner of these keys; each on its port of last time if that is free."""
        ports = self._remembered_ports()
        for number, site in enumerate(self.sites.values(), start=11):
            server = SSHServer(
                environment=self.containers[site.name].environment,
                authorized_keys=authorized_keys,
                address=_address(number),
                port=ports.get(site.name, 0),
                host_key=make_host_key(self.home / site.name / "host_key"),
                logins=[site.login],
                faults=replace(site.ssh_faults),
            )
            _start_somewhere(server)
            self.servers[site.name] = server
        ports = {name: server.port for name, server in self.servers.items()}
        (self.home / "ports.json").write_text(json.dumps(ports))

    def _remembered_ports(self) -> dict[str, int]:
        path = self.home / "ports.json"
        return {**json.loads(path.read_text())} if path.exists() else {}

    def stop(self) -> None:
        """Stop every server and whatever its commands left running."""
        for server in self.servers.values():
            server.stop()
        self.servers = {}

    def installations(self) -> Iterator[tuple[InstanceRow, Site | None]]:
        """Yield each instance with each container that carries it, or with None if none does."""
        for instance in INSTANCES:
            carrying: list[Site | None] = [
                site for site in self.sites.values() if instance.name in site.instances
            ]
            for site in carrying or [None]:
                yield instance, site

    def inventory(self) -> list[dict[str, str]]:
        """Return one row for each installation, with the columns of the inventory CSV."""
        return [self._row(instance, site) for instance, site in self.installations()]

    def _row(self, instance: InstanceRow, site: Site | None) -> dict[str, str]:
        row = dict.fromkeys(COLUMNS, "") | {
            "instance": instance.name,
            "environment": instance.environment,
            "deployment": instance.deployment,
            "role": instance.role,
            "uses_triggers": "yes" if instance.uses_triggers else "no",
        }
        if site is None:
            return row
        server = self.servers[site.name]
        return row | {
            "container": site.name,
            "address": server.address,
            "port": str(server.port),
            "login": site.login,
            "become": site.become,
            "install_root": str(self.containers[site.name].install_root),
            "host_key": server.fingerprint,
        }

    def inventory_csv(self) -> str:
        """Return the inventory as CSV text; the fleet must have been started, for the ports."""
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.inventory())
        return text.getvalue()

    def expected(self) -> dict[tuple[str, str], tuple[str, str]]:
        """Return how a first rollout to everything must end: (instance, container) to (state, code)."""
        pairs = [(instance, site) for instance, site in self.installations() if site is not None]
        return {(row.name, site.name): (site.outcome.state, site.outcome.code) for row, site in pairs}


def _address(number: int) -> str:
    # Only Linux answers on all of 127.0.0.0/8 without being told to.
    return f"127.0.0.{number}" if sys.platform == "linux" else "127.0.0.1"


def _start_somewhere(server: SSHServer) -> None:
    try:
        server.start()
    except OSError:
        server.port = 0
        server.start()


def _write(path: Path, text: str) -> str:
    """Write a file that only its owner can read, whole or not at all; return its path."""
    draft = path.with_name(f"{path.name}.tmp")
    draft.touch(mode=0o600)
    draft.write_text(text)
    draft.replace(path)
    return str(path)


@contextlib.contextmanager
def running(home: Path, authorized_keys: Iterable[str]) -> Iterator[dict[str, object]]:
    """Run fleet and Adobe while the block runs; give what a user of them needs to know, as plain data.

    Keys: `inventory_csv` and `console_json` (paths), `console_json_next` (the same account with a second
    secret, for a rotation by hand), `console_json_other` (another account, for the wizard), `without_account`
    (names of the instances that wait for it), `workspace_json` (a third account, with the numbers that
    Adobe's API needs) and `rotated` (names of its instances), `ims_url`, `console_url`, `expected` (lists of
    instance, container, state, code), `containers` (name, address, port, host_key, story), `pid`. The console
    files hold secrets in clear, as Adobe's do.
    """
    home.mkdir(parents=True, exist_ok=True)
    fleet, account = Fleet(home).create(), ConsoleAccount(secrets=(make_secret(), make_secret()))
    other = ConsoleAccount(organization_id=account.organization_id, credential_id="413928")
    rotated = ConsoleAccount(organization_id=account.organization_id, credential_id="413929")
    with StandInIMS() as ims, StandInConsole(ims) as console, Campaign(fleet, ims.url):
        for each in (account, other, rotated):
            console.register(each)
        try:
            fleet.start(authorized_keys)
            yield {
                "pid": os.getpid(),
                "inventory_csv": _write(home / "inventory.csv", fleet.inventory_csv()),
                "console_json": _write(home / "console.json", account.download_json(version=0)),
                "console_json_next": _write(home / "new-version.json", account.download_json(version=1)),
                "console_json_other": _write(home / "new-account.json", other.download_json()),
                "without_account": list(WITHOUT_ACCOUNT),
                "workspace_json": _write(home / "workspace.json", rotated.workspace_json()),
                "rotated": list(ROTATED),
                "ims_url": ims.url,
                "console_url": console.url,
                "expected": [[*pair, *outcome] for pair, outcome in fleet.expected().items()],
                "containers": _containers(fleet),
            }
        finally:
            fleet.stop()


def _containers(fleet: Fleet) -> list[dict[str, object]]:
    return [
        {
            "name": name,
            "address": server.address,
            "port": server.port,
            "host_key": server.fingerprint,
            "story": fleet.sites[name].story,
        }
        for name, server in fleet.servers.items()
    ]


def serve(home: Path, authorized_keys: Iterable[str], ready_file: Path) -> None:
    """Run fleet and IMS until SIGTERM or SIGINT; `ready_file` (JSON) appears when all of it answers."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    with running(home, authorized_keys) as facts:
        _write(ready_file, json.dumps(facts, indent=2))
        ended.wait()
    ready_file.unlink(missing_ok=True)


if __name__ == "__main__":
    home, key, ready = (Path(each) for each in sys.argv[1:])
    serve(home, KeyFile(key), ready)
