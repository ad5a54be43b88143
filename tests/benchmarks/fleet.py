"""The people, the inventory and the accounts of a seeded portal."""

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from random import Random

from django.contrib.auth.models import Group, User
from django.utils import timezone

from credentials.keys.keyring import fingerprint
from credentials.keys.vault import seal_version
from credentials.models import Assignment, ClientSecret, TechnicalAccount
from credentials.rollouts.models import ProvenWrite
from credentials.wizard.models import Draft
from credentials.wizard.steps import STEPS, STEPS_WITH_JSON
from instances.models import Container, HostKey, Installation, Instance, JumpHost
from portal.plaintext import Secret
from tests.benchmarks.rows import store
from tests.benchmarks.scale import Scale
from tests.factories import JUMP_HOST_KEY

PEOPLE = {"alice": "Admin", "henry": "Helpdesk", "astrid": "Auditor"}
CONTAINERS_PER_INSTANCE = 4
INSTANCES_PER_CONTAINER = 2
HOSTED_EVERY = 50  # instances
BEHIND_EVERY = 10  # containers
CONTAINERS_PER_JUMP_HOST = 20
SHARES = (0.5, 0.2, 0.1, 0.05, 0.05, 0.04, 0.03, 0.02, 0.01)
"""Which part of the instances uses which account: one is large, most are small."""
VERSIONS = 3
DRAFTS = 2
ORGANIZATION = "0123456789ABCDEF01234567@AdobeOrg"


@dataclass
class Fleet:
    """What was seeded so far, for those that build on it."""

    random: Random
    now: datetime = field(default_factory=timezone.now)
    people: list[User] = field(default_factory=list)
    installations: list[Installation] = field(default_factory=list)
    accounts: list[TechnicalAccount] = field(default_factory=list)
    secrets: dict[uuid.UUID, list[ClientSecret]] = field(default_factory=dict)
    """By account, oldest version first."""
    using: dict[uuid.UUID, list[Installation]] = field(default_factory=dict)
    """By account."""
    proven: dict[uuid.UUID, ProvenWrite] = field(default_factory=dict)
    """The last proven write, by installation."""

    def uuid(self) -> uuid.UUID:
        return uuid.UUID(int=self.random.getrandbits(128), version=4)


def seed_fleet(scale: Scale, random: Random) -> Fleet:
    """Make people, inventory and accounts, with as many installations as the scale says."""
    fleet = Fleet(random)
    fleet.people = seed_people()
    instances = _instances(fleet, scale.installations)
    _containers(fleet, scale.installations)
    _accounts(fleet, instances)
    _drafts(fleet)
    return fleet


def seed_people() -> list[User]:
    """Make one person of each role."""
    return [_person(name, role) for name, role in PEOPLE.items()]


def _person(name: str, role: str) -> User:
    person = User.objects.create(username=name, password="!")  # nobody can sign in with it
    person.groups.add(Group.objects.get(name=role))
    return person


