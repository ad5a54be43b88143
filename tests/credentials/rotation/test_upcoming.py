"""The list of rotations: which come next and when they wait for a person, and those of a quarter."""

import json
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from credentials.models import ClientSecret, TechnicalAccount
from credentials.rotation.due import standing_of, upcoming
from credentials.rotation.models import Policy, PolicyKind, Rotation
from credentials.rotation.policies import set_policy
from credentials.rotation.waits import Wait
from portal.audit.trail import Actor
from portal.presets import quarter
from tests.factories import finish_all, make_channel, make_rollout, make_rotation

pytestmark = pytest.mark.django_db


def in_use(name: str, *, entered: int, actor: Actor, kind: str, interval: int = 90) -> Policy:
    """An account with a policy, whose secret was entered some days ago."""
    finish_all(make_rollout(account=name, instance=f"i-{name}", containers=[name]), state="succeeded")
    account = TechnicalAccount.objects.get(name=name)
    moment = timezone.now() - timedelta(days=entered)
    ClientSecret.objects.filter(account=account).update(entered=moment)
    return set_policy(account=account, interval=interval, kind=kind, actor=actor)


def left() -> Actor:
    """Somebody who may not rotate secrets any more."""
    return Actor("bob", User.objects.create_user("bob"))


def ended(policy: Policy, days: int, *, number: int = 1, requested: int | None = None) -> Rotation:
    """A rotation that brought the secret in use, and ended some days ago."""
    goal = ClientSecret.objects.get(account=policy.account)
    now = timezone.now()
    return Rotation.objects.create(
        number=number,
        account=policy.account,
        old=goal,
        new=goal,
        state=Rotation.State.DONE,
        wait=Wait.ENDED,
        way=Rotation.Way.BY_HAND,
        wave_rule="environment",
        stop_rule="0",
        requested=now - timedelta(days=days if requested is None else requested),
        requested_by_name="alice",
        acts_for_name="alice",
        ended=now - timedelta(days=days),
    )


def test_what_comes_next_is_what_each_policy_says(actor: Actor) -> None:
    made = [
        in_use("late", entered=100, actor=actor, kind=PolicyKind.REMIND),
        in_use("soon", entered=80, actor=actor, kind=PolicyKind.OPEN),
        in_use("rotated", entered=95, actor=actor, kind=PolicyKind.OPEN),
        in_use("nobody", entered=70, actor=left(), kind=PolicyKind.OPEN),
    ]
    ended(made[2], 20)
    found = upcoming()
    assert [each.policy.account.name for each in found] == ["late", "soon", "nobody", "rotated"]
    fresh = {row.pk: row for row in Policy.objects.select_related("account__goal", "set_by")}
    assert [each.standing for each in found] == [standing_of(fresh[each.policy.pk]) for each in found]
    assert [each.is_started_by_person for each in found] == [True, False, True, False]


def test_what_is_being_replaced_or_out_of_use_does_not_come_next(actor: Actor) -> None:
    rotation = make_rotation(account="open")
    set_policy(account=rotation.account, interval=90, kind=PolicyKind.REMIND, actor=actor)
    retired = in_use("retired", entered=1, actor=actor, kind=PolicyKind.REMIND)
    TechnicalAccount.objects.filter(pk=retired.account_id).update(state="retired")
    unused = in_use("unused", entered=1, actor=actor, kind=PolicyKind.REMIND)
    TechnicalAccount.objects.filter(pk=unused.account_id).update(goal=None)
    assert upcoming() == []


def test_the_list_says_when_and_for_what_and_costs_the_same_for_many(
    as_auditor: Client, actor: Actor
) -> None:
    in_use("open", entered=10, actor=actor, kind=PolicyKind.OPEN)

    def page() -> str:
        return as_auditor.get("/rotations/").content.decode()

    def count() -> int:
        with CaptureQueriesContext(connection) as found:
            page()
        return len(found)

    page()
    few = count()
    in_use("remind", entered=200, actor=actor, kind=PolicyKind.REMIND)
    in_use("left", entered=20, actor=left(), kind=PolicyKind.OPEN)
    assert count() == few
    text = page()
    assert "After its canary: the portal starts it" in text
    assert "and an admin continues it" in text
    assert "When it is due: an admin starts it." in text
    assert "Nobody is reminded" in text
    assert "Another admin must set it again" in text
    assert text.count("overdue") == 1


def test_the_list_says_to_its_reader_who_starts_and_whether_anybody_is_told(
    as_admin: Client, actor: Actor
) -> None:
    in_use("remind", entered=10, actor=actor, kind=PolicyKind.REMIND)
    in_use("open", entered=10, actor=actor, kind=PolicyKind.OPEN)
    make_channel(way="webhook", address="https://chat.example.com/hook")
    text = as_admin.get("/rotations/").content.decode()
    assert "When it is due: you start it." in text
    assert "and you continue it" in text
    assert "The portal sends a reminder." in text


def numbers(client: Client, query: str) -> list[int]:
    return [each.number for each in client.get(f"/rotations/{query}").context["page_obj"]]


def test_rotations_of_a_time_are_those_that_were_under_way_then(as_auditor: Client, actor: Actor) -> None:
    policy = in_use("a", entered=1, actor=actor, kind=PolicyKind.REMIND)
    ended(policy, 30, number=1, requested=50)
    ended(policy, 10, number=2, requested=20)
    Rotation.objects.filter(number=2).update(ended=None, state=Rotation.State.CANARY)
    today = timezone.localdate()

    def days(first: int, last: int) -> str:
        since, until = (today - timedelta(days=days) for days in (first, last))
        return f"?since={since}&until={until}"

    assert numbers(as_auditor, days(60, 51)) == []
    assert (
        "No rotation was under way in these days"
        in as_auditor.get(f"/rotations/{days(60, 51)}").content.decode()
    )
    assert numbers(as_auditor, days(60, 50)) == [1]
    assert numbers(as_auditor, days(40, 35)) == [1]
    assert numbers(as_auditor, days(30, 21)) == [1]
    assert numbers(as_auditor, days(29, 20)) == [2]
    assert numbers(as_auditor, days(5, 0)) == [2]
    assert numbers(as_auditor, "?since=nonsense") == [2, 1]
    answer = as_auditor.post(f"/exports/rotations/{days(29, 20)}", {"format": "json"})
    assert [row["rotation"] for row in json.loads(answer.getvalue())["rows"]] == [2]
    assert as_auditor.post("/exports/rotations/?since=nonsense").status_code == 400


def test_the_quarters_are_one_click_away(as_auditor: Client) -> None:
    make_rotation()
    first, last = quarter(timezone.localdate())
    offered = as_auditor.get("/rotations/").context["presets"]
    assert offered[0].url == f"?since={first}&until={last}"
    assert offered[1].url.endswith(f"&until={first - timedelta(days=1)}")
    text = as_auditor.get("/rotations/?since=2020-01-01").content.decode()
    assert 'id="upcoming"' not in text
