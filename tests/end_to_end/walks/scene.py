"""A portal in the middle of its work, for walks and pictures: names, counts and distances in time are fixed.

What people do in a walk is done for real: Adobe's token endpoint and two containers answer over the network.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import time_machine
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from credentials.desired import set_goal
from credentials.models import ClientSecret, TechnicalAccount, Why
from credentials.rollouts.models import Push, Rollout
from credentials.rollouts.starting import start_rollout
from credentials.rotation import services as rotations
from credentials.rotation.models import Policy, PolicyKind, Rotation, Wave
from credentials.rotation.notices import ENDED
from credentials.rotation.waits import Wait
from credentials.services import activate, add_secret, assign
from instances.discovery.models import Reading
from instances.inventory.contacts import save_contact
from instances.models import Contact, HostKey, Installation, Instance
from instances.visits import visit
from portal.audit.trail import Actor
from portal.health.models import Worker
from portal.plaintext import Secret
from tests.credentials.rollouts.conftest import MakeSite, Site
from tests.factories import finish, make_channel, make_installation, make_window

PEOPLE = {"alice": "Admin", "henry": "Helpdesk", "astrid": "Auditor"}
TRIGGERS, DELIVERABILITY, EXPORT = "Triggers production", "Deliverability", "Audience export"
INSTANCES = (
    ("acme_mkt", "MKT", "production", ("app-mkt-1", "app-mkt-2", "app-mkt-3", "app-mkt-4")),
    ("acme_mid", "MID", "production", ("app-mid-1", "app-mid-2", "app-mid-3")),
    ("acme_rt", "RT", "production", ("app-rt-1", "app-rt-2", "app-rt-3")),
    ("acme_stage", "MKT", "stage", ("stage-1", "stage-2")),
    ("brand_mkt", "MKT", "production", ("brand-1", "brand-2", "brand-3")),
    ("brand_stage", "MKT", "stage", ("stage-3",)),
    ("export_exec", "EXEC", "production", ("exec-1", "exec-2")),
)
"""Name, role, environment and containers; the account of each follows below."""
USES = {
    TRIGGERS: ("acme_mkt", "acme_mid", "acme_rt", "acme_stage"),
    DELIVERABILITY: ("brand_mkt", "brand_stage"),
    EXPORT: ("export_exec",),
}
WITHOUT_ACCOUNT = "acme_dev"
"""The instance on the containers that answer."""
OUTPUT = (
    "07:41:12 >   Application server for Adobe Campaign Classic (7.4.1 build 9394) of 2024-11-12\n"
    "07:41:12 >   Launching task 'config' (pid=28113, tid=28113)\n"
    "07:41:13 >   Updating configuration of instance 'acme_mkt' in file 'config-acme_mkt.xml'\n"
    "07:41:13 >   Configuration successfully updated.\n"
)


@dataclass
class Scene:
    """What the walks go to."""

    now: datetime
    actors: dict[str, Actor]
    sites: list[Site]
    accounts: dict[str, TechnicalAccount]
    under_way: Rollout
    rotation: Rotation
    refused: Push
    """A push that failed because nothing listened."""

    def installation(self, container: str) -> Installation:
        return Installation.objects.get(container__name=container)

    def deliver(self) -> None:
        """Do what the worker does on the containers that answer, until nothing is due there."""
        for site in self.sites:
            while visit.visit(site.row.pk):
                pass

    def fail_for_real(self) -> Push:
        """Roll an account out to the containers that answer; one of them cannot write its file."""
        self.sites[1].container.set_faults("readonly")
        account = _account("Experience Platform", "p8e-fifth", actor=self.actors["alice"])
        _assign(account, [WITHOUT_ACCOUNT], self.actors["alice"])
        rows = Installation.objects.filter(instance__name=WITHOUT_ACCOUNT)
        version = account.secrets.get()
        rollout = start_rollout(version=version, installations=rows, reason="new", actor=self.actors["alice"])
        self.deliver()
        return rollout.pushes.get(state=Push.State.FAILED)

    def mend(self) -> None:
        self.sites[1].container.set_faults()


def build(make_site: MakeSite | None = None) -> Scene:
    """Fill the portal, while the database's clock follows Python's.

    Without `make_site` no container answers.
    """
    now = timezone.now()
    actors = {name: _person(name, role) for name, role in PEOPLE.items()}
    _inventory()
    sites = _sites(make_site)
    Worker.objects.create(name="portal-worker-1", concurrency=40)
    alice = actors["alice"]
    _contacts(alice)
    _told()
    accounts = _past(alice, now)
    _waiting(accounts[EXPORT], alice, now)
    rotation = _rotation(accounts[DELIVERABILITY], alice, now)
    _policies(accounts, alice)
    under_way, refused = _under_way(accounts[TRIGGERS], alice, now)
    _readings(now)
    _verify()
    return Scene(now, actors, sites, accounts, under_way, rotation, refused)


def _ago(now: datetime, **distance: float) -> time_machine.travel:
    return time_machine.travel(now - timedelta(**distance), tick=False)


def _person(name: str, role: str) -> Actor:
    person = User.objects.create_user(name, password="a long enough password")
    person.groups.add(Group.objects.get(name=role))
    return Actor(name, person, ip="10.20.30.40", request_id="0123456789abcdef")


def _inventory() -> None:
    for name, role, environment, containers in INSTANCES:
        for container in containers:
            row = make_installation(instance=name, container=container, build=9394)
        Instance.objects.filter(pk=row.instance_id).update(
            role=role, environment=environment, uses_triggers=role == "MKT"
        )
    for number, key in enumerate(HostKey.objects.order_by("container__name")):
        key.fingerprint = f"SHA256:{number:02}Qm7Vd0xkB1nYw3RtL5cZp8sHg2eJf4uTa6iKoXyMv"[:50]
        key.save(update_fields=["fingerprint"])


def _sites(make_site: MakeSite | None) -> list[Site]:
    names = ("dev-1", "dev-2")
    sites = [make_site(name, instances=(WITHOUT_ACCOUNT,)) for name in names] if make_site else []
    for name in names if not sites else ():
        make_installation(instance=WITHOUT_ACCOUNT, container=name)
    Instance.objects.filter(name=WITHOUT_ACCOUNT).update(environment="development")
    return sites


def _contacts(actor: Actor) -> None:
    for environment, who, reach in (
        ("production", "Linux operations", "linux-operations@example.com, 555 0100"),
        ("stage", "Platform team", "#campaign-platform"),
    ):
        row = Contact(environment=environment, who=who, reach=reach, hours="Mon to Fri, 8:00 to 18:00")
        save_contact(row, actor=actor)


def _told() -> None:
    make_channel(name="Campaign operations", address="campaign-operations@example.com")
    make_channel(name="Auditors", address="auditors@example.com", kinds=[ENDED])
    make_window(days=("tue", "thu"))


def _account(name: str, secret: str, *, actor: Actor) -> TechnicalAccount:
    number = TechnicalAccount.objects.count() + 1
    account = TechnicalAccount.objects.create(
        name=name,
        organization_id="0A1B2C3D4E5F60718293A4B5@AdobeOrg",
        client_id=f"{number:x}" * 32,
        technical_account_id=f"{number:024X}@techacct.adobe.com",
        numeric_organization_id="1234567",
        credential_id=f"41392{number}",
    )
    add_secret(account=account, plaintext=Secret(secret), actor=actor)
    activate(account=account, actor=actor)
    return account


def _assign(account: TechnicalAccount, instances: Iterable[str], actor: Actor) -> None:
    assign(account=account, instances=list(Instance.objects.filter(name__in=instances)), actor=actor)


Outcome = Callable[[Push], tuple[str, str]]


def _succeeded(push: Push) -> tuple[str, str]:
    return "succeeded", ""


def _rollout(
    account: TechnicalAccount,
    actor: Actor,
    *,
    reason: str,
    message: str = "",
    names: Sequence[str] = (),
    outcome: Outcome = _succeeded,
) -> Rollout:
    """A rollout of the newest version, with an outcome for each push."""
    rows = Installation.objects.filter(instance__assignment__account=account)
    rows = rows.filter(container__name__in=names) if names else rows
    version = account.secrets.order_by("-version")[0]
    rollout = start_rollout(version=version, installations=rows, reason=reason, actor=actor, message=message)
    for push in rollout.pushes.select_related("rollout__secret__account"):
        state, code = outcome(push)
        if state != "queued":
            finish(push, state=state, code=code, output=OUTPUT if state == "succeeded" else "")
    return rollout


PAST = (
    (214, EXPORT, "", ()),
    (96, TRIGGERS, "CHG0001122", ()),
    (82, TRIGGERS, "CHG0001187", ("app-mkt-1", "app-mkt-2", "app-mid-1")),
    (75, EXPORT, "", ("exec-1", "exec-2")),
    (68, TRIGGERS, "CHG0001240", ("stage-1", "stage-2", "app-rt-1", "app-rt-2", "app-rt-3")),
    (61, DELIVERABILITY, "CHG0001302", ()),
    (40, TRIGGERS, "CHG0001377", ("app-mid-1", "app-mid-2", "app-mid-3")),
    (33, EXPORT, "INC0040417", ("exec-1",)),
    (19, TRIGGERS, "CHG0001401", ("app-mkt-1", "app-mkt-2", "app-mkt-3", "app-mkt-4", "app-rt-1")),
)
"""Days ago, account, message, containers of rollouts that are over. The first of an account goes to all."""


def _past(actor: Actor, now: datetime) -> dict[str, TechnicalAccount]:
    """Make the accounts when their first rollout was, and the rollouts of the auditor's chart."""
    accounts: dict[str, TechnicalAccount] = {}
    for days, name, message, names in PAST:
        with _ago(now, days=days):
            reason = "repair"
            if name not in accounts:
                accounts[name], reason = _account(name, f"p8e-{name}", actor=actor), "new"
                _assign(accounts[name], USES[name], actor)
            _rollout(accounts[name], actor, reason=reason, message=message, names=names)
    return accounts


