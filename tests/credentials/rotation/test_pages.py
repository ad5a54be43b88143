"""The pages of rotations, as an admin walks them; no secret is on any of them."""

import itertools
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.html import escape
from pytest_django.fixtures import Settings

from credentials.models import TechnicalAccount
from credentials.rotation import services
from credentials.rotation.models import Rotation
from credentials.rotation.verbs import DETOURS, VERBS
from credentials.rotation.waits import EXPLANATIONS, Wait
from tests.credentials.rotation.conftest import MakeHouse, other_secret
from tests.factories import make_account, make_rotation

pytestmark = [pytest.mark.django_db, pytest.mark.one_engine]  # what it asks, others ask on both
START = {"way": "by_hand", "wave_rule": "1, 100%", "stop_rule": "0", "message": "CHG42"}


def page(client: Client, name: str, *args: object) -> str:
    answer = client.get(reverse(name, args=args))
    assert answer.status_code == 200, answer
    return answer.content.decode()


def verb(client: Client, rotation: Rotation, name: str, **data: str) -> str:
    """Press a verb's button; return the page that says why nothing was done, or an empty text."""
    url = reverse("rotation_verb", args=[rotation.pk, name])
    assert client.get(url).status_code == 200
    answer = client.post(url, data)
    if answer.status_code == 302:
        return ""
    return str(answer.content.decode())


def test_a_rotation_by_hand_is_walked_by_its_pages(as_admin: Client, make_house: MakeHouse) -> None:
    house = make_house(2, has_api=False)
    [old] = house.at_adobe()
    account = house.account
    assert "Rotate the secret" in page(as_admin, "account", account.pk)
    said = page(as_admin, "rotation_start", account.pk)
    assert "2 installations use this account" in said
    answer = as_admin.post(reverse("rotation_start", args=[account.pk]), START)
    rotation = Rotation.objects.get()
    assert answer["Location"] == reverse("rotation", args=[rotation.pk])
    rotation = house.wait(rotation, Wait.SECRET_NEEDED)
    said = page(as_admin, "rotation", rotation.pk)
    assert "The second secret is needed" in said
    assert "of these sizes, the last one again until nobody is left: 1, 100%" in said
    assert as_admin.get(reverse("rotation_start", args=[account.pk])).status_code == 302
    assert "old secret" in verb(as_admin, rotation, "enter-secret", client_secret=old)
    new = other_secret("p8e-AbCdEfGhIjKlMnOpQrStUvWxYz012345")
    house.ims.accept(house.adobe.client_id, house.adobe.secrets[0], new)
    assert verb(as_admin, rotation, "enter-secret", client_secret=new.reveal()) == ""
    rotation = house.wait(rotation, Wait.USAGE_NEEDED)
    assert "Last used" in page(as_admin, "rotation_verb", rotation.pk, "report-usage")
    assert "required" in verb(as_admin, rotation, "report-usage", used="", note="")
    assert "in the future" in verb(as_admin, rotation, "report-usage", used="2199-01-01T00:00", note="?")
    assert verb(as_admin, rotation, "report-usage", used="", note="never used") == ""
    rotation = house.wait(rotation, Wait.DELETE_BY_HAND)
    said = page(as_admin, "rotation", rotation.pk)
    assert "Never delete the secret of version 2" in said
    house.ims.accept(house.adobe.client_id, new)
    assert verb(as_admin, rotation, "confirm-deletion", note="deleted version 1") == ""
    rotation = house.run(rotation)
    said = page(as_admin, "rotation", rotation.pk)
    assert "Version 1 is deleted at Adobe" in said
    assert "hx-get" not in said
    for text in (old, new.reveal()):
        assert text not in said + page(as_admin, "rotations") + page(as_admin, "account", account.pk)


WAITS = [wait for wait in Wait if wait != Wait.ENDED]


@pytest.mark.parametrize(
    "wait",
    [
        pytest.param(wait, marks=() if place % 3 == 0 else pytest.mark.slow)
        for place, wait in enumerate(WAITS)
    ],
)
def test_each_wait_has_a_page_for_each_role(
    as_admin: Client, as_helpdesk: Client, as_auditor: Client, wait: Wait
) -> None:
    rotation = make_rotation()
    Rotation.objects.update(
        wait=wait, params={"until": "2026-12-01T10:00:00+00:00", "count": 3, "used": None}
    )
    for client in (as_admin, as_helpdesk, as_auditor):
        said = page(client, "rotation", rotation.pk)
        assert escape(str(wait.label)) in said
        assert "%(" not in said
    assert "rotation-verbs" not in page(as_auditor, "rotation", rotation.pk)
    needs = page(as_admin, "home")
    assert ("rotation is waiting for someone" in needs) == (not EXPLANATIONS[wait].by_itself)


