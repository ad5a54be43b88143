"""A rotation from its first step to its end, over real SSH, with Adobe's stand-ins at the other end."""

from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django.fixtures import Settings

from credentials.coverage.cells import Wanted, cells_now
from credentials.desired import set_goal
from credentials.models import ClientSecret, TechnicalAccount
from credentials.rollouts.services import cancel_rollout, retry_pushes
from credentials.rollouts.starting import repair
from credentials.rollouts.versions import enter, make_goal
from credentials.rotation import services
from credentials.rotation.models import Rotation, Wave
from credentials.rotation.plans import RuleError
from credentials.rotation.services import RotationError
from credentials.rotation.waits import Wait
from credentials.services import AccountError, assign, retire
from instances.discovery.models import Reading
from instances.models import Container, Installation
from portal.audit.models import AuditEvent
from portal.plaintext import Secret
from portal.sandbox.console_api import Fault
from tests.credentials.rotation.conftest import MakeHouse, other_secret

# PostgreSQL is asked by some of them: each has steps that lock, count or look back in their own way.
pytestmark = [pytest.mark.django_db, pytest.mark.one_engine]
State = Rotation.State


def covers() -> list[tuple[str, str]]:
    return [(cell.cover, cell.need) for cell in cells_now(Wanted())]


def waves(rotation: Rotation) -> list[tuple[str, int]]:
    return [(wave.kind, wave.rollout.pushes.count()) for wave in rotation.waves.all()]


# --- to the end ---------------------------------------------------------------------------------------


@pytest.mark.database
def test_a_rotation_by_the_api_ends_with_the_old_secret_deleted(make_house: MakeHouse) -> None:
    house = make_house(3)
    [old] = house.at_adobe()
    rotation = house.wait(house.begin(wave_rule="1, 100%"), Wait.CANARY_UNUSED)
    assert rotation.new is not None
    assert house.plaintexts().count(old) == 2  # the canary alone has the new one
    assert covers().count(("waiting", "wave")) == 2
    house.campaign_signs_in()
    rotation = house.run(rotation)
    assert rotation.state == State.DONE
    [new] = house.at_adobe()
    assert new != old
    assert house.plaintexts() == [new] * 3
    first, second = ClientSecret.objects.order_by("version")
    assert (first.state, first.ciphertext, first.slot) == ("deleted", None, None)
    assert second.state == "usable"
    account = TechnicalAccount.objects.get()
    assert (account.goal, account.is_rotating) == (second, False)
    assert waves(rotation) == [("canary", 1), ("wave", 1), ("wave", 1)]
    assert [deed.what for deed in house.console.deeds] == ["created", "deleted"]
    actions = set(AuditEvent.objects.values_list("action", flat=True))
    assert {"rotation.started", "client_secret.made_at_adobe"} <= actions
    assert {"client_secret.deletion_begun", "client_secret.deleted", "rotation.ended"} <= actions
    assert old not in str(list(AuditEvent.objects.values_list("details", flat=True)))


@pytest.mark.database
def test_a_rotation_by_hand_waits_for_what_only_a_person_can_do(make_house: MakeHouse) -> None:
    house = make_house(2, has_api=False)
    [old] = house.at_adobe()
    rotation = house.wait(house.begin(), Wait.SECRET_NEEDED)
    new = other_secret()
    house.ims.accept(house.adobe.client_id, Secret(old), new)
    services.enter_secret(rotation=rotation, plaintext=new, actor=house.actor)
    rotation = house.wait(rotation, Wait.USAGE_NEEDED)
    assert house.plaintexts() == [new.reveal()] * 2
    assert house.console.calls == []
    used = timezone.now()  # so somebody has to look again later
    services.report_usage(rotation=rotation, used=used, note="in the console", actor=house.actor)
    rotation = house.wait(rotation, Wait.USAGE_NEEDED)
    services.report_usage(rotation=rotation, used=used, note="the same", actor=house.actor)
    rotation = house.wait(rotation, Wait.DELETE_BY_HAND)
    assert ClientSecret.objects.get(version=1).state == "deleting"
    with pytest.raises(RotationError, match="kept in the history"):
        services.confirm_deletion(rotation=rotation, note=" ", actor=house.actor)
    services.confirm_deletion(rotation=rotation, note="deleted the older one", actor=house.actor)
    assert house.run(rotation).state == State.DONE
    assert ClientSecret.objects.get(version=1).ciphertext is None
    event = AuditEvent.objects.get(action="client_secret.deleted")
    assert (event.actor_name, event.details["note"]) == ("alice", "deleted the older one")


