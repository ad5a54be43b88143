"""From the command line through Celery to real sshd, sudo and su, on both brokers and both databases.

The secret is looked for in every process's arguments while it happens, and in sudo's log afterwards.
"""

import uuid
from pathlib import Path

import pytest

from portal.sandbox.console import ConsoleAccount
from portal.sandbox.container import read_account
from tests.end_to_end.conftest import MakeRealContainer, stock
from tests.services.accounts import SudoLog, require_accounts
from tests.services.argv_sampler import ArgvSampler
from tests.services.fixtures import StartOpenSSH
from tests.services.portal import Portal

WAYS = {"as-neolane": ("neolane", "none"), "with-sudo": ("campaign", "sudo"), "with-su": ("root", "su")}


PAIRS = ("sqlite and files", "sqlite and redis", "postgresql and redis")


# People in a browser have the first pair, deliveries the others.
@pytest.fixture(params=[pytest.param(pair, marks=pytest.mark.slow) for pair in PAIRS])
def portal(request: pytest.FixtureRequest, tmp_path: Path) -> Portal:
    """A prepared portal on each pair of database and broker."""
    environment = {}
    if "redis" in request.param:
        redis = request.getfixturevalue("redis_server")
        with redis.client() as client:
            client.flushall()
        environment["BROKER_URL"] = redis.url()
    if "postgresql" in request.param:
        postgres = request.getfixturevalue("postgres_server")
        environment["DATABASE_URL"] = postgres.create_database(f"end_to_end_{uuid.uuid4().hex[:8]}")
    portal = Portal(tmp_path / "portal", environment)
    portal.home.mkdir()
    portal.prepare()
    return portal


@pytest.mark.timeout(240)
def test_all_three_ways_to_become_neolane(
    portal: Portal,
    start_openssh: StartOpenSSH,
    real_container: MakeRealContainer,
    console: ConsoleAccount,
    sudo_log: SudoLog,
) -> None:
    require_accounts()
    containers, rows = [], []
    for number, (name, (login, become)) in enumerate(WAYS.items(), start=31):
        server = start_openssh(accounts=[login], host=f"127.0.1.{number}")
        server.authorize(login, portal.public_key)
        container = real_container(name, login=login, become=become)
        container.files.set_faults("slow=0.5")  # nlserver lingers, so that the sampler must see it
        containers.append(container)
        rows.append(container.inventory_row(server, "prod1"))
    stock(portal, rows, console, list(WAYS))
    secret = console.secrets[-1].reveal()
    with portal.worker(), ArgvSampler(secret) as sampler:
        outcomes = portal.rollout("Triggers")
    assert outcomes == {("prod1", name): ("succeeded", "") for name in WAYS}
    for container in containers:
        held = read_account(container.files, "prod1")
        assert held.secret
        assert held.secret.reveal() == secret
        assert held.client_id == console.client_id
    assert sampler.sightings, "the sampler saw nothing at all, so it proves nothing"
    assert all(any(word.endswith("/nlserver") for word in seen.argv[:4]) for seen in sampler.sightings)
    assert "portal" in sudo_log.text()  # sudo logged the fixed script,
    assert secret not in sudo_log.text()  # and nothing of the account
    assert console.client_id not in sudo_log.text()
