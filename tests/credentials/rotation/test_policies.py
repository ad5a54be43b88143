"""Policies: when they are due, what they do then, in whose name, and where they stop."""

import threading
from datetime import datetime, timedelta

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from django.utils import timezone
from pytest_django.fixtures import Settings

from credentials.models import ClientSecret, TechnicalAccount
from credentials.rotation import policies, services
from credentials.rotation.due import standing_of
from credentials.rotation.models import Policy, PolicyKind, Rotation
from credentials.rotation.notices import note_wait
from credentials.rotation.policies import act_on_policies, set_policy
from credentials.rotation.services import RotationError
from credentials.rotation.standing import Standing
from credentials.rotation.waits import Wait
from portal.audit.models import AuditEvent
from portal.audit.trail import Actor
from portal.notices.kinds import Batch, Told, kind_of
from portal.notices.models import Note
from portal.sandbox.console_api import Fault
from tests.credentials.rotation.conftest import House, MakeHouse
from tests.factories import make_account, make_rotation

pytestmark = [pytest.mark.django_db, pytest.mark.one_engine]  # what it asks, others ask on both
State, Kind = Rotation.State, PolicyKind
LATE = timedelta(days=100)


def overdue(house: House, kind: PolicyKind, **options: object) -> Policy:
    """Give the account a policy whose interval ended ten days ago."""
    ClientSecret.objects.update(entered=timezone.now() - LATE)
    house.account.refresh_from_db()
    return set_policy(
        account=house.account,
        interval=90,
        kind=kind,
        actor=house.actor,
        **options,  # type: ignore[arg-type]
    )


def told(kind: str) -> list[dict[str, object]]:
    return list(Note.objects.filter(kind=kind).order_by("pk").values_list("details", flat=True))


def at(monkeypatch: pytest.MonkeyPatch, moment: datetime) -> None:
    """Set the clock of the portal's processes."""
    monkeypatch.setattr(timezone, "now", lambda: moment)


def another_admin() -> Actor:
    person = User.objects.create_user("bob")
    person.groups.add(Group.objects.get(name="Admin"))
    return Actor("bob", person)


# --- when ---------------------------------------------------------------------------------------------


@pytest.fixture
def a_policy(actor: Actor) -> Policy:
    """Of an account whose secret is a hundred days old."""
    version = make_account()
    TechnicalAccount.objects.update(goal=version)
    ClientSecret.objects.update(entered=timezone.now() - LATE)
    account = TechnicalAccount.objects.get()
    return set_policy(account=account, interval=90, kind=Kind.REMIND, actor=actor)


def standing() -> Standing:
    found = standing_of(Policy.objects.select_related("account__goal", "set_by").get())
    assert found is not None
    return found


def test_it_is_due_after_its_interval(a_policy: Policy) -> None:
    entered = ClientSecret.objects.get().entered
    assert standing() == Standing(entered + timedelta(days=90), is_due=True)
    Policy.objects.update(interval=101)
    assert not standing().is_due