def test_a_rotation_by_hand_watches_from_the_verification_on(
    make_house: MakeHouse, settings: Settings
) -> None:
    house = make_house(1, has_api=False)
    settings.ROTATION_IDLE = 3600
    rotation = house.begin()
    new = other_secret()
    house.ims.accept(house.adobe.client_id, house.adobe.secrets[0], new)
    services.enter_secret(rotation=rotation, plaintext=new, actor=house.actor)
    rotation = house.wait(rotation, Wait.IDLE)
    services.report_usage(rotation=rotation, used=None, note="never", actor=house.actor)  # too early to count
    house.step()
    assert house.now(rotation).wait == Wait.IDLE
    Rotation.objects.update(verified=timezone.now() - timedelta(hours=2))
    house.step()
    assert house.now(rotation).state == State.DELETING


# --- who is in the way --------------------------------------------------------------------------------


def test_a_file_that_was_restored_keeps_the_old_secret_alive(
    make_house: MakeHouse, settings: Settings
) -> None:
    house = make_house(2)
    settings.ROTATION_IDLE = 3600
    site = house.sites[1]
    file = site.container.config(site.installation.instance.name)
    backup = file.read_bytes()
    rotation = house.begin(is_leak=False)
    rotation = house.wait(rotation, Wait.CANARY_UNUSED)
    house.campaign_signs_in()
    rotation = house.wait(rotation, Wait.IDLE)
    file.write_bytes(backup)
    Rotation.objects.update(verified=timezone.now() - timedelta(hours=2))  # the day is over
    settings.ROTATION_READ_WITHIN = 1
    Reading.objects.all()  # the daily reading does not come in time; the one before the deletion does
    Installation.objects.filter(pk=site.installation.pk).update(observed=timezone.now())
    rotation = house.wait(rotation, Wait.NOT_VERIFIED)
    assert len(house.at_adobe()) == 2
    [old, _new] = house.at_adobe()
    assert house.plaintexts()[1] == old
    repair(installations=[site.installation], actor=house.actor, message="restored")
    settings.ROTATION_READ_WITHIN = 3600
    settings.ROTATION_IDLE = 1
    rotation = house.finish(rotation)
    assert rotation.state == State.DONE
    assert set(house.plaintexts()) == set(house.at_adobe())


def test_a_container_that_is_off_keeps_the_old_secret_alive(make_house: MakeHouse) -> None:
    house = make_house(2)
    rotation = house.wait(house.begin(), Wait.CANARY_UNUSED)
    canary = rotation.canary_id
    other = next(site for site in house.sites if site.installation.pk != canary)
    Container.objects.filter(pk=other.row.pk).update(is_enabled=False)
    house.campaign_signs_in()
    rotation = house.wait(rotation, Wait.NOT_VERIFIED)
    assert len(house.at_adobe()) == 2
    Container.objects.filter(pk=other.row.pk).update(is_enabled=True)
    rotation = house.finish(rotation)
    assert rotation.state == State.DONE
    assert set(house.plaintexts()) == set(house.at_adobe())


def test_a_newcomer_joins_the_last_wave(make_house: MakeHouse, make_site: object) -> None:
    house = make_house(1)
    rotation = house.wait(house.begin(), Wait.CANARY_UNUSED)
    site = make_site("mkt-9", instances=("prod9",))  # type: ignore[operator]
    house.sites.append(site)
    assign(account=house.account, instances=[site.installation.instance], actor=house.actor)
    rotation = house.finish(rotation)
    assert rotation.state == State.DONE
    assert waves(rotation) == [("canary", 1), ("wave", 1)]
    assert len(set(house.plaintexts())) == 1


