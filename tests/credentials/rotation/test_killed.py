"""A worker that is killed at any point of a rotation costs its lease and nothing else."""

import threading
import uuid
from collections.abc import Callable

import pytest
from django.db.models.functions import Now

from credentials.rotation import engine, services, steps
from credentials.rotation.actions import Action, Checking, Creating, Deleting, Listing
from credentials.rotation.models import ConsoleCall, Rotation, lease
from credentials.rotation.outcomes import Waits
from credentials.rotation.waits import Wait
from portal.audit.chain.verification import verify
from tests.credentials.rotation.conftest import House, MakeHouse

pytestmark = [pytest.mark.django_db, pytest.mark.one_engine]
State = Rotation.State
ACTIONS = (Listing, Creating, Checking, Deleting)
CALLS = {
    ("preparing", "Listing"),
    ("preparing", "Creating"),
    ("checking", "Checking"),
    ("canary", "Listing"),
    ("deleting", "Deleting"),
    ("deleting", "Listing"),
}
"""What a rotation asks Adobe in its states, whatever else comes to it."""


class Killed(BaseException):
    """What SIGKILL is to a worker: nothing catches it, and nothing is tidied up."""


class Killer:
    """Kills the worker once at each point that it is asked about."""

    def __init__(self) -> None:
        self.killed: set[tuple[str, str]] = set()

    def kill_once(self, *point: str) -> None:
        if point not in self.killed:
            self.killed.add(point)  # type: ignore[arg-type]
            raise Killed


def work(house: House) -> None:
    """Take steps as a worker does that may be killed: then its lease runs out, and another one comes."""
    Rotation.objects.open().update(due=Now())
    try:
        engine.work(threading.Event())
    except Killed:
        assert Rotation.objects.open().exclude(lease_token=None).exists()  # nobody else takes it before
        engine.work(threading.Event())
        Rotation.objects.open().update(lease_expires=Now() - lease())


@pytest.fixture
def killer(monkeypatch: pytest.MonkeyPatch) -> Killer:
    monkeypatch.setattr(engine, "_advance_and_let_go", engine.advance)  # a killed process runs no `finally`
    monkeypatch.setattr(House, "take_steps", work)
    return Killer()


def finish(house: House, rotation: Rotation) -> Rotation:
    def is_over(row: Rotation) -> bool:
        if row.wait == Wait.ORPHAN and row.state != State.MAKING_ROOM:
            services.make_room(rotation=row, message="nobody has it", actor=house.actor)
        if row.wait == Wait.CANARY_UNUSED:
            house.campaign_signs_in()
        return row.ended is not None

    return house.run(rotation, until=is_over)


def judge(house: House, rotation: Rotation) -> None:
    """Done, with one secret that everybody holds, and every call that changed something accounted for."""
    assert rotation.state == State.DONE
    [only] = house.at_adobe()
    assert set(house.plaintexts()) == {only}
    assert not ConsoleCall.objects.filter(ended=None).exists()
    assert rotation.account.secrets.exclude(slot=None).count() == 1
    assert not verify().findings


@pytest.mark.parametrize("where", [pytest.param("before", marks=pytest.mark.slow), "after"])
def test_it_is_killed_before_or_after_each_call_to_adobe_in_each_state(
    make_house: MakeHouse, killer: Killer, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    for kind in ACTIONS:
        monkeypatch.setattr(kind, "run", _killed(kind, killer, where))
    house = make_house(2)
    judge(house, finish(house, house.begin()))
    assert killer.killed >= CALLS


def _killed(kind: type[Action], killer: Killer, where: str) -> Callable[[Action], None]:
    run = kind.run

    def killed(self: Action) -> None:
        state = str(Rotation.objects.open().get().state)
        if where == "before":
            killer.kill_once(state, kind.__name__)
        run(self)
        if where == "after":
            killer.kill_once(state, kind.__name__)

    return killed


@pytest.mark.database
def test_it_is_killed_in_the_middle_of_every_step(
    make_house: MakeHouse, killer: Killer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After all that a step did in the database, and before its commit: then nothing of it was done."""
    for state, step in list(steps.STEPS.items()):
        monkeypatch.setitem(steps.STEPS, state, _killed_step(state, step, killer))
    house = make_house(2)
    judge(house, finish(house, house.begin()))
    reached = {state for state, _what in killer.killed}
    assert reached >= set(State.values) - {"making_room", "taking_back", "done", "taken_back"}


def _killed_step(
    state: str, step: Callable[[Rotation], object], killer: Killer
) -> Callable[[Rotation], object]:
    def killed(rotation: Rotation) -> object:
        outcome = step(rotation)
        what = str(outcome.wait) if isinstance(outcome, Waits) else type(outcome).__name__
        killer.kill_once(state, what)
        return outcome

    return killed


@pytest.mark.database
def test_it_is_killed_after_every_commit(
    make_house: MakeHouse, killer: Killer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a step committed stays, and the next worker goes on from there."""
    held = engine._held

    def killed(pk: object, token: object) -> Rotation:
        rotation = held(pk, token)  # type: ignore[arg-type]
        killer.kill_once(rotation.state, "begun")
        return rotation

    monkeypatch.setattr(engine, "_held", killed)
    house = make_house(2)
    judge(house, finish(house, house.begin()))
    reached = {state for state, _what in killer.killed}
    assert reached >= set(State.values) - {"making_room", "taking_back", "done", "taken_back"}


@pytest.mark.slow
def test_a_way_back_is_killed_as_well(
    make_house: MakeHouse, killer: Killer, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = make_house(2)
    [old] = house.at_adobe()
    rotation = house.wait(house.begin(), Wait.CANARY_UNUSED)
    for kind in ACTIONS:
        monkeypatch.setattr(kind, "run", _killed(kind, killer, "after"))
    for state, step in list(steps.STEPS.items()):
        monkeypatch.setitem(steps.STEPS, state, _killed_step(state, step, killer))
    services.take_back(rotation=rotation, message="not today", actor=house.actor)
    rotation = house.run(rotation)
    assert rotation.state == State.TAKEN_BACK
    assert house.plaintexts() == [old, old]
    assert len(killer.killed) >= 2


def test_two_workers_never_take_the_same_step(make_house: MakeHouse) -> None:
    """The second one finds the rotation taken, and one whose lease was taken over stores nothing."""
    house = make_house(1)
    rotation = house.begin()
    first, second = uuid.uuid4(), uuid.uuid4()
    assert Rotation.objects.claim(rotation.pk, first)
    assert not Rotation.objects.claim(rotation.pk, second)
    Rotation.objects.filter(pk=rotation.pk).update(lease_expires=Now() - lease())
    assert Rotation.objects.claim(rotation.pk, second)
    with pytest.raises(engine.LeaseLost):
        engine.advance(rotation.pk, first)
    assert house.console.calls == []


def test_a_lease_from_before_the_clock_was_set_back_is_no_lease(make_house: MakeHouse) -> None:
    house = make_house(1)
    rotation = house.begin()
    far = {"lease_token": uuid.uuid4(), "lease_expires": Now() + lease() * 50}
    later = {"due": Now() + lease() * 50, "put_off": Now() + lease() * 40}
    Rotation.objects.filter(pk=rotation.pk).update(**far, **later)
    engine.work(threading.Event())
    assert Rotation.objects.get(pk=rotation.pk).tried is not None