def test_what_the_portal_does_by_itself_is_offered_apart(as_admin: Client) -> None:
    rotation = make_rotation()
    first = as_admin.get(reverse("rotation", args=[rotation.pk]))
    apart = {verb.name for verb, _is_answer in first.context["detours"]}
    assert apart
    assert apart <= set(DETOURS)
    assert apart.isdisjoint(verb.name for verb, _is_answer in first.context["verbs"])
    assert "Do by hand what the portal does by itself" in first.content.decode()
    Rotation.objects.update(wait=Wait.SECRET_NEEDED)
    then = as_admin.get(reverse("rotation", args=[rotation.pk]))
    assert then.context["detours"] == []
    assert apart <= {verb.name for verb, _is_answer in then.context["verbs"]}


def test_a_verb_that_fits_no_more_leads_back(as_admin: Client) -> None:
    rotation = make_rotation()
    answer = as_admin.get(reverse("rotation_verb", args=[rotation.pk, "pause"]))
    assert answer["Location"] == reverse("rotation", args=[rotation.pk])
    assert as_admin.get(reverse("rotation_verb", args=[rotation.pk, "explode"])).status_code == 404
    said = as_admin.post(reverse("rotation_verb", args=[rotation.pk, "pause"])).content.decode()
    assert "nothing to pause" in said


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"wave_rule": "0"}, "With waves of 0, the rotation would never end"),
        ({"wave_rule": "sideways"}, "is not a size"),
        ({"stop_rule": "100%"}, "nothing would ever stop it"),
        ({"stop_rule": "x"}, "Enter the number of failures"),
        ({"way": "api"}, "needs the organization number"),
        ({"way": "api", "numeric_organization_id": "12x", "credential_id": "3"}, "Enter digits only"),
        ({"numeric_organization_id": "12"}, "Enter both numbers"),
    ],
)
def test_a_form_that_cannot_be_followed_says_where(as_admin: Client, data: dict[str, str], said: str) -> None:
    rotation = make_rotation()
    services.take_back(rotation=rotation, message="x", actor=rotation.actor)
    Rotation.objects.update(state="taken_back", ended="2026-01-01T00:00:00Z")
    TechnicalAccount.objects.update(is_rotating=False)
    answer = as_admin.post(reverse("rotation_start", args=[rotation.account_id]), START | data)
    text = answer.content.decode()
    assert said in text
    assert 'value="CHG42"' in text  # nothing typed is lost
    assert Rotation.objects.count() == 1


def test_numbers_that_are_missing_are_named_at_their_fields_with_all_other_errors(as_admin: Client) -> None:
    rotation = make_rotation()
    Rotation.objects.update(state="taken_back", ended="2026-01-01T00:00:00Z")
    TechnicalAccount.objects.update(is_rotating=False)
    address = reverse("rotation_start", args=[rotation.account_id])
    label = as_admin.get(address).content.decode().split('for="id_credential_id"')[1].split("</label>")[0]
    assert "optional" not in label
    answer = as_admin.post(address, START | {"way": "api", "wave_rule": "0", "credential_id": "7"})
    assert sorted(answer.context["form"].errors) == ["numeric_organization_id", "wave_rule"]
    answer = as_admin.post(address, START | {"way": "by_hand", "credential_id": "x"})
    assert answer.context["form"].errors.as_data().keys() == {"numeric_organization_id", "credential_id"}


def test_an_account_without_a_goal_says_why_it_is_not_rotated(as_admin: Client) -> None:
    version = make_account()
    said = page(as_admin, "rotation_start", version.account_id)
    assert "Nothing has been rolled out yet" in said


def test_verbs_say_what_they_will_do(as_admin: Client, make_house: MakeHouse, settings: Settings) -> None:
    house = make_house(2)
    rotation = house.wait(house.begin(), Wait.CANARY_UNUSED)
    for name in ("pause", "take-back", "pass-gate", "declare-leak"):
        assert VERBS[name].explain(rotation) in page(as_admin, "rotation_verb", rotation.pk, name)
    assert verb(as_admin, rotation, "pass-gate", gate="canary_use", reason="") != ""
    assert verb(as_admin, rotation, "pass-gate", gate="canary_use", reason="nobody is there at night") == ""
    rotation = house.run(rotation)
    said = page(as_admin, "rotation", rotation.pk)
    assert "nobody is there at night" in said
    assert "Gates passed early" in said


def test_the_list_has_the_open_ones_first_and_then_the_newest(as_admin: Client) -> None:
    names = ("A", "B", "C")
    rotations = [make_rotation(account=name, instance=f"prod-{name}") for name in names]
    for days, rotation in zip((3, 1), rotations, strict=False):
        ended = timezone.now() - timedelta(days=days)
        Rotation.objects.filter(pk=rotation.pk).update(state="done", wait="ended", ended=ended)
    said = page(as_admin, "rotations")
    places = [said.index(reverse("rotation", args=[row.pk])) for row in rotations]
    assert places[2] < places[1] < places[0]


def test_a_page_that_takes_long_asks_again_less_often(
    as_admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"/rotations/{make_rotation().pk}/"
    assert 'hx-trigger="every 3s"' in as_admin.get(address).content.decode()
    clock = SimpleNamespace(monotonic=itertools.count(0, 4).__next__)
    monkeypatch.setattr("credentials.rotation.pages.views.time", clock)
    assert 'hx-trigger="every 40s"' in as_admin.get(address).content.decode()
