"""Choosing from more instances than one page shows: nothing that was chosen or typed is lost on the way."""

import pytest
from django.test import Client
from django.urls import reverse

from credentials.models import TechnicalAccount
from credentials.rollouts.choosing import PAGE
from credentials.rollouts.models import Preparation, Rollout
from instances.models import Installation
from portal.audit.trail import Actor
from tests.credentials.accounts.test_accounts import make_account
from tests.credentials.wizard.wizard_walk import make_installation

pytestmark = pytest.mark.django_db
INSTANCES = PAGE + 5


@pytest.fixture
def account(actor: Actor) -> TechnicalAccount:
    """An account that more instances use than one page shows."""
    return make_account(
        actor, [make_installation(f"inst{number:02}", f"host{number:02}") for number in range(INSTANCES)]
    )


def url(account: TechnicalAccount, query: str = "") -> str:
    return reverse("account_rollout", args=[account.pk]) + query


def ticks(client: Client, address: str, *, without: str = "") -> dict[str, list[str]]:
    """What the form of a page posts, with one instance unticked."""
    choices = client.get(address).context["selection"].choices
    ticked = [choice for choice in choices if choice.instance.name != without]
    return {
        "shown": [str(choice.instance.pk) for choice in choices],
        "instance": [str(choice.instance.pk) for choice in ticked],
        "installation": [str(row.installation.pk) for choice in ticked for row in choice.rows],
    }


def test_turning_a_page_keeps_what_was_unticked_and_typed(
    as_admin: Client, account: TechnicalAccount
) -> None:
    first = ticks(as_admin, url(account), without="inst03")
    answer = as_admin.post(
        url(account), {**first, "reason": "repair", "message": "CHG-1", "turn": "2"}, follow=True
    )
    assert answer.context["selection"].page.number == 2
    assert answer.context["selection"].total == INSTANCES - 1
    assert 'value="CHG-1"' in answer.content.decode()
    second = ticks(as_admin, url(account, "?page=2"), without="inst27")
    as_admin.post(url(account, "?page=2"), {**second, "reason": "repair", "action": "unconfirmed"})
    pushed = Rollout.objects.get(reason="repair").pushes.values_list(
        "installation__instance__name", flat=True
    )
    assert {f"inst{number:02}" for number in range(INSTANCES)} - set(pushed) == {"inst03", "inst27"}
    assert not Preparation.objects.exists()


def test_all_or_none_of_what_was_found_is_chosen_at_once(as_admin: Client, account: TechnicalAccount) -> None:
    form = {"reason": "repair"}
    as_admin.post(url(account), {**form, "action": "none"})
    assert as_admin.get(url(account)).context["selection"].total == 0
    as_admin.post(url(account, "?q=host1"), {**form, "action": "all"})
    assert as_admin.get(url(account)).context["selection"].total == 10
    as_admin.post(url(account), {**form, "action": "over"})
    assert as_admin.get(url(account)).context["selection"].total == INSTANCES


def test_an_old_preparation_does_not_leave_out_what_is_new(
    as_admin: Client, account: TechnicalAccount
) -> None:
    as_admin.post(url(account), {"reason": "repair", "action": "none"})
    Preparation.objects.update(changed="2020-01-01T00:00:00Z")
    assert as_admin.get(url(account)).context["selection"].total == Installation.objects.count()
