"""What a hostile reader found: wrong deletions, gates that opened too early, and states without a way out."""

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django.fixtures import Settings

from credentials import inquiries
from credentials.adobe.console import ConsoleError, Problem
from credentials.models import ClientSecret, TechnicalAccount
from credentials.rollouts.models import Attempt, ProvenWrite, Push
from credentials.rollouts.starting import repair
from credentials.rotation import actions, adobe, deleting, gates, moving, services, steps, waits
from credentials.rotation.models import Rotation
from credentials.rotation.services import RotationError
from credentials.rotation.waits import Wait
from credentials.services import unassign
from instances.models import Container, Installation
from instances.visits import visit
from portal.plaintext import Secret
from portal.sandbox.console_api import Fault, Held
from tests.credentials.rotation.conftest import House, MakeHouse, other_secret

pytestmark = [pytest.mark.django_db, pytest.mark.one_engine]  # what it asks, others ask on both
State = Rotation.State


def by_hand(house: House, new: Secret) -> Rotation:
    """A rotation by hand whose new secret Adobe accepts, up to the watch of the old one."""
    rotation = house.begin(way="by_hand")
    house.ims.accept(house.adobe.client_id, *(each.plaintext for each in held(house)), new)
    services.enter_secret(rotation=rotation, plaintext=new, actor=house.actor)
    rotation = house.wait(rotation, Wait.USAGE_NEEDED)
    services.report_usage(rotation=rotation, used=None, note="never", actor=house.actor)
    return house.wait(rotation, Wait.DELETE_BY_HAND)


def held(house: House) -> list[Held]:
    return house.console.secrets(house.adobe)


def test_by_hand_the_secret_is_named_and_a_wrong_deletion_destroys_nothing(make_house: MakeHouse) -> None:
    house = make_house(1)
    rotation = by_hand(house, other_secret())
    said = waits.cause(rotation.wait, rotation.params) + waits.next_step(rotation.wait, rotation.params)
    old, new = ClientSecret.objects.order_by("version")
    assert f"Version 1 ({old.fingerprint})" in said
    assert f"version 2 ({new.fingerprint})" in said
    assert "older" not in said
    house.ims.accept(house.adobe.client_id, house.adobe.secrets[0])  # the new one was deleted
    services.confirm_deletion(rotation=rotation, note="deleted one of them", actor=house.actor)
    rotation = house.wait(rotation, Wait.NEW_REFUSED)
    assert ClientSecret.objects.get(version=1).ciphertext is not None
    services.take_back(rotation=rotation, message="the wrong one was deleted", actor=house.actor)
    assert house.run(rotation).state == State.TAKEN_BACK
    assert house.plaintexts() == [house.adobe.secrets[0].reveal()]


def test_no_secret_is_deleted_because_it_must_be_the_other_one(make_house: MakeHouse) -> None:
    """A version that was entered wrong is none of Adobe's; a stranger's secret is not deleted for it."""
    house = make_house(1)
    house.finish(house.begin())
    rotation = house.begin(way="by_hand")
    services.enter_secret(rotation=rotation, plaintext=other_secret(), actor=house.actor)
    rotation = house.wait(rotation, Wait.SECRET_REFUSED)
    services.take_back(rotation=rotation, message="entered wrong", actor=house.actor)
    house.run(rotation)
    stranger = house.console.create(house.adobe)
    rotation = house.wait(house.begin(), Wait.SPARE_VERSION)
    services.make_room(rotation=rotation, message="not needed", actor=house.actor)
    rotation = house.wait(rotation, Wait.UNKNOWN_SECRET)
    assert stranger in held(house)
    assert rotation.params["id"] == stranger.id
    assert ClientSecret.objects.get(version=3).state == "abandoned"


def test_a_sight_that_grew_old_does_not_begin_the_day_anew(make_house: MakeHouse, settings: Settings) -> None:
    house = make_house(1)
    settings.ROTATION_IDLE = 3600
    rotation = house.wait(house.begin(), Wait.CANARY_UNUSED)
    house.campaign_signs_in()
    rotation = house.wait(rotation, Wait.IDLE)
    verified = rotation.verified
    settings.ROTATION_READ_WITHIN = 0
    house.take_steps()
    rotation = house.now(rotation)
    assert (rotation.state, rotation.verified) == (State.WATCHING, verified)