def _instances(fleet: Fleet, installations: int) -> list[Instance]:
    count = max(1, installations // CONTAINERS_PER_INSTANCE)
    environments = [*Instance.Environment.values, Instance.Environment.PRODUCTION.value]
    instances = [
        Instance(
            id=fleet.uuid(),
            name=f"brand{number:05}_{role.lower()}",
            environment=environments[number % len(environments)],
            role=role,
            uses_triggers=number % 3 == 0,
            created=fleet.now,
        )
        for number in range(count)
        for role in [Instance.Role.values[number % len(Instance.Role.values)]]
    ]
    hosted = [
        Instance(
            id=fleet.uuid(),
            name=f"hosted{number:04}",
            deployment=Instance.Deployment.HOSTED,
            created=fleet.now,
        )
        for number in range(count // HOSTED_EVERY)
    ]
    store([*instances, *hosted])
    fleet.installations = [
        _installation(fleet, instances[number // CONTAINERS_PER_INSTANCE % count])
        for number in range(installations)
    ]
    return instances


def _installation(fleet: Fleet, instance: Instance) -> Installation:
    return Installation(
        id=fleet.uuid(),
        instance=instance,
        created=fleet.now,
        observed=fleet.now,
        observed_build=fleet.random.choices([9394, 9383, 9359], [90, 8, 2])[0],
        observed_client_id=f"{len(fleet.accounts):032x}",
        observed_jwt=fleet.random.random() < 0.02,
    )


def _containers(fleet: Fleet, installations: int) -> None:
    count = -(-installations // INSTANCES_PER_CONTAINER)
    logins = [("neolane", "none"), ("campaign", "sudo"), ("root", "su")]
    jump_hosts = _jump_hosts(fleet, 1 + count // (BEHIND_EVERY * CONTAINERS_PER_JUMP_HOST))
    containers = []
    for number in range(count):
        login, become = logins[number % len(logins)]
        containers.append(
            Container(
                id=fleet.uuid(),
                name=f"app{number:05}",
                address=f"app{number:05}.campaign.example.com",
                login=login,
                become=become,
                jump_host=fleet.random.choice(jump_hosts) if number % BEHIND_EVERY == 0 else None,
                is_enabled=number % 200 != 199,
                created=fleet.now,
            )
        )
    store(containers)
    store([key for number, each in enumerate(containers) for key in _host_keys(fleet, number, each)])
    for number, installation in enumerate(fleet.installations):
        # the containers of an instance are neighbours; the second round meets other instances there
        installation.container = containers[number % count]
    store(fleet.installations)


def _jump_hosts(fleet: Fleet, count: int) -> list[JumpHost]:
    hosts = [
        JumpHost(
            id=fleet.uuid(),
            name=f"bastion{number:03}",
            address=f"bastion{number:03}.campaign.example.com",
            login="portal",
            host_keys=JUMP_HOST_KEY,
            created=fleet.now,
        )
        for number in range(count)
    ]
    store(hosts)
    return hosts


def _host_keys(fleet: Fleet, number: int, container: Container) -> list[HostKey]:
    approved = HostKey(
        container=container,
        type="ssh-ed25519",
        base64=f"AAAAC3NzaC1lZDI1NTE5AAAAI{number:043}",
        fingerprint=f"SHA256:{number:043}",
        state=HostKey.State.APPROVED,
        seen=fleet.now,
        approved=fleet.now,
        approved_by="alice",
    )
    offered = HostKey(
        container=container,
        type="ssh-ed25519",
        base64=f"AAAAC3NzaC1lZDI1NTE5AAAAJ{number:043}",
        fingerprint=f"SHA256:offered{number:036}",
        seen=fleet.now,
    )
    if number % 25 == 10:
        return [offered]
    return [approved, offered] if number % 50 == 20 else [approved]


def _accounts(fleet: Fleet, instances: list[Instance]) -> None:
    fleet.accounts = [
        TechnicalAccount(
            id=fleet.uuid(),
            name=f"Triggers and Experience Cloud {number + 1}",
            state=TechnicalAccount.State.ACTIVE,
            organization_id=ORGANIZATION,
            client_id=f"{number + 1:032x}",
            technical_account_id=f"{number + 1:024X}@techacct.adobe.com",
            technical_account_email=f"{number + 1}@techacct.adobe.com",
            product="triggers",
            project="Campaign",
            created=fleet.now,
            created_by=fleet.people[0],
        )
        for number in range(min(len(SHARES), len(instances)))
    ]
    store(fleet.accounts)
    for account in fleet.accounts:
        fleet.secrets[account.pk] = [_secret(fleet, account, version + 1) for version in range(VERSIONS)]
        store(fleet.secrets[account.pk])
    _assign(fleet, instances)


def _secret(fleet: Fleet, account: TechnicalAccount, version: int) -> ClientSecret:
    plaintext = Secret(f"p8e-{fleet.uuid().hex}")
    slot = {VERSIONS: 1, VERSIONS - 1: 2}.get(version)
    row = ClientSecret(
        id=fleet.uuid(),
        account=account,
        version=version,
        client_id=account.client_id,
        fingerprint=fingerprint(plaintext, account.client_id),
        state=ClientSecret.State.USABLE if slot else ClientSecret.State.ABANDONED,
        slot=slot,
        entered=fleet.now,
        entered_by=fleet.people[0],
        entered_by_name="alice",
        ims_verdict="valid",
        ims_checked=fleet.now,
    )
    row.ciphertext = seal_version(row, plaintext)
    return row


def _assign(fleet: Fleet, instances: list[Instance]) -> None:
    accounts: dict[uuid.UUID, TechnicalAccount] = {}
    for number, instance in enumerate(instances):
        place, account = (number + 0.5) / len(instances), 0
        while account < len(fleet.accounts) - 1 and place > sum(SHARES[: account + 1]):
            account += 1
        accounts[instance.pk] = fleet.accounts[account]
    store(
        [
            Assignment(instance_id=pk, account=account, assigned=fleet.now, assigned_by="alice")
            for pk, account in accounts.items()
        ]
    )
    fleet.using = {account.pk: [] for account in fleet.accounts}
    for installation in fleet.installations:
        fleet.using[accounts[installation.instance_id].pk].append(installation)


def _drafts(fleet: Fleet) -> None:
    """Half-done accounts; the first one has its four values and every installation chosen."""
    for number in range(DRAFTS):
        account = TechnicalAccount.objects.create(
            name=f"Half done {number + 1}",
            organization_id=ORGANIZATION,
            client_id=f"{number + 1000:032x}",
            technical_account_id=f"{number + 1000:024X}@techacct.adobe.com",
            created_by=fleet.people[0],
        )
        store([_first_version(fleet, account)])
        draft = Draft.objects.create(
            account=account,
            step="review",
            has_json=number == 1,
            done=[step.slug for step in (*STEPS["new"], *STEPS_WITH_JSON["new"]) if step.slug != "review"],
            changed_by=fleet.people[0],
            changed_by_name="alice",
        )
        if number == 0:
            draft.installations.set(fleet.installations)


def _first_version(fleet: Fleet, account: TechnicalAccount) -> ClientSecret:
    secret = _secret(fleet, account, 1)
    secret.state, secret.slot = ClientSecret.State.USABLE, 1
    return secret