def test_a_verified_gate_is_passed_for_those_that_are_in_the_way_then(make_house: MakeHouse) -> None:
    house = make_house(2)
    rotation = house.wait(house.begin(), Wait.CANARY_UNUSED)
    other = next(site for site in house.sites if site.installation.pk != rotation.canary_id)
    Container.objects.filter(pk=other.row.pk).update(is_enabled=False)
    house.campaign_signs_in()
    rotation = house.wait(rotation, Wait.NOT_VERIFIED)
    with pytest.raises(RotationError, match="kept in the history"):
        services.pass_gate(rotation=rotation, gate="verified", reason="", actor=house.actor)
    with pytest.raises(RotationError, match="no longer waits at this gate"):
        services.pass_gate(rotation=rotation, gate="idle", reason="in a hurry", actor=house.actor)
    services.pass_gate(rotation=rotation, gate="verified", reason="it burnt down", actor=house.actor)
    rotation = house.run(rotation)
    assert rotation.state == State.DONE
    event = AuditEvent.objects.get(action="rotation.gate_passed")
    assert event.details["installations"] == [f"{other.installation}: holds"]
    assert event.details["reason"] == "it burnt down"


@pytest.mark.database
def test_what_still_uses_the_old_secret_is_named_and_waited_for(
    make_house: MakeHouse, settings: Settings
) -> None:
    house = make_house(1)
    [old] = house.at_adobe()
    settings.ROTATION_IDLE = 3600
    rotation = house.wait(house.begin(), Wait.CANARY_UNUSED)
    house.campaign_signs_in()
    rotation = house.wait(rotation, Wait.IDLE)
    form = {"client_id": house.adobe.client_id, "client_secret": old, "scope": "openid"}
    house.ims.answer(form | {"grant_type": "client_credentials"})  # a server that no inventory knows
    rotation = house.wait(rotation, Wait.STILL_USED)
    assert rotation.params["used"]
    services.pass_gate(rotation=rotation, gate="idle", reason="a forgotten test", actor=house.actor)
    assert house.run(rotation).state == State.DONE


# --- the canary and the waves -------------------------------------------------------------------------


def test_a_canary_that_fails_stops_everything_until_it_is_retried(make_house: MakeHouse) -> None:
    house = make_house(2)
    [old] = house.at_adobe()
    canary = house.sites[0]
    canary.container.set_faults("touches")
    rotation = house.wait(house.begin(canary=canary.installation), Wait.CANARY_FAILED)
    assert house.plaintexts() == [old, old]
    house.step()
    assert house.now(rotation).wait == Wait.CANARY_FAILED
    canary.container.set_faults()
    push = rotation.waves.get().rollout.pushes.get()
    retry_pushes(push_ids=[push.pk], actor=house.actor)
    assert house.finish(rotation).state == State.DONE


def test_a_canary_whose_file_is_restored_is_read_and_named(make_house: MakeHouse) -> None:
    """Campaign would use the old secret there for ever, and the rotation wait for the new one."""
    house = make_house(2)
    canary = house.sites[0]
    file = canary.container.config(canary.installation.instance.name)
    backup = file.read_bytes()
    rotation = house.wait(house.begin(canary=canary.installation), Wait.CANARY_UNUSED)
    file.write_bytes(backup)
    rotation = house.wait(rotation, Wait.CANARY_CHANGED)
    assert rotation.needs_person
    assert services.can_choose_canary(rotation)
    repair(installations=[canary.installation], actor=house.actor, message="restored")
    rotation = house.finish(rotation)
    assert rotation.state == State.DONE
    assert set(house.plaintexts()) == set(house.at_adobe())


def test_an_unused_canary_is_not_read_all_the_time(make_house: MakeHouse, settings: Settings) -> None:
    house = make_house(1)
    rotation = house.wait(house.begin(), Wait.CANARY_UNUSED)
    settings.ROTATION_ASK_INTERVAL = 3600
    Rotation.objects.update(proven=timezone.now() - timedelta(hours=2), listed=timezone.now())
    before = Reading.objects.count()
    for _ in range(3):
        house.step()
    assert house.now(rotation).wait == Wait.CANARY_UNUSED
    assert Reading.objects.count() <= before + 1