def test_a_canary_whose_outcome_stays_unknown_needs_a_person(make_house: MakeHouse) -> None:
    house = make_house(2)
    rotation = house.wait(house.begin(), Wait.CANARY_UNUSED)
    Push.objects.filter(rollout__wave__rotation=rotation).update(
        state="unknown", finished=None, unknown_since=timezone.now() - moving.PATIENCE * 2
    )
    Container.objects.update(is_enabled=False)  # and nobody can look
    house.take_steps()
    rotation = house.now(rotation)
    assert rotation.wait == Wait.CANARY_FAILED
    assert services.can_choose_canary(rotation)


def test_where_the_way_back_is_closed_it_goes_forward(make_house: MakeHouse) -> None:
    house = make_house(2)
    rotation = house.wait(house.begin(), Wait.CANARY_UNUSED)
    assert rotation.new is not None
    new = next(each.plaintext for each in held(house)[1:])
    house.ims.accept(house.adobe.client_id, new)  # somebody deleted the old one
    services.take_back(rotation=rotation, message="trouble", actor=house.actor)
    rotation = house.wait(rotation, Wait.OLD_REFUSED)
    with pytest.raises(RotationError, match="kept in the history"):
        services.turn_round(rotation=rotation, message="", actor=house.actor)
    services.turn_round(rotation=rotation, message="no way back", actor=house.actor)
    services.go_by_hand(rotation=rotation, actor=house.actor)
    rotation = house.run(rotation, until=lambda row: row.state == State.WATCHING)
    assert house.plaintexts() == [new.reveal()] * 2


