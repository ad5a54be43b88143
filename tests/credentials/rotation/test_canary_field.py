"""A canary is chosen from a list; where an account has many installations, its names are typed."""

import pytest
from django.test import Client
from django.urls import reverse

from credentials.models import TechnicalAccount
from credentials.rotation.models import Rotation
from credentials.rotation.pages import forms
from credentials.rotation.pages.forms import StartForm
from instances.models import Container, Installation
from tests.factories import make_account, make_installation

pytestmark = [pytest.mark.django_db, pytest.mark.database]
TYPED = {"way": "by_hand", "wave_rule": "1, 100%", "stop_rule": "0"}


@pytest.fixture
def account() -> TechnicalAccount:
    version = make_account(instances=["prod1", "prod2", "web"])
    account = version.account
    account.goal = version
    account.save(update_fields=["goal"])
    for instance, container in (
        ("prod1", "mkt-2"),
        ("prod1", "mkt-20"),
        ("prod2", "mkt-2"),
        ("web", "web-1"),
    ):
        make_installation(instance=instance, container=container)
    return account


def canary_of(account: TechnicalAccount, text: str) -> tuple[Installation | None, list[str]]:
    """Return what a form takes for this, and what it says at the field."""
    form = StartForm({**TYPED, "canary": text}, account=account)
    form.is_valid()
    return form.cleaned_data.get("canary"), [str(each) for each in form.errors.get("canary", ())]


def test_few_are_listed(account: TechnicalAccount) -> None:
    field = StartForm(account=account)["canary"]
    assert "The portal proposes one</option>" in str(field)
    assert str(field).count("<option") == 5
    chosen = Installation.objects.get(container__name="web-1")
    assert canary_of(account, str(chosen.pk)) == (chosen, [])


def test_many_are_typed_by_both_names(account: TechnicalAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forms, "MOST_LISTED", 3)
    field = StartForm(account=account)["canary"]
    assert "<option" not in str(field)
    assert "Type both names, such as prod1 on mkt-2." in str(field.help_text)
    wanted = Installation.objects.get(instance__name="prod1", container__name="mkt-2")
    for text in ("prod1 on mkt-2", "prod1@mkt-2", "PROD1 mkt-2", "mkt-2 prod1", "prod1 sur mkt-2"):
        assert canary_of(account, text) == (wanted, []), text
    assert canary_of(account, str(wanted.pk)) == (wanted, [])  # of a page that still had the list
    assert canary_of(account, "")[1] == []
    assert canary_of(account, "web web") == (None, ["No name is exactly that. Did you mean web on web-1?"])
    for text in ("prod3 on mkt-2", "nothing", "on", "prod1 on \0", "x" * 10_000, "prod1 on " + "-" * 60_000):
        assert len(canary_of(account, text)[1]) == 1


def test_another_one_is_never_taken_for_what_was_typed(
    account: TechnicalAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is out of reach is not on offer, and its name may be the beginning of another one."""
    monkeypatch.setattr(forms, "MOST_LISTED", 1)
    Container.objects.filter(name="mkt-2").update(is_by_hand=True)
    assert canary_of(account, "prod1 on mkt-2") == (
        None,
        ["No name is exactly that. Did you mean prod1 on mkt-20?"],
    )


def test_a_choice_that_is_gone_is_told_as_one(account: TechnicalAccount) -> None:
    gone = Installation.objects.get(container__name="web-1").pk
    Container.objects.filter(name="web-1").update(is_by_hand=True)
    [said] = canary_of(account, str(gone))[1]
    assert "Select a valid choice" in said


def test_two_that_differ_in_case_are_told_apart_by_nobody(
    account: TechnicalAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forms, "MOST_LISTED", 3)
    make_installation(instance="web", container="WEB-1")
    [said] = canary_of(account, "web on web-1")[1]
    assert said.startswith("That may be web on ")


def test_what_was_typed_is_still_there_after_an_error(
    as_admin: Client, account: TechnicalAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forms, "MOST_LISTED", 3)
    asked = as_admin.post(
        reverse("rotation_start", args=[account.pk]), {**TYPED, "canary": "prod3 on mkt-2"}
    ).text
    assert 'value="prod3 on mkt-2"' in asked
    assert "The portal reaches no installation of this account with that name." in asked
    assert not Rotation.objects.exists()
