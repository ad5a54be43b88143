"""The fleet stands as described, is reachable as its inventory says, and runs as a program of its own."""

import csv
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest
import requests

from instances.failures import Code
from instances.nlserver.conversation import HARMLESS_LINES
from portal.sandbox.fleet import COLUMNS, INSTANCES, LINES_OF_A_PUSH, SITES, Fleet, running
from portal.sandbox.ssh_server import key_line

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def key() -> paramiko.PKey:
    return paramiko.ECDSAKey.generate()


@pytest.fixture
def fleet(tmp_path: Path, key: paramiko.PKey) -> Iterator[Fleet]:
    fleet = Fleet(tmp_path / "fleet").create()
    fleet.start([key_line(key)])
    yield fleet
    fleet.stop()


def rows(fleet: Fleet) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(fleet.inventory_csv())))


def offered_fingerprint(address: str, port: int) -> str:
    with paramiko.Transport(socket.create_connection((address, port), timeout=5)) as transport:
        transport.start_client(timeout=5)
        return transport.get_remote_server_key().fingerprint


def run(row: dict[str, str], key: paramiko.PKey, command: str) -> str:
    with paramiko.Transport(
        socket.create_connection((row["address"], int(row["port"])), timeout=5)
    ) as transport:
        transport.start_client(timeout=5)
        transport.auth_publickey(row["login"], key)
        channel = transport.open_session(timeout=5)
        channel.exec_command(command)
        return channel.makefile("rb").read().decode()


def test_the_inventory_has_a_row_for_each_installation_and_one_for_the_hosted_instance(fleet: Fleet) -> None:
    found = rows(fleet)
    assert tuple(found[0]) == COLUMNS
    assert {(row["instance"], row["container"]) for row in found if row["container"]} == set(fleet.expected())
    assert [row["instance"] for row in found if not row["container"]] == ["acme-cloud"]
    assert [row["deployment"] for row in found if not row["container"]] == ["hosted"]


def test_every_expected_code_is_one_of_the_portals(fleet: Fleet) -> None:
    assert {code for _, code in fleet.expected().values()} <= {*Code.values, ""}
    assert {state for state, _ in fleet.expected().values()} == {"succeeded", "failed"}


def test_the_fleet_has_the_troubles_it_promises() -> None:
    assert {site.become for site in SITES} == {"none", "sudo", "su"}
    assert {site.language for site in SITES} == {"en", "fr"}
    assert {site.major for site in SITES} == {"nl6", "nl7"}
    assert {row.deployment for row in INSTANCES} == {"on-premise", "hybrid", "hosted"}
    assert max(len(site.instances) for site in SITES) > 1
    codes = {site.outcome.code for site in SITES}
    assert codes >= {
        "connection_refused",
        "host_key_changed",
        "build_too_old",
        "not_applied",
        "reload_failed",
    }


def test_only_the_reinstalled_container_shows_another_key_than_the_approved_one(fleet: Fleet) -> None:
    changed = {
        row["container"]
        for row in rows(fleet)
        if row["container"] not in {"", "mkt-3"}
        and offered_fingerprint(row["address"], int(row["port"])) != row["host_key"]
    }
    assert changed == {"mkt-4"}


def test_the_container_that_is_down_refuses(fleet: Fleet) -> None:
    row = next(row for row in rows(fleet) if row["container"] == "mkt-3")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((row["address"], int(row["port"])))


@pytest.mark.parametrize(
    ("container", "way"),
    [("mkt-1", "{}"), ("mid-1", "sudo -n -u neolane -- sh -c '{}'"), ("mkt-2", "su - neolane -c '{}'")],
)
def test_each_way_in_leads_to_nlserver_as_neolane(
    fleet: Fleet, key: paramiko.PKey, container: str, way: str
) -> None:
    row = next(row for row in rows(fleet) if row["container"] == container)
    command = f'id -un; . "{row["install_root"]}/nl6/env.sh"; nlserver pdump'
    output = run(row, key, way.format(command))
    assert "neolane\n" in output
    assert "build 9391@" in output


def test_a_fleet_started_again_keeps_keys_ports_and_used_up_faults(
    tmp_path: Path, key: paramiko.PKey
) -> None:
    first = Fleet(tmp_path).create()
    first.start([key_line(key)])
    before = first.inventory_csv()
    first.containers["rt-3"].set_faults("killed_after_writing*0")
    first.stop()
    second = Fleet(tmp_path).create()
    second.start([key_line(key)])
    try:
        assert second.inventory_csv() == before
        assert (tmp_path / "rt-3/faults").read_text() == "killed_after_writing*0\n"
    finally:
        second.stop()


def test_a_taken_port_is_replaced_by_a_free_one(tmp_path: Path, key: paramiko.PKey) -> None:
    fleet = Fleet(tmp_path, sites=SITES[:1]).create()
    with socket.create_server(("127.0.0.11", 0)) as taken:
        port = taken.getsockname()[1]
        (tmp_path / "ports.json").write_text(json.dumps({"mkt-1": port}))
        fleet.start([key_line(key)])
        try:
            assert fleet.servers["mkt-1"].port != port
        finally:
            fleet.stop()


def test_the_facts_of_a_running_fleet_lead_to_an_account_that_ims_accepts(
    tmp_path: Path, key: paramiko.PKey
) -> None:
    with running(tmp_path, [key_line(key)]) as facts:
        for name in ("console_json", "console_json_next", "console_json_other"):
            path = Path(str(facts[name]))
            assert path.stat().st_mode & 0o777 == 0o600
            values = json.loads(path.read_text())
            form = {
                "client_id": values["CLIENT_ID"],
                "client_secret": values["CLIENT_SECRETS"][0],
                "grant_type": "client_credentials",
                "scope": "openid,AdobeID",
            }
            assert requests.post(f"{facts['ims_url']}/ims/token/v3", form, timeout=10).status_code == 200
    with pytest.raises(requests.ConnectionError):
        requests.get(str(facts["ims_url"]), timeout=10)


def test_as_a_program_it_says_when_it_is_ready_and_ends_on_sigterm(
    tmp_path: Path, key: paramiko.PKey
) -> None:
    key_file, ready = tmp_path / "key.pub", tmp_path / "ready.json"
    key_file.write_text(f"{key_line(key)} portal\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "portal.sandbox.fleet", tmp_path / "home", key_file, ready],
        cwd=ROOT,
        env={**os.environ, "PORTAL_HOME": str(tmp_path / "portal")},
    )
    try:
        deadline = time.monotonic() + 30
        while not ready.exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        facts = json.loads(ready.read_text())
        assert {each["name"] for each in facts["containers"]} == {site.name for site in SITES}
        with Path(facts["inventory_csv"]).open() as file:
            assert "neolane" in run(next(csv.DictReader(file)), key, "id -un")
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
    assert not ready.exists()


def test_the_sandbox_loads_no_django() -> None:
    script = (
        "import sys, types, pathlib; portal = types.ModuleType('portal'); portal.__path__ = [sys.argv[1]];"
        "sys.modules['portal'] = portal; import portal.sandbox.fleet;"
        "sys.exit(any(name.split('.')[0] in {'django', 'instances', 'credentials'} for name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script, str(ROOT / "portal")], cwd=ROOT, timeout=30)
    assert done.returncode == 0


def test_a_push_is_dropped_just_after_the_account_was_sent() -> None:
    assert LINES_OF_A_PUSH == HARMLESS_LINES + 1