@pytest.mark.slow
def test_another_canary_can_be_chosen(make_house: MakeHouse) -> None:
    house = make_house(2)
    house.sites[0].container.set_faults("touches")
    rotation = house.wait(house.begin(canary=house.sites[0].installation), Wait.CANARY_FAILED)
    services.choose_canary(rotation=rotation, canary=house.sites[1].installation, actor=house.actor)
    rotation = house.wait(rotation, Wait.CANARY_UNUSED)
    assert rotation.canary_id == house.sites[1].installation.pk
    house.sites[0].container.set_faults()
    house.campaign_signs_in()
    rotation = house.wait(rotation, Wait.STOPPED)  # the first one still counts as failed
    push = rotation.waves.first().rollout.pushes.get()  # type: ignore[union-attr]
    retry_pushes(push_ids=[push.pk], actor=house.actor)
    services.go_on(rotation=rotation, actor=house.actor)
    assert house.finish(rotation).state == State.DONE


@pytest.mark.parametrize(
    ("rule", "stop", "broken", "touched"),
    [
        pytest.param("1, 1, 100%", "0", 1, 2, marks=pytest.mark.slow),
        ("1, 1, 100%", "1", 2, 3),
        pytest.param("2, 100%", "0", 2, 3, marks=pytest.mark.slow),
        pytest.param("2, 100%", "40%", 1, 5, marks=pytest.mark.slow),
    ],
)
def test_the_stop_rule_stops_where_it_says_and_never_a_wave_later(
    make_house: MakeHouse, rule: str, stop: str, broken: int, touched: int
) -> None:
    """The canary succeeds; so many of the first ones after it fail, and the rest is not even looked at."""
    house = make_house(5)
    canary, *others = house.sites
    for site in others[:broken]:
        site.container.set_faults("touches")
    before = {site.row.name: _stamp(site) for site in house.sites}
    rotation = house.begin(canary=canary.installation, wave_rule=rule, stop_rule=stop)
    rotation = house.wait(rotation, Wait.CANARY_UNUSED)
    house.campaign_signs_in()
    expected = Wait.STOPPED if touched < 5 else Wait.NOT_VERIFIED
    rotation = house.wait(rotation, expected)
    for _ in range(3):
        house.step()
    pushed = set(rotation.waves.values_list("rollout__pushes__container__name", flat=True))
    assert len(pushed) == touched
    for site in house.sites:
        if site.row.name not in pushed:
            assert _stamp(site) == before[site.row.name]
    for site in others[:broken]:
        site.container.set_faults()
    failed = [push.pk for push in house.pushes() if push.state == "failed"]
    retry_pushes(push_ids=failed, actor=house.actor)
    if expected == Wait.STOPPED:
        services.go_on(rotation=rotation, actor=house.actor)
    assert house.finish(rotation).state == State.DONE


def _stamp(site: object) -> tuple[int, int, int]:
    path = site.container.config(site.installation.instance.name)  # type: ignore[attr-defined]
    found = path.stat()
    return found.st_ino, found.st_mtime_ns, found.st_ctime_ns


@pytest.mark.slow
def test_waves_by_environment_go_where_a_mistake_costs_least_first(make_house: MakeHouse) -> None:
    house = make_house(3, environments=("production", "stage", "development"))
    rotation = house.wait(house.begin(), Wait.CANARY_UNUSED)
    assert rotation.canary_id == house.sites[2].installation.pk
    house.campaign_signs_in()
    rotation = house.run(rotation)
    labels = list(rotation.waves.values_list("label", flat=True))
    assert labels == ["development", "stage", "production"]