def _next_version(account: TechnicalAccount, secret: str, actor: Actor) -> ClientSecret:
    return add_secret(account=account, plaintext=Secret(secret), actor=actor)[0]


def _rotation(account: TechnicalAccount, actor: Actor, now: datetime) -> Rotation:
    """A rotation whose canary has the new secret, which Campaign has not used yet."""
    with _ago(now, minutes=42):
        rotation = rotations.start(account=account, actor=actor, message="CHG0001420")
        new = _next_version(account, "p8e-new", actor)
    [canary] = Installation.objects.filter(container__name="stage-3")
    with _ago(now, minutes=40):
        rollout = _rollout(account, actor, reason="rotation", names=["stage-3"])
        set_goal(account=account, version=new, why=Why.ROTATION, actor=actor)
    Wave.objects.create(rotation=rotation, rollout=rollout, kind="canary", position=0, label="stage-3")
    secrets = [
        {"id": f"{number}f0c9-3d52", "created": (now - age).isoformat(), "used": used}
        for number, age, used in (
            (1, timedelta(days=61), (now - timedelta(minutes=50)).isoformat()),
            (2, timedelta(minutes=41), None),
        )
    ]
    for version, listed in zip(account.secrets.order_by("version"), secrets, strict=True):
        account.secrets.filter(pk=version.pk).update(adobe_id=listed["id"])
    Rotation.objects.filter(pk=rotation.pk).update(
        state=Rotation.State.CANARY,
        wait=Wait.CANARY_UNUSED,
        params={"installation": str(canary)},
        way=Rotation.Way.API,
        new=new,
        canary=canary,
        wave_rule="environment",
        proven=now - timedelta(minutes=39),
        listed=now - timedelta(minutes=2),
        adobe_secrets=secrets,
        tried=now - timedelta(minutes=2),
        due=now + timedelta(minutes=3),
    )
    rotation.refresh_from_db()
    return rotation


