"""The rule book says the same of rows in memory and of rows in the database, whatever a fleet looks like."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from credentials.models import Assignment, ClientSecret, DesiredVersion, TechnicalAccount
from credentials.rollouts import rules
from credentials.rollouts.models import Push, Rollout
from credentials.rollouts.services import obstacles
from instances.models import TARGET, Container, ExpectedHostKey, HostKey, Installation, Instance
from instances.requirements import Requirement, all_met, obstacle

pytestmark = pytest.mark.django_db

RULES = dict.fromkeys([*rules.SENDING, *rules.STARTING, *rules.RETRYING])
KEYS = ("none", "expected", *HostKey.State.values)


@dataclass(frozen=True)
class Facts:
    """All that the rules ask about one push."""

    deployment: str
    is_on: bool
    version: str
    account: str
    assigned: str
    replaced: bool
    desired: str
    state: str
    key: str
    retired: str = "no"
    """What is: the installation, its instance or its container."""
    by_hand: bool = False
    code: str = "timed_out"
    is_key_newer: bool = False
    """Whether the key was seen after the push had failed."""


facts = st.builds(
    Facts,
    deployment=st.sampled_from(Instance.Deployment.values),
    is_on=st.booleans(),
    version=st.sampled_from(ClientSecret.State.values),
    account=st.sampled_from(TechnicalAccount.State.values),
    assigned=st.sampled_from(["no", "own", "other"]),
    replaced=st.booleans(),
    desired=st.sampled_from(["no", "this", "another"]),
    state=st.sampled_from(Push.State.values),
    key=st.sampled_from(KEYS),
    retired=st.sampled_from(["no", "no", "installation", "instance", "container"]),
    by_hand=st.booleans(),
    code=st.sampled_from(["timed_out", "host_key_changed"]),
    is_key_newer=st.booleans(),
)
allowed = Facts("on-premise", True, "usable", "active", "own", False, "this", "failed", "approved")
fleets = st.lists(st.one_of(facts, st.just(allowed)), min_size=1, max_size=8)


def make_push(each: Facts) -> Push:
    name = uuid.uuid4().hex
    container = Container.objects.create(
        name=name, address=f"{name}.example.com", is_enabled=each.is_on, is_by_hand=each.by_hand
    )
    instance = Instance.objects.create(name=name[:20], deployment=each.deployment)
    installation = Installation.objects.create(instance=instance, container=container)
    if each.retired != "no":
        row = {"installation": installation, "instance": instance, "container": container}[each.retired]
        row.retired, row.retired_reason = timezone.now(), "gone"
        row.save()
    account, other = (
        TechnicalAccount.objects.create(name=f"{kind}{name}", client_id=f"{kind}{name}", state=each.account)
        for kind in ("own", "other")
    )
    if each.assigned != "no":
        user = account if each.assigned == "own" else other
        Assignment.objects.create(instance=instance, account=user, assigned_by="somebody")
    if each.key == "expected":
        ExpectedHostKey.objects.create(container=container, fingerprint="SHA256:x", given_by="somebody")
    elif each.key != "none":
        HostKey.objects.create(container=container, type="x", base64="x", fingerprint=name, state=each.key)
    version = ClientSecret.objects.create(
        account=account,
        version=1,
        client_id=account.client_id,
        fingerprint="x",
        state=each.version,
        slot=1 if each.version in ("usable", "deleting") else None,
    )
    number = Rollout.objects.count() + 1
    rollout = Rollout.objects.create(number=number, fence=number, secret=version, reason="new")
    push = Push.objects.create(
        rollout=rollout,
        installation=installation,
        container=container,
        state=each.state,
        code=each.code,
        replaced=each.replaced,
        finished=timezone.now() + timedelta(days=-1 if each.is_key_newer else 1),
    )
    if each.desired != "no":
        desired = push.pk if each.desired == "this" else uuid.uuid4()
        DesiredVersion.objects.create(installation=installation, version=version, push=desired, why="rollout")
    return push


def loaded(pushes: Sequence[Push]) -> list[Push]:
    """The pushes as they come from the database, with what is noted for a list of them."""
    found = list(Push.objects.filter(pk__in=[each.pk for each in pushes]))
    obstacles(found)
    return found


def met(requirements: Sequence[Requirement]) -> set[uuid.UUID]:
    return set(Push.objects.filter(all_met(requirements)).values_list("pk", flat=True))


@given(fleets)
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_memory_and_database_never_disagree(fleet: list[Facts]) -> None:
    with transaction.atomic():
        pushes = loaded([make_push(each) for each in fleet])
        for requirement in RULES:
            assert {each.pk for each in pushes if requirement.is_met_by(each)} == met([requirement])
        for book in (rules.SENDING, rules.STARTING, rules.RETRYING):
            assert {each.pk for each in pushes if not obstacle(each, book)} == met(book)
        wanted = set(Push.objects.wanted().values_list("pk", flat=True))
        assert {each.pk for each in pushes if each.is_wanted} == wanted
        targets = set(Installation.objects.pushable().values_list("pk", flat=True))
        installations = [each.installation for each in pushes]
        assert {each.pk for each in installations if not obstacle(each, TARGET)} == targets
        transaction.set_rollback(True)


def test_what_is_allowed_in_every_way_meets_every_rule() -> None:
    [push] = loaded([make_push(allowed)])
    assert [each.code for each in RULES if not each.is_met_by(push)] == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"deployment": "hosted"}, "hosted"),
        ({"is_on": False}, "container_off"),
        ({"by_hand": True}, "container_by_hand"),
        ({"by_hand": True, "is_on": False}, "container_by_hand"),
        ({"version": "abandoned"}, "version_not_usable"),
        ({"desired": "no"}, "not_desired"),
        ({"desired": "another"}, "not_desired"),
        ({"retired": "installation"}, "retired"),
        ({"retired": "instance"}, "instance_retired"),
        ({"retired": "container"}, "container_retired"),
        ({"account": "retired"}, "account_not_active"),
        ({"assigned": "other"}, "not_assigned"),
        ({"assigned": "no"}, "not_assigned"),
        ({"replaced": True}, "replaced"),
        ({"state": "cancelled"}, "called_off"),
        ({"state": "succeeded"}, "not_failed"),
        ({"key": "offered"}, "no_host_key"),
        ({"code": "host_key_changed"}, "host_key_undecided"),
        ({"code": "host_key_changed", "is_key_newer": True}, ""),
    ],
)
def test_each_rule_has_a_code(change: dict[str, object], code: str) -> None:
    [push] = loaded([make_push(Facts(**{**vars(allowed), **change}))])
    assert obstacle(push, rules.RETRYING) == code