def test_a_pause_cancels_what_is_queued_and_going_on_pushes_it(make_house: MakeHouse) -> None:
    house = make_house(3)
    rotation = house.wait(house.begin(wave_rule="100%"), Wait.CANARY_UNUSED)
    house.campaign_signs_in()
    Container.objects.update(is_enabled=True)
    house.wait_without_visits(rotation, Wait.PUSHING)
    rotation = services.pause(rotation=rotation, actor=house.actor)
    house.step()
    rotation = house.now(rotation)
    assert (rotation.wait, rotation.params["who"]) == (Wait.PAUSED, "alice")
    assert [push.state for push in house.pushes()].count("cancelled") == 2
    with pytest.raises(RotationError):
        services.pause(rotation=rotation, actor=house.actor)
    services.go_on(rotation=rotation, actor=house.actor)
    rotation = house.finish(rotation)
    assert waves(rotation) == [("canary", 1), ("wave", 2), ("wave", 2)]
    assert rotation.state == State.DONE


@pytest.mark.slow
def test_a_wave_that_somebody_cancels_is_a_pause(make_house: MakeHouse) -> None:
    house = make_house(3)
    rotation = house.wait(house.begin(wave_rule="100%"), Wait.CANARY_UNUSED)
    house.campaign_signs_in()
    house.wait_without_visits(rotation, Wait.PUSHING)
    cancel_rollout(rollout=rotation.waves.last().rollout, actor=house.actor)  # type: ignore[union-attr]
    rotation = house.wait(rotation, Wait.PAUSED)
    assert rotation.waves.count() == 2
    services.go_on(rotation=rotation, actor=house.actor)
    assert house.finish(rotation).state == State.DONE


# --- taking back --------------------------------------------------------------------------------------


@pytest.mark.database
@pytest.mark.parametrize("when", [Wait.SECRET_NEEDED, Wait.CANARY_UNUSED, Wait.IDLE])
def test_it_can_be_taken_back_at_any_time_before_the_deletion(
    make_house: MakeHouse, settings: Settings, when: Wait
) -> None:
    house = make_house(2, has_api=when != Wait.SECRET_NEEDED)
    settings.ROTATION_IDLE = 3600
    [old] = house.at_adobe()

    def is_there(row: Rotation) -> bool:
        if row.wait == Wait.CANARY_UNUSED and when != Wait.CANARY_UNUSED:
            house.campaign_signs_in()
        return row.wait == when

    rotation = house.run(house.begin(), until=is_there)
    with pytest.raises(RotationError, match="kept in the history"):
        services.take_back(rotation=rotation, message="", actor=house.actor)
    services.take_back(rotation=rotation, message="Campaign cannot sign in", actor=house.actor)
    rotation = house.run(rotation)
    assert rotation.state == State.TAKEN_BACK
    assert house.plaintexts() == [old, old]
    assert old in house.at_adobe()
    account = TechnicalAccount.objects.get()
    assert (account.goal and account.goal.version, account.is_rotating) == (1, False)
    assert set(covers()) == {("done", "")}


@pytest.mark.slow
def test_after_a_way_back_the_second_version_is_used_or_deleted(make_house: MakeHouse) -> None:
    house = make_house(1)
    rotation = house.wait(house.begin(), Wait.CANARY_UNUSED)
    services.take_back(rotation=rotation, message="not today", actor=house.actor)
    house.run(rotation)
    again = house.wait(house.begin(), Wait.SPARE_VERSION)
    assert again.params["version"] == 2
    services.make_room(rotation=again, message="it may have been seen", actor=house.actor)
    again = house.finish(again)
    assert again.state == State.DONE
    states = list(ClientSecret.objects.order_by("version").values_list("version", "state"))
    assert states == [(1, "deleted"), (2, "deleted"), (3, "usable")]
    assert len(house.at_adobe()) == 1
    third = house.wait(house.begin(), Wait.CANARY_UNUSED)
    services.take_back(rotation=third, message="not today", actor=house.actor)
    house.run(third)
    fourth = house.wait(house.begin(), Wait.SPARE_VERSION)
    services.use_spare(rotation=fourth, actor=house.actor)
    assert house.finish(fourth).state == State.DONE


