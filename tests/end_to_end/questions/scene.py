"""A portal with a past: what the twelve questions ask about."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta

import time_machine
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import transaction
from django.utils import timezone

from credentials.models import ClientSecret, TechnicalAccount
from credentials.rollouts.models import Push, Rollout
from credentials.rollouts.services import retry_pushes
from credentials.rollouts.starting import start_rollout
from credentials.rotation.models import PolicyKind, Rotation, Wave
from credentials.rotation.policies import set_policy
from credentials.rotation.services import start as start_rotation
from credentials.rotation.waits import Wait
from credentials.services import abandon
from instances.discovery.models import Observation, Reading
from instances.inventory.contacts import save_contact
from instances.models import Contact, Container, Installation, Instance
from portal.audit.signing.heads import sign_head
from portal.audit.trail import PORTAL, Actor, record
from portal.plaintext import Secret
from portal.presets import quarter
from tests.benchmarks.fleet import seed_people
from tests.factories import (
    finish,
    make_account,
    make_container,
    make_installation,
    make_window,
    next_version,
)

INSTALLED = {
    "acme-mkt": ("mkt-1", "mkt-2", "mkt-3"),
    "acme-mid": ("mid-1", "mid-2"),
    "acme-rt": ("rt-1",),
    "brand-dev": ("dev-1",),
    "legacy-mkt": ("legacy-1", "legacy-2"),
}
ENVIRONMENTS = {"acme-rt": "stage", "brand-dev": "development"}
ROLES = {"acme-mid": "MID", "acme-rt": "RT"}
ON_JWT = ("legacy-1", "legacy-2")
LONG_UNSEEN = "legacy-2"
NEVER_SEEN = "spare-1"


@dataclass
class Scene:
    """What the questions name, and the answers that the pages are to show."""

    now: datetime
    people: dict[str, User] = field(default_factory=dict)
    day_before_rotation: date = date.min
    """A day of the last quarter on which mkt-2 still held the first version."""
    last_quarter: tuple[date, date] = (date.min, date.min)
    """Its first and its last day."""
    rotation: Rotation | None = None
    """The one of the last quarter."""
    due: datetime | None = None
    """When the policy of the account Triggers is due next."""
    retried: Push | None = None

    def actor(self, name: str) -> Actor:
        return Actor(name, self.people[name], ip="10.20.30.40", request_id="0123456789abcdef")


def build() -> Scene:
    """Fill an empty portal; some 250 statements."""
    call_command("sync_roles", verbosity=0)
    scene = Scene(timezone.now())
    scene.people = {person.username: person for person in seed_people()}
    scene.last_quarter = quarter(quarter(timezone.localdate(scene.now))[0] - timedelta(days=1))
    rotated = timezone.make_aware(datetime.combine(scene.last_quarter[0] + timedelta(days=45), time(14, 30)))
    began = rotated - timedelta(days=70)
    scene.day_before_rotation = timezone.localdate(rotated) - timedelta(days=20)
    with time_machine.travel(began, tick=False):
        _inventory(scene)
        first = _first_versions(scene)
    with time_machine.travel(rotated - timedelta(days=3), tick=False):
        scene.rotation = _rotation(scene, first["Triggers"], rotated)
    _see(scene, began, rotated)
    _today(scene, first["Analytics"])
    return scene


def _inventory(scene: Scene) -> None:
    for name, containers in INSTALLED.items():
        for container in containers:
            make_installation(instance=name, container=container, build=9394)
        Instance.objects.filter(name=name).update(
            environment=ENVIRONMENTS.get(name, "production"), role=ROLES.get(name, "MKT")
        )
    make_container(name=NEVER_SEEN)
    for environment, who, reach in (
        ("production", "Operations on call", "+33 1 55 55 01 99"),
        ("stage", "Server team", "server-team@example.com"),
    ):
        row = Contact(environment=environment, who=who, reach=reach, hours="weekdays, 8 to 18")
        save_contact(row, actor=scene.actor("alice"))
    make_window(environment="production", days=["tue", "thu"])


def _first_versions(scene: Scene) -> dict[str, ClientSecret]:
    """Enter both accounts, and roll their first versions out."""
    versions = {
        "Triggers": make_account(name="Triggers", instances=["acme-mkt", "acme-mid", "acme-rt"]),
        "Analytics": make_account(name="Analytics", secret="p8e-analytics", instances=["brand-dev"]),
    }
    for name, version in versions.items():
        _roll_out(scene, version, reason="new", by="alice", message=f"First rollout of {name}")
    return versions


def _installations(account: TechnicalAccount) -> list[Installation]:
    return list(Installation.objects.filter(instance__assignment__account=account))


def _digest(version: ClientSecret) -> str:
    return version.fingerprint.encode().hex().ljust(64, "0")[:64]


def _roll_out(scene: Scene, version: ClientSecret, *, reason: str, by: str, message: str = "") -> Rollout:
    """Roll a version out, with success everywhere."""
    version.refresh_from_db()
    rollout = start_rollout(
        version=version,
        installations=_installations(version.account),
        reason=reason,
        actor=scene.actor(by),
        message=message,
    )
    for push in rollout.pushes.all():
        finish(push, state="succeeded", digest=_digest(version))
    return rollout


def _rotation(scene: Scene, old: ClientSecret, ended: datetime) -> Rotation:
    """Rotate a secret, from the second one to the deletion of the first."""
    actor = scene.actor("alice")
    account = TechnicalAccount.objects.get(pk=old.account_id)
    rotation = start_rotation(account=account, actor=actor, message="CHG0042")
    new = next_version(account, Secret("p8e-second"), actor=actor)
    with time_machine.travel(ended - timedelta(hours=1), tick=False):
        rollout = _roll_out(scene, new, reason="rotation", by="alice", message="CHG0042")
        Wave.objects.create(rotation=rotation, rollout=rollout, kind=Wave.Kind.WAVE, position=1, label="100%")
    with time_machine.travel(ended, tick=False), transaction.atomic():
        abandon(version=old, actor=actor)
        details: dict[str, object] = {"state": Rotation.State.DONE.value}
        record("rotation.ended", actor=PORTAL, target=rotation, details=details)
    Rotation.objects.filter(pk=rotation.pk).update(
        new=new,
        state=Rotation.State.DONE,
        wait=Wait.ENDED,
        requested=ended - timedelta(days=3),
        ended=ended,
    )
    TechnicalAccount.objects.filter(pk=account.pk).update(goal=new, is_rotating=False)
    rotation.refresh_from_db()
    return rotation


def _see(scene: Scene, began: datetime, rotated: datetime) -> None:
    """Let every installation have been seen from the beginning on, most until two hours ago."""
    lately = scene.now - timedelta(hours=2)
    rows: list[Observation] = []
    for each in Installation.objects.select_related("instance__assignment__account", "container"):
        last = scene.now - timedelta(days=12) if each.container.name == LONG_UNSEEN else lately
        assignment = getattr(each.instance, "assignment", None)
        account = assignment.account if assignment else None
        versions = list(account.secrets.order_by("version")) if account else []
        if not account:
            rows.append(_sight(each, began, last, is_jwt=True))
        if len(versions) == 2:
            rows.append(_sight(each, began, rotated - timedelta(hours=2), ended=rotated, version=versions[0]))
            rows.append(_sight(each, rotated, last, version=versions[1]))
        elif versions:
            rows.append(_sight(each, began, last, version=versions[0]))
        Installation.objects.filter(pk=each.pk).update(observed=last, observed_jwt=account is None)
    Observation.objects.bulk_create(rows)
    readings = [
        _reading(container, scene.now - timedelta(days=12) if container.name == LONG_UNSEEN else lately)
        for container in Container.objects.exclude(name=NEVER_SEEN)
    ]
    Reading.objects.bulk_create(readings)


def _sight(
    each: Installation,
    at: datetime,
    last: datetime,
    *,
    ended: datetime | None = None,
    version: ClientSecret | None = None,
    is_jwt: bool = False,
) -> Observation:
    account = version.account if version else None
    return Observation(
        installation=each,
        at=at,
        last_seen=last,
        sights=9,
        ended=ended,
        source=Observation.Source.READ,
        source_id="seeded",
        last_source=Observation.Source.READ,
        last_source_id="seeded",
        client_id=account.client_id if account else "0" * 32,
        account_id=account.technical_account_id if account else "",
        organization_id=account.organization_id if account else "",
        digest=_digest(version) if version else "",
        build=9394,
        is_jwt=is_jwt,
        stamp="1",
    )


def _reading(container: Container, at: datetime) -> Reading:
    names: Iterable[str] = container.installations.values_list("instance__name", flat=True)
    return Reading(
        container=container,
        state=Reading.State.SUCCEEDED,
        asked_by="portal",
        asked=at,
        due=at,
        started=at,
        finished=at,
        build=9394,
        found=dict.fromkeys(names, ""),
        seen=[],
    )


def _today(scene: Scene, analytics: ClientSecret) -> None:
    """Let pushes fail for several causes, one be retried, and a rotation be due."""
    triggers = TechnicalAccount.objects.get(name="Triggers")
    version = triggers.goal
    assert version is not None
    by_name = {str(each): each for each in _installations(triggers)}
    with time_machine.travel(scene.now - timedelta(hours=6), tick=False):
        second = next_version(analytics.account, Secret("p8e-analytics-2"), actor=scene.actor("alice"))
        behind = start_rollout(
            version=second,
            installations=_installations(analytics.account),
            reason="rotation",
            actor=scene.actor("alice"),
        )
        finish(behind.pushes.get(), state="failed", code="host_key_changed")
    Rotation.objects.create(
        number=2,
        account=analytics.account,
        old=analytics,
        new=second,
        state=Rotation.State.CANARY,
        wait=Wait.CANARY_FAILED,
        way=Rotation.Way.BY_HAND,
        wave_rule="environment",
        stop_rule="0",
        requested=scene.now - timedelta(hours=6),
        requested_by_name="alice",
        acts_for=scene.people["alice"],
        acts_for_name="alice",
    )
    with time_machine.travel(scene.now - timedelta(hours=5), tick=False):
        rollout = start_rollout(
            version=version,
            installations=list(by_name.values()),
            reason="repair",
            actor=scene.actor("alice"),
            message="CHG0077",
        )
        for push in rollout.pushes.select_related("installation__instance", "container"):
            code = {
                "mkt-3": "login_refused",
                "mid-1": "timed_out",
                "mid-2": "host_unreachable",
                "rt-1": "busy",
            }.get(push.container.name)
            if code:
                finish(push, state="failed", code=code)
            else:
                finish(push, state="succeeded", digest=_digest(version))
    scene.retried = _retried(scene, rollout.pushes.get(container__name="mid-1"))
    set_policy(account=triggers, interval=365, kind=PolicyKind.OPEN, actor=scene.actor("alice"))
    assert scene.rotation is not None
    assert scene.rotation.ended is not None
    scene.due = scene.rotation.ended + timedelta(days=365)
    sign_head()


def _retried(scene: Scene, push: Push) -> Push:
    """Retry a failed push as the helpdesk did a good hour ago; it succeeded."""
    asked = scene.now - timedelta(minutes=65)
    with time_machine.travel(asked, tick=False):
        retry_pushes(push_ids=[push.pk], actor=scene.actor("henry"), message="INC0815")
    push.refresh_from_db()
    with time_machine.travel(asked + timedelta(seconds=40), tick=False):
        finish(push, state="succeeded", cause="retry", digest=_digest(push.rollout.secret))
    Push.objects.filter(pk=push.pk).update(retried=asked)
    push.refresh_from_db()
    return push
