"""Command line, Celery worker, sshd of the container and sshd of the jump host, all of them real."""

import getpass
from pathlib import Path

import pytest

from portal.sandbox.console import ConsoleAccount
from portal.sandbox.container import read_account
from tests.end_to_end.conftest import HEADER, MakeRealContainer
from tests.services.accounts import require_accounts
from tests.services.fixtures import StartOpenSSH
from tests.services.portal import Portal

ENTER = """
from instances.reaching.jump_hosts import clean_host_keys
from instances.models import JumpHost
JumpHost.objects.create(
    name="bastion-1", address={host!r}, port={port}, login={login!r}, host_keys=clean_host_keys({keys!r})
)
"""


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_two_containers_one_of_them_behind_a_jump_host(
    tmp_path: Path,
    start_openssh: StartOpenSSH,
    real_container: MakeRealContainer,
    console: ConsoleAccount,
) -> None:
    require_accounts()
    portal = Portal(tmp_path / "portal", {})
    portal.home.mkdir()
    portal.prepare()
    jump_host = start_openssh(host="127.0.1.41", options={"LogLevel": "DEBUG3"})
    jump_host.authorize(getpass.getuser(), portal.public_key, restrictions="restrict,port-forwarding")
    keys = "\n".join(key.line for key in jump_host.host_keys)
    login = getpass.getuser()
    portal.manage(
        "shell", "-c", ENTER.format(host=jump_host.host, port=jump_host.port, login=login, keys=keys)
    )
    rows, containers = [], []
    for number, (name, way) in enumerate({"direct": "", "behind": "bastion-1"}.items(), start=42):
        server = start_openssh(accounts=["neolane"], host=f"127.0.1.{number}")
        server.authorize("neolane", portal.public_key, restrictions="restrict")
        container = real_container(name, login="neolane", become="none")
        containers.append(container)
        rows.append(f"{container.inventory_row(server, 'prod1')},{way}")
    inventory = portal.home / "inventory.csv"
    inventory.write_text("\n".join([f"{HEADER},jump_host", *rows]) + "\n")
    portal.manage("import_inventory", str(inventory))
    portal.manage("add_account", "Triggers", "--from-json", "-", stdin=console.download_json())
    portal.manage("assign", "Triggers", "prod1")
    secret = console.secrets[-1].reveal()
    with portal.worker():
        outcomes = portal.rollout("Triggers")
    assert outcomes == {("prod1", "direct"): ("succeeded", ""), ("prod1", "behind"): ("succeeded", "")}
    for container in containers:
        held = read_account(container.files, "prod1").secret
        assert held
        assert held.reveal() == secret
    log = jump_host.log.read_text()
    assert log.count("Accepted publickey") == log.count("server_request_direct_tcpip: originator") >= 1
    for canary in (secret, console.client_id, "setimsoauth"):
        assert canary not in log