def test_there_is_no_way_back_from_a_deletion(make_house: MakeHouse) -> None:
    """As long as nobody has deleted the old secret at Adobe, there is one."""
    house = make_house(1, has_api=False)
    rotation = house.begin()
    new = other_secret()
    house.ims.accept(house.adobe.client_id, house.adobe.secrets[0], new)
    services.enter_secret(rotation=rotation, plaintext=new, actor=house.actor)
    rotation = house.wait(rotation, Wait.USAGE_NEEDED)
    services.report_usage(rotation=rotation, used=None, note="never used", actor=house.actor)
    rotation = house.wait(rotation, Wait.DELETE_BY_HAND)
    assert services.can_take_back(rotation)
    house.ims.accept(house.adobe.client_id, new)
    rotation = services.confirm_deletion(rotation=rotation, note="deleted version 1", actor=house.actor)
    with pytest.raises(RotationError, match="cannot be taken back"):
        services.take_back(rotation=rotation, message="too late", actor=house.actor)
    assert house.run(rotation).state == State.DONE


# --- Adobe --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        Fault.LOST,
        pytest.param(Fault.FAILS_AFTERWARDS, marks=pytest.mark.slow),
        pytest.param(Fault.GARBAGE, marks=pytest.mark.slow),
    ],
)
def test_a_secret_whose_answer_was_lost_is_found_and_deleted(make_house: MakeHouse, fault: Fault) -> None:
    house = make_house(1)
    house.console.faults_of["POST"].append(fault)
    rotation = house.wait(house.begin(), Wait.ORPHAN)
    assert len(house.at_adobe()) == 2
    assert rotation.params["id"] == house.console.secrets(house.adobe)[1].id
    services.make_room(rotation=rotation, message="nobody has it", actor=house.actor)
    rotation = house.finish(rotation)
    assert rotation.state == State.DONE
    assert len(house.at_adobe()) == 1
    assert [deed.what for deed in house.console.deeds] == ["created", "deleted", "created", "deleted"]


@pytest.mark.database
def test_an_orphan_is_seen_before_a_rotation_ends_that_is_taken_back(make_house: MakeHouse) -> None:
    house = make_house(1)
    house.console.faults_of["POST"].append(Fault.LOST)
    rotation = house.wait(house.begin(), Wait.ORPHAN)
    services.take_back(rotation=rotation, message="not today", actor=house.actor)
    rotation = house.run(rotation, until=lambda row: row.wait == Wait.ORPHAN and row.takes_back)
    services.make_room(rotation=rotation, message="nobody has it", actor=house.actor)
    assert house.run(rotation).state == State.TAKEN_BACK
    assert len(house.at_adobe()) == 1


@pytest.mark.parametrize(
    ("method", "fault"),
    [
        ("GET", Fault.UNAUTHORIZED),
        ("POST", Fault.FAILS),
        ("DELETE", Fault.THROTTLED),
        pytest.param("GET", Fault.THROTTLED, marks=pytest.mark.slow),
        pytest.param("POST", Fault.FORBIDDEN, marks=pytest.mark.slow),
        pytest.param("DELETE", Fault.FAILS, marks=pytest.mark.slow),
    ],
)
def test_a_call_that_fails_is_made_again(make_house: MakeHouse, method: str, fault: Fault) -> None:
    house = make_house(1)
    house.console.faults_of[method].append(fault)
    assert house.finish(house.begin()).state == State.DONE
    assert not house.console.faults_of[method]


@pytest.mark.parametrize(
    "fault",
    [
        Fault.LOST,
        Fault.NOT_FOUND,
        pytest.param(Fault.FAILS_AFTERWARDS, marks=pytest.mark.slow),
    ],
)
def test_a_deletion_whose_answer_was_lost_is_seen_in_the_list(make_house: MakeHouse, fault: Fault) -> None:
    house = make_house(1)
    house.console.faults_of["DELETE"].append(fault)
    assert house.finish(house.begin()).state == State.DONE
    assert len(house.at_adobe()) == 1


@pytest.mark.slow
def test_a_secret_that_somebody_made_in_the_console_is_named(make_house: MakeHouse) -> None:
    house = make_house(1)
    house.finish(house.begin())  # from now on the portal knows its secret by its id
    house.console.create(house.adobe)
    rotation = house.wait(house.begin(), Wait.UNKNOWN_SECRET)
    services.make_room(rotation=rotation, message="nobody uses it", actor=house.actor)
    assert house.finish(rotation).state == State.DONE