def _policies(accounts: dict[str, TechnicalAccount], actor: Actor) -> None:
    for name, days, kind in ((EXPORT, 180, PolicyKind.REMIND), (TRIGGERS, 90, PolicyKind.OPEN)):
        Policy.objects.create(
            account=accounts[name],
            interval=days,
            kind=kind,
            wave_rule="environment",
            stop_rule="0",
            set_at=timezone.now(),
            set_by=actor.user,
            set_by_name=actor.name,
        )


DONE = ("app-mkt-1", "app-mkt-2", "app-mkt-3", "app-mid-1", "app-mid-2", "stage-1")


def _under_way(account: TechnicalAccount, actor: Actor, now: datetime) -> tuple[Rollout, Push]:
    """A second version on its way: half of it there, one failed, one running, the others queued."""
    with _ago(now, minutes=3):
        _next_version(account, "p8e-second", actor)

        def outcome(push: Push) -> tuple[str, str]:
            if push.container.name in DONE:
                return "succeeded", ""
            return ("failed", "connection_refused") if push.container.name == "app-rt-1" else ("queued", "")

        rollout = _rollout(account, actor, reason="rotation", message="CHG0001422", outcome=outcome)
    rollout.pushes.filter(container__name="app-mkt-4").update(state=Push.State.RUNNING)
    rollout.pushes.filter(state="queued").update(due=now + timedelta(hours=1), put_off=now)
    return rollout, rollout.pushes.get(container__name="app-rt-1")


def _waiting(account: TechnicalAccount, actor: Actor, now: datetime) -> None:
    """What the helpdesk finds besides: two pushes that failed for another reason."""
    with _ago(now, hours=2):
        _rollout(
            account,
            actor,
            reason="repair",
            message="INC0040422",
            outcome=lambda _push: ("failed", "login_refused"),
        )


def _readings(now: datetime) -> None:
    """What containers were seen to have; on one there is an instance that nobody entered."""
    for name, found in (("app-mkt-1", {"acme_mkt": "", "acme_old": ""}), ("app-mid-1", {"acme_mid": ""})):
        at = now - timedelta(hours=5)
        Reading.objects.create(
            container=Installation.objects.get(container__name=name).container,
            state=Reading.State.SUCCEEDED,
            asked_by="henry",
            asked=at,
            due=at,
            started=at,
            finished=at + timedelta(seconds=1),
            build=9394,
            found=found,
        )


def _verify() -> None:
    """Let the auditor verify the history, as the page does."""
    client = Client()
    client.force_login(User.objects.get(username="astrid"))
    client.post(reverse("history_verify"))