def test_people_are_reminded_once_and_again_each_week(
    a_policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = timezone.now()
    assert [act_on_policies(), act_on_policies()] == [1, 0]
    at(monkeypatch, now + timedelta(days=6))
    assert act_on_policies() == 0
    at(monkeypatch, now + timedelta(days=7, minutes=1))
    assert [act_on_policies(), act_on_policies()] == [1, 0]
    assert [each["why"] for each in told("rotation.due")] == ["", ""]
    assert not Rotation.objects.exists()


def test_a_clock_that_is_set_back_reminds_nobody_twice(
    a_policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = timezone.now()
    act_on_policies()
    for days in (-1, 1, 0, -20):
        at(monkeypatch, now + timedelta(days=days))
        assert act_on_policies() == 0


def test_an_account_out_of_use_is_left_alone(a_policy: Policy) -> None:
    TechnicalAccount.objects.update(state=TechnicalAccount.State.RETIRED)
    assert act_on_policies() == 0


@pytest.mark.parametrize(("interval", "kind"), [(6, "remind"), (731, "remind"), (90, "run")])
def test_what_cannot_be_kept_is_refused(a_policy: Policy, interval: int, kind: str) -> None:
    """The account has no numbers for Adobe's API."""
    with pytest.raises(RotationError):
        set_policy(account=a_policy.account, interval=interval, kind=kind, actor=Actor("alice"))
    assert Policy.objects.get().kind == Kind.REMIND


def test_nothing_is_rotated_while_a_migration_may_be_open(a_policy: Policy) -> None:
    account = a_policy.account
    account.way = TechnicalAccount.Way.MIGRATION
    account.save()
    with pytest.raises(RotationError, match="JWT"):
        set_policy(account=account, interval=90, kind=Kind.OPEN, actor=Actor("alice"))
    set_policy(account=account, interval=90, kind=Kind.OPEN, actor=Actor("alice"), is_migration_closed=True)
    assert act_on_policies() == 1
    assert Rotation.objects.get().policy == Kind.OPEN


# --- open ---------------------------------------------------------------------------------------------


def test_open_stops_after_the_canary_and_calls_a_person(make_house: MakeHouse) -> None:
    house = make_house(2)
    overdue(house, Kind.OPEN, wave_rule="100%", message="CHG-17")
    assert [act_on_policies(), act_on_policies()] == [1, 0]
    rotation = Rotation.objects.get()
    assert (rotation.acts_for, rotation.message, rotation.wave_rule) == (house.actor.user, "CHG-17", "100%")
    rotation = house.wait(rotation, Wait.CANARY_UNUSED)
    house.campaign_signs_in()
    rotation = house.wait(rotation, Wait.OPENED)
    for _ in range(3):
        house.step()
    assert rotation.waves.count() == 1
    assert [each["wait"] for each in told("rotation.waiting")] == ["opened"]
    bob = another_admin()
    services.go_on(rotation=rotation, actor=bob)
    rotation = house.finish(rotation)
    assert (rotation.state, rotation.acts_for) == (State.DONE, bob.user)
    assert [each["state"] for each in told("rotation.ended")] == ["done"]
    assert act_on_policies() == 0


def test_open_without_the_api_calls_a_person_for_the_secret(make_house: MakeHouse) -> None:
    house = make_house(1, has_api=False)
    overdue(house, Kind.OPEN)
    act_on_policies()
    house.wait(Rotation.objects.get(), Wait.SECRET_NEEDED)
    assert [each["wait"] for each in told("rotation.waiting")] == ["secret_needed"]


# --- run ----------------------------------------------------------------------------------------------


@pytest.mark.database
def test_run_goes_to_the_end_by_itself(make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    house = make_house(2)
    [old] = house.at_adobe()
    overdue(house, Kind.RUN)
    act_on_policies()
    rotation = house.finish(Rotation.objects.get())
    assert rotation.state == State.DONE
    assert old not in house.at_adobe()
    assert not told("rotation.waiting")
    started = AuditEvent.objects.get(action="rotation.started")
    assert (started.actor_name, started.details["policy"]) == ("alice", "run")
    now = timezone.now()
    for days in (0, -1, 1, 89):  # the clock is set back by a day, and on again
        at(monkeypatch, now + timedelta(days=days))
        assert act_on_policies() == 0
    at(monkeypatch, now + timedelta(days=91))
    assert act_on_policies() == 1
    assert Rotation.objects.count() == 2


def test_run_makes_no_room_and_calls_a_person_once(make_house: MakeHouse) -> None:
    house = make_house(1)
    house.console.faults_of["POST"].append(Fault.LOST)
    overdue(house, Kind.RUN)
    act_on_policies()
    rotation = house.wait(Rotation.objects.get(), Wait.ORPHAN)
    for _ in range(3):
        services.ask_again(rotation=rotation, actor=house.actor)
        house.step()
    assert [deed.what for deed in house.console.deeds] == ["created"]
    assert house.now(rotation).wait == Wait.ORPHAN
    assert [each["wait"] for each in told("rotation.waiting")] == ["orphan"]


def test_what_was_taken_back_is_not_started_again(
    make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = make_house(1)
    policy = overdue(house, Kind.RUN)
    act_on_policies()
    rotation = house.wait(Rotation.objects.get(), Wait.CANARY_UNUSED)
    services.take_back(rotation=rotation, message="not now", actor=house.actor)
    house.run(rotation)
    assert [act_on_policies(), act_on_policies()] == [1, 0]
    assert [each["why"] for each in told("rotation.due")] == ["tried"]
    now = timezone.now()
    at(monkeypatch, now - timedelta(days=1))
    assert act_on_policies() == 0
    monkeypatch.undo()
    assert Rotation.objects.count() == 1
    set_policy(account=policy.account, interval=90, kind=Kind.OPEN, actor=house.actor)
    assert act_on_policies() == 1
    assert Rotation.objects.count() == 2


def test_numbers_that_are_gone_stop_it(make_house: MakeHouse) -> None:
    house = make_house(1)
    overdue(house, Kind.RUN)
    services.set_numbers(account=house.account, organization="", credential="", actor=house.actor)
    assert act_on_policies() == 1
    assert [each["why"] for each in told("rotation.due")] == ["no_numbers"]
    assert not Rotation.objects.exists()


@pytest.mark.slow
def test_a_policy_that_changes_lets_its_rotation_go_on(make_house: MakeHouse) -> None:
    house = make_house(2)
    overdue(house, Kind.RUN)
    act_on_policies()
    rotation = house.wait(Rotation.objects.get(), Wait.CANARY_UNUSED)
    set_policy(account=house.account, interval=30, kind=Kind.REMIND, actor=another_admin())
    rotation = house.finish(rotation)
    assert (rotation.state, rotation.acts_for_name) == (State.DONE, "alice")
    assert act_on_policies() == 0


# --- in whose name ------------------------------------------------------------------------------------


def dismiss(person: User) -> None:
    User.objects.filter(pk=person.pk).update(is_active=False)


def demote(person: User) -> None:
    person.groups.set([Group.objects.get(name="Helpdesk")])


@pytest.mark.parametrize("leaves", [dismiss, demote])
def test_nothing_is_started_in_the_name_of_somebody_who_left(make_house: MakeHouse, leaves: object) -> None:
    house = make_house(1)
    overdue(house, Kind.RUN)
    leaves(house.actor.user)  # type: ignore[operator]
    assert [act_on_policies(), act_on_policies()] == [1, 0]
    assert [each["why"] for each in told("rotation.due")] == ["nobody"]
    assert not Rotation.objects.exists()


@pytest.mark.parametrize("leaves", [dismiss, demote])
def test_no_wave_is_started_in_the_name_of_somebody_who_left(make_house: MakeHouse, leaves: object) -> None:
    """Between the opening of the rotation and its first wave."""
    house = make_house(2)
    overdue(house, Kind.RUN)
    act_on_policies()
    rotation = house.wait(Rotation.objects.get(), Wait.CANARY_UNUSED)
    leaves(house.actor.user)  # type: ignore[operator]
    seen = AuditEvent.objects.order_by("-seq").values_list("seq", flat=True)[0]
    house.campaign_signs_in()
    rotation = house.wait(rotation, Wait.NOBODY)
    for _ in range(3):
        house.step()
    assert rotation.waves.count() == 1
    assert rotation.params == {"who": "alice"}
    assert not AuditEvent.objects.filter(seq__gt=seen, actor_name="alice").exists()
    assert [each["wait"] for each in told("rotation.waiting")] == ["nobody"]
    services.go_on(rotation=rotation, actor=another_admin())
    rotation = house.finish(rotation)
    assert (rotation.state, rotation.acts_for_name) == (State.DONE, "bob")


def test_what_is_queued_is_called_off_when_its_owner_leaves(make_house: MakeHouse) -> None:
    house = make_house(3)
    overdue(house, Kind.RUN, wave_rule="100%")
    act_on_policies()
    rotation = house.wait(Rotation.objects.get(), Wait.CANARY_UNUSED)
    house.campaign_signs_in()
    house.wait_without_visits(rotation, Wait.PUSHING)
    assert house.actor.user
    dismiss(house.actor.user)
    house.wait_without_visits(rotation, Wait.NOBODY)
    assert [push.state for push in house.pushes()].count("cancelled") == 2
    cancelled = AuditEvent.objects.filter(action="rollout.cancelled")
    assert set(cancelled.values_list("actor_name", flat=True)) == {"portal"}


@pytest.mark.slow
def test_somebody_goes_on_before_there_is_a_new_secret(make_house: MakeHouse) -> None:
    house = make_house(1)
    overdue(house, Kind.RUN)
    act_on_policies()
    assert house.actor.user
    dismiss(house.actor.user)
    rotation = house.wait(Rotation.objects.get(), Wait.NOBODY)
    assert rotation.state == State.PREPARING
    assert len(house.at_adobe()) == 1
    services.go_on(rotation=rotation, actor=another_admin())
    assert house.finish(rotation).state == State.DONE


def test_a_deletion_that_has_begun_is_brought_to_its_end(make_house: MakeHouse, settings: Settings) -> None:
    house = make_house(1)
    settings.ROTATION_IDLE = 0
    overdue(house, Kind.RUN)
    act_on_policies()
    house.console.faults_of["DELETE"].extend([Fault.FAILS] * 2)

    def is_begun(row: Rotation) -> bool:
        if row.wait == Wait.CANARY_UNUSED:
            house.campaign_signs_in()
        return row.old.state == ClientSecret.State.DELETING

    rotation = house.run(Rotation.objects.get(), until=is_begun)
    assert house.actor.user
    dismiss(house.actor.user)
    assert house.finish(rotation).state == State.DONE


def test_a_rotation_that_a_person_started_needs_no_policy(make_house: MakeHouse) -> None:
    house = make_house(1)
    rotation = house.wait(house.begin(), Wait.CANARY_UNUSED)
    assert house.actor.user
    dismiss(house.actor.user)
    assert house.finish(rotation).state == State.DONE


# --- two schedulers -----------------------------------------------------------------------------------


def test_a_scheduler_that_comes_late_starts_nothing(make_house: MakeHouse) -> None:
    """It has seen that the policy is due, and acts when the other's rotation is there, or over."""
    house = make_house(1)
    policy = overdue(house, Kind.RUN)
    assert policies._act(policy.pk)  # what each scheduler does
    assert not policies._act(policy.pk)
    rotation = house.wait(Rotation.objects.get(), Wait.CANARY_UNUSED)
    services.take_back(rotation=rotation, message="not now", actor=house.actor)
    house.run(rotation)
    policies._act(policy.pk)
    assert Rotation.objects.count() == 1


# --- notices ------------------------------------------------------------------------------------------


def test_each_wait_is_told_once_until_something_moves() -> None:
    rotation = make_rotation()
    rotation.state, former = State.VERIFYING, Wait.PUSHING
    waits = [Wait.NOT_VERIFIED, Wait.READING, Wait.NOT_VERIFIED, Wait.ADOBE_LATER, Wait.NOT_VERIFIED]
    for wait in [*waits, Wait.PUSHING, Wait.NOT_VERIFIED, Wait.NOT_VERIFIED, Wait.ADOBE_REFUSED]:
        rotation.wait = wait
        note_wait(rotation, former)
        former = wait
    expected = ["not_verified", "not_verified", "adobe_refused"]
    assert [each["wait"] for each in told("rotation.waiting")] == expected


def test_a_pause_by_a_person_is_no_news(make_house: MakeHouse) -> None:
    house = make_house(2)
    rotation = house.wait(house.begin(), Wait.CANARY_UNUSED)
    services.pause(rotation=rotation, actor=house.actor)
    house.step()
    assert house.now(rotation).wait == Wait.PAUSED
    assert not told("rotation.waiting")


def test_a_person_who_is_faster_than_the_scheduler(a_policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look at the policy and the start, somebody starts a rotation."""
    Policy.objects.update(kind=Kind.OPEN)
    judged = standing_of

    def looks_early(policy: Policy) -> Standing | None:
        found = judged(policy)
        if not Rotation.objects.exists():
            services.start(account=policy.account, actor=Actor("bob"))
        return found

    monkeypatch.setattr(policies, "standing_of", looks_early)
    assert policies._act(a_policy.pk) is False  # what each scheduler does
    assert (Rotation.objects.get().acts_for_name, told("rotation.due")) == ("bob", [])


# --- words --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "details", "subject"),
    [
        (
            "rotation.due",
            {"due": "2026-03-01T12:00:00+00:00", "policy": "remind", "why": ""},
            "The secret of Triggers has been due for rotation since 2026-03-01",
        ),
        (
            "rotation.waiting",
            {"rotation": 7, "wait": "opened", "params": {"installation": "prod1 on web1"}},
            "Rotation #7 of Triggers waits for a person: Opened by its policy, stopped after the canary",
        ),
        (
            "rotation.ended",
            {"rotation": 7, "state": "done", "old": 1, "new": 2},
            "Rotation #7 of Triggers: version 1 is deleted, version 2 is in use",
        ),
        (
            "rotation.ended",
            {"rotation": 7, "state": "taken_back", "old": 1, "new": None},
            "Rotation #7 of Triggers: taken back to version 1",
        ),
    ],
)
def test_the_words_of_notices(kind: str, details: dict[str, object], subject: str) -> None:
    words = kind_of(kind).words(Batch(1, [Told("Triggers", details)]))
    assert words.subject == subject
    several = kind_of(kind).words(Batch(3, [Told("Triggers", details)] * 3))
    assert several.subject.startswith("3 ")
    assert kind_of(kind).words(Batch(1, [Told("Triggers", {})])).subject  # of another release


@pytest.mark.django_db(transaction=True)
def test_schedulers_that_act_at_once_start_one_rotation(roles: None, settings: Settings) -> None:
    rotation = make_rotation()
    Rotation.objects.all().delete()
    TechnicalAccount.objects.update(is_rotating=False)
    ClientSecret.objects.update(entered=timezone.now() - LATE)
    account = TechnicalAccount.objects.get(pk=rotation.account_id)
    set_policy(account=account, interval=90, kind=Kind.OPEN, actor=Actor("root (command line)"))
    together = threading.Barrier(4)
    done: list[object] = []

    def act() -> None:
        try:
            together.wait(timeout=30)
            done.append(act_on_policies())
        finally:
            connection.close()

    threads = [threading.Thread(target=act) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(timeout=60)
    assert (len(done), done.count(1), Rotation.objects.count()) == (4, 1, 1)
