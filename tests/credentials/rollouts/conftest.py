"""A small world: sandbox containers behind real SSH connections, and the portal's rows about them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from credentials import services
from credentials.models import ClientSecret, TechnicalAccount
from credentials.rollouts.models import Push, Rollout
from credentials.rollouts.starting import start_rollout
from instances import ssh
from instances.models import Container, HostKey, Installation, Instance
from instances.reaching import portal_key
from instances.visits import visit
from instances.visits.dispatcher import Dispatcher
from instances.visits.lease import Lease
from portal.audit.trail import Actor
from portal.plaintext import Secret
from portal.private_files import key_file
from portal.sandbox.config_files import Shape
from portal.sandbox.container import Account, make_container, read_account
from portal.sandbox.container import Container as SandboxContainer
from portal.sandbox.ssh_server import SSHFaults, SSHServer
from tests.services.waiting import wait_until

FIRST, SECOND = "p8e-first-secret-of-this-test-000001", "p8e-second-secret-of-this-test-00002"


@dataclass
class Site:
    """One sandbox container, its server and its row in the inventory."""

    row: Container
    container: SandboxContainer
    server: SSHServer

    @property
    def installation(self) -> Installation:
        return self.row.installations.get()

    def truth(self, instance: str = "prod1") -> Account:
        return read_account(self.container, instance)

    def secret(self, instance: str = "prod1") -> str | None:
        """The secret that the container's file really holds."""
        held = self.truth(instance).secret
        return held.reveal() if held else None


MakeSite = Callable[..., Site]


@pytest.fixture(autouse=True)
def _own_key(settings: Settings, tmp_path: Path) -> None:
    settings.SSH_KEY_PATH = tmp_path / "ssh_key"
    key_file(settings.SSH_KEY_PATH, ssh.generate_private_key)
    settings.PUSH_RETRY_DELAYS = [0, 0]
    settings.PUSH_COMMAND_LIMIT = 5
    settings.PUSH_SECOND_LOOK = 0.1
    visit.stopping.clear()


@pytest.fixture
def make_site(tmp_path: Path, db: None) -> Iterator[MakeSite]:
    servers: list[SSHServer] = []

    def make(
        name: str = "mkt-1",
        *,
        instances: tuple[str, ...] = ("prod1",),
        faults: tuple[str, ...] = (),
        ssh_faults: SSHFaults | None = None,
        shape: Shape = Shape.PLAIN,
        build: int = 9391,
        become: str = "none",
        login: str = "neolane",
        trusted: bool = True,
    ) -> Site:
        folder = tmp_path / name
        container = make_container(folder, instances=dict.fromkeys(instances, shape), build=build)
        container.set_faults(*faults)
        server = SSHServer(
            environment=container.environment,
            authorized_keys=[portal_key.public_line()],
            logins=[login],
            faults=ssh_faults or SSHFaults(),
        )
        server.start()
        servers.append(server)
        row = Container.objects.create(
            name=name,
            address=server.address,
            port=server.port,
            login=login,
            become=become,
            install_root=str(container.install_root),
        )
        if trusted:
            kind, key = server.known_host.split()
            HostKey.objects.create(
                container=row, type=kind, base64=key, fingerprint=server.fingerprint, state="approved"
            )
        for instance in instances:
            Installation.objects.create(
                instance=Instance.objects.get_or_create(name=instance)[0], container=row
            )
        return Site(row, container, server)

    yield make
    for server in servers:
        server.stop()


@pytest.fixture
def account(actor: Actor) -> TechnicalAccount:
    """An active account with one secret, not assigned to anything yet."""
    account = TechnicalAccount.objects.create(
        name="Triggers",
        state="active",
        organization_id="0A1B2C3D4E5F60718293A4B5@AdobeOrg",
        client_id="0123456789abcdef0123456789abcdef",
        technical_account_id="1A2B3C4D5E6F708192A3B4C5@techacct.adobe.com",
    )
    services.add_secret(account=account, plaintext=Secret(FIRST), actor=actor)
    return account


Start = Callable[..., Rollout]


@pytest.fixture
def start(account: TechnicalAccount, actor: Actor) -> Start:
    """Assign the account to the instances of these sites and start a rollout to them; ring nobody."""

    def start(*sites: Site, secret: ClientSecret | None = None) -> Rollout:
        installations = Installation.objects.filter(container__in=[site.row for site in sites])
        services.assign(account=account, instances=[each.instance for each in installations], actor=actor)
        current = secret or account.newest_version
        assert current
        return start_rollout(version=current, installations=installations, reason="new", actor=actor)

    return start


def take(lease: Lease) -> bool:
    """Claim a container as a delivery does, and do nothing with it yet."""
    with lease.taken() as is_ours:
        return is_ours


def deliver_all(site: Site, rounds: int = 12) -> None:
    """Answer the bell of a container until nothing is due there any more."""
    for _ in range(rounds):
        if not visit.visit(site.row.pk):
            return
    raise AssertionError("still due after many deliveries")


def only_push(rollout: Rollout) -> Push:
    return rollout.pushes.get()


MakeDispatcher = Callable[..., Dispatcher]


@pytest.fixture
def make_dispatcher() -> Iterator[MakeDispatcher]:
    made: list[Dispatcher] = []

    def make(places: int = 4, dials: int = 100, per_jump_host: int = 8, per_group: int = 100) -> Dispatcher:
        made.append(Dispatcher(places=places, dials=dials, per_jump_host=per_jump_host, per_group=per_group))
        return made[-1]

    yield make
    visit.stopping.set()
    for each in made:
        each.close()
    visit.stopping.clear()


def wait_for(states: dict[str, int], *, within: float) -> None:
    """Wait until pushes are in these states, and so many in each."""

    def reached() -> bool:
        counted = [Push.objects.filter(state=state).count() for state in states]
        return counted == list(states.values())

    wait_until(reached, within=within, what=str(states))