def test_a_new_secret_that_adobe_refuses_goes_to_no_container(make_house: MakeHouse) -> None:
    house = make_house(1, has_api=False)
    [old] = house.at_adobe()
    rotation = house.begin()
    services.enter_secret(rotation=rotation, plaintext=other_secret(), actor=house.actor)
    rotation = house.wait(rotation, Wait.SECRET_REFUSED)
    assert house.plaintexts() == [old]
    right = Secret("p8e-the-right-one-at-last-0000000001")
    house.ims.accept(house.adobe.client_id, Secret(old), right)
    services.enter_secret(rotation=rotation, plaintext=right, actor=house.actor)
    rotation = house.wait(rotation, Wait.USAGE_NEEDED)
    assert house.plaintexts() == [right.reveal()]


def test_the_old_secret_is_not_deleted_while_adobe_does_not_list_the_new_one(
    make_house: MakeHouse, settings: Settings
) -> None:
    settings.ROTATION_IDLE = 5  # the list is asked for again before that has passed
    house = make_house(1)
    rotation = house.wait(house.begin(), Wait.CANARY_UNUSED)
    house.campaign_signs_in()
    rotation = house.run(rotation, until=lambda row: row.state == State.WATCHING)
    ClientSecret.objects.filter(version=2).update(adobe_id="0000-not-there")
    rotation = house.wait(rotation, Wait.NEW_MISSING)
    assert len(house.at_adobe()) == 2


# --- bad input ----------------------------------------------------------------------------------------


def test_what_may_not_be_entered_is_refused_at_its_place(make_house: MakeHouse) -> None:
    house = make_house(1, has_api=False)
    [old] = house.at_adobe()
    rotation = house.wait(house.begin(), Wait.SECRET_NEEDED)
    with pytest.raises(AccountError, match="old secret"):
        services.enter_secret(rotation=rotation, plaintext=Secret(old), actor=house.actor)
    with pytest.raises(AccountError, match="enter the new secret there"):
        enter(account=house.account, plaintext=other_secret(), actor=house.actor)
    with pytest.raises(AccountError, match="rotation of this account is open"):
        make_goal(version=house.newest(), actor=house.actor)
    with pytest.raises(AccountError, match="rotation of this account is open"):
        retire(account=house.account, actor=house.actor)
    with pytest.raises(RotationError, match="open already"):
        house.begin()
    assert house.now(rotation).new is None


def test_a_deleted_secret_is_not_taken_again(make_house: MakeHouse) -> None:
    house = make_house(1)
    [old] = house.at_adobe()
    house.finish(house.begin())
    rotation = house.begin(way="by_hand")
    with pytest.raises(AccountError, match="deleted at Adobe"):
        services.enter_secret(rotation=rotation, plaintext=Secret(old), actor=house.actor)


def test_a_rule_that_cannot_be_followed_starts_nothing(make_house: MakeHouse) -> None:
    house = make_house(1)
    with pytest.raises(RuleError):
        house.begin(wave_rule="sideways")
    with pytest.raises(RuleError):
        house.begin(stop_rule="100%")
    assert not Rotation.objects.exists()


def test_no_rotation_without_anything_to_replace(make_house: MakeHouse) -> None:
    house = make_house(1)
    TechnicalAccount.objects.update(way="migration")
    house.account.refresh_from_db()
    with pytest.raises(RotationError, match="migration from JWT"):
        house.begin()
    house.begin(is_migration_closed=True)
    Rotation.objects.update(state="taken_back", ended=timezone.now())
    TechnicalAccount.objects.update(is_rotating=False)
    account = TechnicalAccount.objects.get()
    set_goal(account=account, version=None, why="chosen", actor=house.actor)
    with pytest.raises(RotationError, match="Nothing has been rolled out yet"):
        house.begin(is_migration_closed=True)


def test_kinds_of_waves_are_those_of_the_page() -> None:
    assert [kind.value for kind in Wave.Kind] == ["canary", "wave", "back"]
