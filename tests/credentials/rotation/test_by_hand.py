"""A rotation with a container that the portal cannot reach: never left out, and never proven."""

import subprocess
from dataclasses import dataclass

import pytest
from django.test import Client
from django.urls import reverse

from credentials.coverage.by_hand import report
from credentials.coverage.cells import cells_of
from credentials.models import ClientSecret
from credentials.rollouts.models import HandReport, ProvenWrite
from credentials.rotation import deleting, moving, services
from credentials.rotation.models import Rotation
from credentials.rotation.services import RotationError
from credentials.rotation.waits import Wait
from instances.models import Container, Installation
from instances.nlserver import read_back
from portal.audit.models import AuditEvent
from portal.plaintext import Secret
from tests.credentials.rollouts.conftest import Site
from tests.credentials.rotation.conftest import House, MakeHouse, other_secret

pytestmark = [pytest.mark.django_db, pytest.mark.one_engine]  # what it asks, others ask on both
State = Rotation.State
NEW = other_secret()


@dataclass
class Hands:
    """A person at a container, with its real stand-in of nlserver, and the portal's pages."""

    house: House
    site: Site

    def set(self, plaintext: Secret) -> None:
        """Run the runbook's commands."""
        account = self.house.account
        ids = f"{account.organization_id}/{account.client_id}/{account.technical_account_id}"
        instance = self.site.installation.instance.name
        self.site.container.run("config", f"-instance:{instance}", f"-setimsoauth:{ids}/{plaintext.reveal()}")

    def block(self) -> str:
        installation = self.site.installation
        root = str(self.site.container.install_root)
        words = (installation.instance.name, installation.container.name, root)
        done = subprocess.run(
            ["sh", str(read_back.PATH), *words],
            env=self.site.container.environment("neolane"),
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout

    def report(self, version: ClientSecret | None = None) -> HandReport:
        rows = Installation.objects.select_related("instance__assignment__account", "container")
        installation = rows.get(pk=self.site.installation.pk)
        return report(
            installation=installation, text=self.block(), version=version, actor=self.house.actor
        ).row


def with_hands(house: House, number: int = -1) -> Hands:
    """Mark one container by hand, and report what is there."""
    hands = Hands(house, house.sites[number])
    Container.objects.filter(pk=hands.site.row.pk).update(is_by_hand=True)
    hands.report()
    return hands


def begun(house: House) -> Rotation:
    """A rotation by hand whose new secret was entered."""
    [old] = house.at_adobe()
    rotation = house.wait(house.begin(), Wait.SECRET_NEEDED)
    house.ims.accept(house.adobe.client_id, Secret(old), NEW)
    services.enter_secret(rotation=rotation, plaintext=NEW, actor=house.actor)
    return rotation


def missing(rotation: Rotation) -> list[tuple[str, str]]:
    return [(each.container, str(each.missing)) for each in deleting.in_the_way(rotation).first()]


def pass_gate(house: House, rotation: Rotation) -> None:
    services.pass_gate(
        rotation=rotation, gate="verified", reason="I was there when it was set", actor=house.actor
    )


def refuse_to_pass(house: House, rotation: Rotation) -> None:
    with pytest.raises(RotationError, match="Nobody has reported the new secret"):
        pass_gate(house, rotation)


def test_what_the_portal_cannot_reach_closes_the_gate_until_a_person_decides(make_house: MakeHouse) -> None:
    house = make_house(2)
    hands = with_hands(house)
    rotation = house.wait(begun(house), Wait.NOT_VERIFIED)
    by_hand = hands.site.row.name
    assert rotation.way == "by_hand"
    assert rotation.canary != hands.site.installation
    assert house.plaintexts() == [NEW.reveal(), house.at_adobe()[0]]
    assert missing(rotation)[0][0] == by_hand
    refuse_to_pass(house, rotation)
    hands.set(NEW)
    hands.report()  # only looked: nobody said what was set
    assert missing(rotation) != []
    refuse_to_pass(house, rotation)
    proofs = ProvenWrite.objects.filter(secret=rotation.new).count()
    hands.set(NEW)
    hands.report(rotation.new)
    assert missing(rotation) == [(by_hand, "by_hand")]
    house.step()
    assert house.now(rotation).wait == Wait.NOT_VERIFIED
    assert ProvenWrite.objects.filter(secret=rotation.new).count() == proofs
    (cell,) = cells_of([hands.site.installation.pk])
    assert (cell.cover, cell.how) == ("done", "reported")
    pass_gate(house, rotation)
    rotation = house.wait(rotation, Wait.USAGE_NEEDED)
    event = AuditEvent.objects.get(action="rotation.gate_passed")
    assert event.details["installations"] == [f"{hands.site.installation}: by_hand"]


def test_a_report_of_before_the_canary_does_not_count(make_house: MakeHouse) -> None:
    house = make_house(2)
    hands = with_hands(house)
    rotation = begun(house)
    new = house.newest()
    hands.set(NEW)
    hands.report(new)
    rotation = house.wait(rotation, Wait.NOT_VERIFIED)
    assert missing(rotation) == [(hands.site.row.name, "not_reported")]
    hands.report(new)
    assert missing(rotation) == [(hands.site.row.name, "by_hand")]


def test_what_was_pushed_before_the_mark_is_asked_about_all_the_same(make_house: MakeHouse) -> None:
    """It is proven on the new secret, and then nobody can look any more."""
    house = make_house(2, has_api=False)
    rotation = house.wait(begun(house), Wait.USAGE_NEEDED)
    last = house.sites[-1].row
    Container.objects.filter(pk=last.pk).update(is_by_hand=True)
    rotation = house.wait(rotation, Wait.NOT_VERIFIED)
    assert missing(rotation) == [(last.name, "not_reported")]


def test_a_restored_file_that_is_reported_holds_the_old_secret(make_house: MakeHouse) -> None:
    house = make_house(2)
    hands = with_hands(house)
    rotation = house.wait(begun(house), Wait.NOT_VERIFIED)
    hands.set(NEW)
    hands.report(rotation.new)
    assert missing(rotation) == [(hands.site.row.name, "by_hand")]
    hands.set(Secret(house.at_adobe()[0]))
    hands.report()
    assert missing(rotation)[0][1] in ("holds", "not_reported")  # by whether encryption is random there
    refuse_to_pass(house, rotation)


def test_nothing_is_pushed_there_and_nobody_reads_it(make_house: MakeHouse) -> None:
    house = make_house(2)
    hands = with_hands(house)
    readings = hands.site.row.container_readings.count()
    rotation = house.wait(begun(house), Wait.NOT_VERIFIED)
    assert not moving.untried(rotation).exists()
    assert {push.installation_id for push in house.pushes()[2:]} == {rotation.canary_id}
    assert hands.site.row.container_readings.count() == readings


def test_a_secret_of_the_api_is_refused_where_people_have_to_type_it(make_house: MakeHouse) -> None:
    house = make_house(2)
    with_hands(house)
    assert services.usual_way(house.account) == Rotation.Way.BY_HAND
    with pytest.raises(RotationError, match="Nobody is shown a secret"):
        house.begin(way="api")
    assert not Rotation.objects.exists()
    assert house.begin(way="api", is_leak=True).way == Rotation.Way.API


def test_a_canary_that_the_portal_cannot_reach_is_refused(make_house: MakeHouse) -> None:
    house = make_house(2)
    hands = with_hands(house)
    with pytest.raises(RotationError, match="choose another canary"):
        house.begin(canary=hands.site.installation)


def test_where_everything_is_set_by_hand_there_is_no_canary(make_house: MakeHouse) -> None:
    house = make_house(1)
    hands = with_hands(house)
    rotation = house.wait(begun(house), Wait.NOT_VERIFIED)
    house.account.refresh_from_db()
    assert house.account.goal == rotation.new
    assert not rotation.waves.exists()
    hands.set(NEW)
    hands.report(rotation.new)
    pass_gate(house, rotation)
    house.wait(rotation, Wait.USAGE_NEEDED)


def test_a_leak_does_not_wait_for_reports(make_house: MakeHouse) -> None:
    house = make_house(2)
    with_hands(house)
    [old] = house.at_adobe()
    rotation = house.wait(house.begin(is_leak=True), Wait.SECRET_NEEDED)
    house.ims.accept(house.adobe.client_id, Secret(old), NEW)
    services.enter_secret(rotation=rotation, plaintext=NEW, actor=house.actor)
    rotation = house.wait(rotation, Wait.NOT_VERIFIED)
    pass_gate(house, rotation)
    house.wait(rotation, Wait.DELETE_BY_HAND)


def test_the_pages_lead_to_the_runbook_of_the_new_version(make_house: MakeHouse, as_admin: Client) -> None:
    house = make_house(2)
    hands = with_hands(house)
    start = reverse("rotation_start", args=[house.account.pk])
    assert "Some containers are set by hand" in as_admin.get(start).content.decode()
    rotation = house.wait(begun(house), Wait.NOT_VERIFIED)
    page = as_admin.get(reverse("rotation", args=[rotation.pk])).content.decode()
    runbook = f"{reverse('hand_runbook', args=[hands.site.installation.pk])}?version=2"
    assert runbook in page
    assert "version 2" in " ".join(as_admin.get(runbook).content.decode().split())
