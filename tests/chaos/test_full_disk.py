"""The disk below SQLite, keys and file broker fills up in the middle of pushes, and has room again later."""

import sqlite3
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from portal.sandbox import nlserver
from portal.sandbox.config_files import Shape
from portal.sandbox.console import ConsoleAccount
from portal.sandbox.container import Container, make_container, read_account
from portal.sandbox.ssh_server import SSHServer
from tests.services.portal import Portal
from tests.services.programs import require_that
from tests.services.small_disk import SmallDisk, may_mount
from tests.services.waiting import wait_until

GATES = ("pdump", "setimsoauth", nlserver.WRITTEN, "reload")
MEGABYTES = 32
HEADER = "instance,container,address,port,install_root,host_key"
FULL = "OperationalError"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    require_that(may_mount(), "not allowed to mount a small file system")
    (tmp_path / "portal").mkdir(mode=0o700)
    with SmallDisk(tmp_path / "portal", megabytes=MEGABYTES) as disk:
        disk.folder.chmod(0o700)
        yield disk


@pytest.fixture
def portal(disk: SmallDisk, tmp_path: Path) -> Portal:
    """All of it lies on the small disk, except the worker's log, which is to be read."""
    settings = {
        "PORTAL_HOME": str(disk.folder),
        "DATABASE_URL": f"sqlite:///{disk.folder}/portal.sqlite3",
        "PUSH_LEASE": "3",
        "PUSH_LEASE_RENEWAL": "0.5",
        "RECONCILE_INTERVAL": "0.5",
    }
    portal = Portal(tmp_path, settings)
    portal.manage("migrate", "--verbosity", "0")
    return portal


def waits(container: Container) -> bool:
    logged = [*container.invocations(), *container.invocations("pdump"), *container.invocations("reload")]
    return any(line["event"] == "waiting" for line in logged)


def states(disk: SmallDisk) -> list[str]:
    with sqlite3.connect(f"file:{disk.folder}/portal.sqlite3?mode=ro", uri=True, timeout=20) as connection:
        return [state for (state,) in connection.execute("SELECT state FROM rollouts_push")]


def stock(portal: Portal, servers: dict[str, SSHServer], containers: dict[str, Container]) -> ConsoleAccount:
    """Fill the portal: one container per gate, an account, and its assignment."""
    rows = [
        f"{name},{name},{server.address},{server.port},{containers[name].install_root},{server.fingerprint}"
        for name, server in servers.items()
    ]
    inventory = portal.home / "inventory.csv"
    inventory.write_text("\n".join([HEADER, *rows]))
    console = ConsoleAccount()
    portal.manage("import_inventory", str(inventory))
    portal.manage("add_account", "Triggers", "--from-json", "-", stdin=console.download_json())
    portal.manage("assign", "Triggers", *servers)
    return console


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_full_disk_delays_outcomes_and_falsifies_none(
    tmp_path: Path, disk: SmallDisk, portal: Portal
) -> None:
    containers = {
        f"at-{gate}": make_container(tmp_path / gate, instances={f"at-{gate}": Shape.PLAIN}) for gate in GATES
    }
    servers = {
        name: SSHServer(environment=container.environment, authorized_keys=[portal.public_key])
        for name, container in containers.items()
    }
    for server in servers.values():
        server.start()
    try:
        console = stock(portal, servers, containers)
        for gate, container in zip(GATES, containers.values(), strict=True):
            container.set_gates(gate)
        with portal.worker() as worker:
            portal.manage("rollout", "Triggers", "--unconfirmed")
            for name, container in containers.items():
                worker.wait_for(partial(waits, container), within=30, what=f"{name} to wait")
            disk.fill()
            for container in containers.values():
                container.set_gates()
            worker.wait_for(lambda: FULL in worker.output(), within=30, what="the full disk to be felt")
            disk.empty()
            wait_until(lambda: set(states(disk)) <= {"succeeded", "failed"}, within=60, what="every outcome")
        assert states(disk) == ["succeeded"] * len(GATES)
        for name, container in containers.items():
            held = read_account(container, name).secret
            assert held
            assert held.reveal() == console.secrets[-1].reveal()
        portal.manage("verify_audit")
    finally:
        for server in servers.values():
            server.stop()
