"""Rotations that wait for a maintenance window, over real SSH."""

import pytest

from credentials.rollouts.models import Push
from credentials.rollouts.services import cancel_rollout, retry_pushes
from credentials.rotation import services, windows
from credentials.rotation.maintenance import remove_window, save_window
from credentials.rotation.models import Rotation
from credentials.rotation.waits import Wait
from portal.audit.models import AuditEvent
from tests.credentials.rotation.conftest import House, MakeHouse, close_windows, open_window

pytestmark = [pytest.mark.django_db, pytest.mark.one_engine]  # what it asks, others ask on both
State = Rotation.State


def states(rotation: Rotation) -> list[str]:
    found = Push.objects.filter(rollout__wave__rotation=rotation)
    return list(found.order_by("rollout__number", "container__name").values_list("state", flat=True))


def past_the_canary(house: House, **options: object) -> Rotation:
    """Begin a rotation, and let its canary use the new secret."""
    rotation = house.wait(house.begin(**options), Wait.CANARY_UNUSED)
    house.campaign_signs_in()
    return rotation


def test_a_wave_waits_for_its_window_and_says_until_when(make_house: MakeHouse) -> None:
    house = make_house(2, environments=("production", "development"))
    row = close_windows("production")
    rotation = house.wait(past_the_canary(house), Wait.WINDOW)
    opens = windows.opens([row.window], rotation.requested)
    assert opens
    assert rotation.params == {"environment": "production", "until": opens.isoformat()}
    [old, _new] = house.at_adobe()
    house.step()
    assert house.plaintexts()[0] == old
    open_window(row)
    assert house.finish(rotation).state == State.DONE


def test_the_canary_waits_as_well(make_house: MakeHouse) -> None:
    house = make_house(1)
    row = close_windows()
    rotation = house.wait(house.begin(), Wait.WINDOW)
    assert (rotation.state, states(rotation)) == (State.CANARY, [])
    open_window(row)
    assert house.finish(rotation).state == State.DONE


def test_what_is_queued_when_a_window_closes_is_pushed_in_the_next(make_house: MakeHouse) -> None:
    house = make_house(3)
    rotation = past_the_canary(house, wave_rule="100%")
    house.wait_without_visits(rotation, Wait.PUSHING)
    row = close_windows()
    house.take_steps()
    assert states(rotation) == ["succeeded", "cancelled", "cancelled"]
    house.wait_without_visits(rotation, Wait.WINDOW)
    house.step()
    assert (house.now(rotation).hold, house.now(rotation).wait) == ("", Wait.WINDOW)
    assert len(set(house.plaintexts())) == 2
    event = AuditEvent.objects.get(action="rotation.put_off")
    assert (event.actor_name, len(event.details["rollouts"])) == ("portal", 1)
    open_window(row)
    assert house.finish(rotation).state == State.DONE
    assert states(rotation)[3:] == ["succeeded", "succeeded"]


def test_a_canary_that_is_queued_is_put_off_too(make_house: MakeHouse) -> None:
    house = make_house(1)
    rotation = house.begin()
    house.wait_without_visits(rotation, Wait.PUSHING)
    row = close_windows()
    house.wait_without_visits(rotation, Wait.WINDOW)
    assert states(rotation) == ["cancelled"]
    open_window(row)
    assert house.finish(rotation).state == State.DONE


def test_other_environments_of_the_wave_go_on(make_house: MakeHouse) -> None:
    house = make_house(3, environments=("development", "development", "production"))
    rotation = past_the_canary(house, wave_rule="100%")
    house.wait_without_visits(rotation, Wait.PUSHING)
    row = close_windows("production")
    rotation = house.wait(rotation, Wait.WINDOW)
    assert len(set(house.plaintexts()[:2])) == 1
    assert house.plaintexts()[2] not in house.plaintexts()[:2]
    open_window(row)
    assert house.finish(rotation).state == State.DONE


def test_a_rollout_that_somebody_cancels_in_the_window_is_still_a_pause(make_house: MakeHouse) -> None:
    house = make_house(3)
    rotation = past_the_canary(house, wave_rule="100%")
    house.wait_without_visits(rotation, Wait.PUSHING)
    row = close_windows()
    house.wait_without_visits(rotation, Wait.WINDOW)
    open_window(row)
    house.wait_without_visits(rotation, Wait.PUSHING)
    cancel_rollout(rollout=rotation.waves.last().rollout, actor=house.actor)  # type: ignore[union-attr]
    assert house.wait(rotation, Wait.PAUSED).waves.count() == 3


def test_what_a_person_retried_is_not_put_off(make_house: MakeHouse) -> None:
    house = make_house(2)
    house.sites[0].container.set_faults("touches")
    rotation = house.wait(house.begin(canary=house.sites[0].installation), Wait.CANARY_FAILED)
    house.sites[0].container.set_faults()
    close_windows()
    retry_pushes(push_ids=[house.pushes()[-1].pk], actor=house.actor)
    house.take_steps()
    assert states(rotation) == ["queued"]
    assert not AuditEvent.objects.filter(action="rotation.put_off").exists()


def test_in_leak_mode_windows_do_not_count(make_house: MakeHouse) -> None:
    house = make_house(2)
    close_windows()
    assert house.finish(house.begin(is_leak=True)).state == State.DONE


def test_the_way_back_waits_for_no_window(make_house: MakeHouse) -> None:
    house = make_house(2)
    rotation = past_the_canary(house)
    [old, _new] = house.at_adobe()
    close_windows()
    services.take_back(rotation=rotation, message="it does not work", actor=house.actor)
    assert house.run(rotation).state == State.TAKEN_BACK
    assert house.plaintexts() == [old, old]


def test_a_window_that_is_removed_is_waited_for_no_more(make_house: MakeHouse) -> None:
    house = make_house(1)
    row = close_windows()
    rotation = house.wait(house.begin(), Wait.WINDOW)
    before = house.now(rotation).due
    remove_window(row, actor=house.actor)
    assert house.now(rotation).due < before
    remove_window(row, actor=house.actor)  # pressed twice
    assert AuditEvent.objects.filter(action="maintenance_window.removed").count() == 1
    assert house.finish(rotation).state == State.DONE


def test_a_window_whose_zone_is_gone_never_opens_and_says_so(make_house: MakeHouse) -> None:
    house = make_house(1)
    row = close_windows()
    row.zone = "Mars/Olympus"
    save_window(row, actor=house.actor)
    rotation = house.wait(house.begin(), Wait.WINDOW)
    assert rotation.params["until"] is None