def test_adobe_is_not_asked_again_and_again_in_one_go(
    make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = make_house(1)

    def full(self: object, *_args: object) -> None:
        raise ConsoleError(Problem.FULL, "full")

    monkeypatch.setattr(adobe, "create", full)
    rotation = house.wait(house.begin(), Wait.ADOBE_REFUSED)
    assert rotation.calls.count() == 1


def test_a_deletion_that_the_list_does_not_show_is_asked_for_seldom(
    make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = make_house(1)
    monkeypatch.setattr(adobe, "delete", lambda *_args: None)  # it says yes and does nothing
    rotation = house.wait(house.begin(), Wait.CANARY_UNUSED)
    house.campaign_signs_in()
    rotation = house.wait(rotation, Wait.STILL_LISTED)
    assert rotation.calls.filter(what="delete").count() == 1
    assert ClientSecret.objects.get(version=1).ciphertext is not None


def test_a_repair_of_a_failure_counts_until_it_has_an_outcome(make_house: MakeHouse) -> None:
    house = make_house(4)
    canary, first, *_others = house.sites
    first.container.set_faults("touches")
    rotation = house.begin(canary=canary.installation, wave_rule="1, 1, 100%", stop_rule="0")
    rotation = house.wait(rotation, Wait.CANARY_UNUSED)
    house.campaign_signs_in()
    house.wait_without_visits(rotation, Wait.PUSHING)
    for _ in range(12):
        visit.visit(first.row.pk)
    assert Push.objects.filter(state="failed").count() == 1
    repair(installations=[first.installation], actor=house.actor)
    for _ in range(3):
        house.take_steps()
    assert rotation.waves.count() == 2  # the canary and the first wave


def test_the_portals_own_question_opens_no_gate(
    make_house: MakeHouse, as_admin: Client, settings: Settings
) -> None:
    house = make_house(1)
    rotation = house.wait(house.begin(), Wait.CANARY_UNUSED)
    asked = house.ims.requests
    as_admin.post(reverse("account_check", args=[house.account.pk]))
    inquiries.for_start(version=house.newest(), actor=house.actor)
    assert house.ims.requests == asked
    settings.ROTATION_ASK_INTERVAL = 1
    for _ in range(3):
        house.take_steps()
    assert house.now(rotation).wait == Wait.CANARY_UNUSED


def test_a_passed_gate_waives_no_push_and_nothing_else_there(make_house: MakeHouse) -> None:
    house = make_house(2)
    rotation = house.wait(house.begin(), Wait.CANARY_UNUSED)
    other = next(site for site in house.sites if site.installation.pk != rotation.canary_id)
    Container.objects.filter(pk=other.row.pk).update(is_enabled=False)
    house.campaign_signs_in()
    rotation = house.wait(rotation, Wait.NOT_VERIFIED)
    services.pass_gate(rotation=rotation, gate="verified", reason="it burnt down", actor=house.actor)
    Container.objects.filter(pk=other.row.pk).update(is_enabled=True)
    Push.objects.filter(installation=other.installation).update(state="running")
    [way] = deleting.in_the_way(house.now(rotation)).first()
    assert way.missing in gates.BUSY


def test_a_gate_is_passed_for_what_was_shown(make_house: MakeHouse) -> None:
    house = make_house(2)
    rotation = house.wait(house.begin(), Wait.CANARY_UNUSED)
    Container.objects.exclude(installations=rotation.canary_id).update(is_enabled=False)
    house.campaign_signs_in()
    rotation = house.wait(rotation, Wait.NOT_VERIFIED)
    with pytest.raises(RotationError, match="What you were shown is no longer in the way"):
        services.pass_gate(
            rotation=rotation, gate="verified", reason="seen", actor=house.actor, shown=["x:holds"]
        )
    assert not rotation.passed.exists()
    assert house.wait(rotation, Wait.NOT_VERIFIED).params == {"count": 1}


def test_a_gate_is_passed_for_so_many_at_once(
    make_house: MakeHouse, as_admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "MOST_PASSED", 1)
    house = make_house(3)
    rotation = house.wait(house.begin(), Wait.CANARY_UNUSED)
    Container.objects.exclude(installations=rotation.canary_id).update(is_enabled=False)
    house.campaign_signs_in()
    rotation = house.wait(rotation, Wait.NOT_VERIFIED)
    page = reverse("rotation_verb", args=[rotation.pk, "pass-gate"])
    asked = as_admin.get(page)
    assert "1 more installation is not left out yet" in asked.text
    [first] = asked.context["shown"]
    answer = as_admin.post(page, {"gate": "verified", "reason": "burnt down", "shown": [first]})
    assert answer.status_code == 302
    assert rotation.passed.get().installations == [first]
    [left] = deleting.in_the_way(house.now(rotation)).first()
    assert left.passable != first
    assert "not left out yet" not in as_admin.get(page).text


def test_what_it_was_ever_sent_to_is_asked(make_house: MakeHouse) -> None:
    """Even if nobody read the file since, and the instance uses no account any more."""
    house = make_house(1)
    version = house.account.secrets.get()
    unassign(instances=[house.installations()[0].instance], actor=house.actor, message="moved")
    ProvenWrite.objects.all().delete()
    Installation.objects.update(observed_client_id="", observed_digest="")
    assert Attempt.objects.filter(push__rollout__secret=version).exists()
    assert [row.pk for row in gates.concerned(version)] == [house.installations()[0].pk]


def test_an_orphan_is_seen_even_if_another_secret_was_entered(make_house: MakeHouse) -> None:
    house = make_house(1)
    house.console.faults_of["POST"].append(Fault.LOST)
    rotation = house.wait(house.begin(), Wait.ORPHAN)
    services.enter_secret(rotation=rotation, plaintext=other_secret(), actor=house.actor)
    rotation = house.wait(rotation, Wait.SECRET_REFUSED)
    services.take_back(rotation=rotation, message="not today", actor=house.actor)
    rotation = house.wait(rotation, Wait.ORPHAN)
    assert rotation.takes_back


def test_a_secret_that_adobe_made_is_not_given_up_for_one_that_is_typed(make_house: MakeHouse) -> None:
    house = make_house(1)
    rotation = house.wait(house.begin(), Wait.CANARY_UNUSED)
    Rotation.objects.update(state=State.CHECKING, wait=Wait.SECRET_REFUSED)
    assert not services.can_enter_secret(house.now(rotation))


def test_a_second_form_does_not_change_the_numbers_of_an_open_rotation(
    make_house: MakeHouse, as_admin: Client
) -> None:
    house = make_house(1)
    house.begin()
    url = reverse("rotation_start", args=[house.account.pk])
    blank = {"numeric_organization_id": "", "credential_id": ""}
    answer = as_admin.post(url, {"way": "by_hand", "wave_rule": "1", "stop_rule": "0", **blank})
    assert "open already" in answer.content.decode()
    account = TechnicalAccount.objects.get()
    assert account.numeric_organization_id == house.adobe.numeric_organization_id


def test_an_empty_list_of_adobe_is_said(make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    house = make_house(1)
    monkeypatch.setattr(adobe, "secrets", lambda *_args: [])
    assert house.wait(house.begin(), Wait.OLD_MISSING).params == {"count": 0}


def test_a_defect_in_a_step_is_said(make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    house = make_house(1)
    rotation = house.begin()

    def broken(_rotation: Rotation) -> None:
        raise IndexError

    monkeypatch.setitem(steps.STEPS, State.PREPARING, broken)
    house.take_steps()
    rotation = house.now(rotation)
    assert (rotation.wait, rotation.lease_token) == (Wait.PORTAL_ERROR, None)
    assert rotation.tried is not None


def test_what_a_person_decides_during_a_call_is_not_overwritten(
    make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = make_house(1)
    rotation = house.begin()
    run = actions.Listing.run

    def meanwhile(self: actions.Listing) -> None:
        run(self)
        self.error = ConsoleError(Problem.UNREACHABLE, "away")
        if not house.now(rotation).takes_back:
            services.take_back(rotation=rotation, message="meanwhile", actor=house.actor)

    monkeypatch.setattr(actions.Listing, "run", meanwhile)
    house.take_steps()
    assert house.now(rotation).state == State.TAKEN_BACK


def test_the_way_back_needs_no_yes_of_an_adobe_that_is_away(
    make_house: MakeHouse, settings: Settings
) -> None:
    house = make_house(1)
    [old] = house.at_adobe()
    rotation = house.wait(house.begin(), Wait.CANARY_UNUSED)
    ClientSecret.objects.update(ims_checked=timezone.now() - timedelta(hours=3))
    settings.IMS_BASE_URL = "http://127.0.0.1:1"
    services.take_back(rotation=rotation, message="trouble", actor=house.actor)
    assert house.run(rotation).state == State.TAKEN_BACK
    assert house.plaintexts() == [old]


def test_without_a_way_to_ims_an_admin_passes_that_gate(make_house: MakeHouse, settings: Settings) -> None:
    house = make_house(1, has_api=False)
    settings.IMS_BASE_URL = "http://127.0.0.1:1"
    rotation = house.begin()
    services.enter_secret(rotation=rotation, plaintext=other_secret(), actor=house.actor)
    rotation = house.wait(rotation, Wait.ADOBE_LATER)
    assert services.gate_of(rotation) == "accepted"
    services.pass_gate(rotation=rotation, gate="accepted", reason="no way out of here", actor=house.actor)
    assert house.wait(rotation, Wait.USAGE_NEEDED).state == State.WATCHING


def test_numbers_of_another_credential_are_said(
    make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = make_house(1)
    answer = house.console.answer

    def other(*args: object) -> tuple[int, dict[str, object] | None]:
        status, body = answer(*args)  # type: ignore[arg-type]
        return status, (body | {"client_id": "f" * 32}) if body else body

    monkeypatch.setattr(house.console, "answer", other)
    rotation = house.wait(house.begin(), Wait.ADOBE_REFUSED)
    assert rotation.params["problem"] == "other_credential"
    assert "another credential" in waits.cause(rotation.wait, rotation.params)
    assert len(held(house)) == 1
