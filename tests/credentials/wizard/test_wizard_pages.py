"""The wizard as pages: order of steps, leaving and coming back, two admins, roles, bad input."""

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from pytest_django.fixtures import Settings

from credentials.models import Assignment, ClientSecret, TechnicalAccount
from credentials.rollouts.models import Rollout
from credentials.wizard.models import Draft
from credentials.wizard.steps import STEPS
from instances.models import Container, ExpectedHostKey, HostKey, Instance
from portal.audit.models import AuditEvent
from tests.credentials.wizard.wizard_walk import (
    SECRET,
    begin,
    choose,
    done,
    make_installation,
    post,
    reach_values,
    typed,
)

UNREACHABLE = "http://127.0.0.1:1"
NASTY = [
    "\x00",
    "a" * 5000,
    "\u202eevil",
    "<script>alert(1)</script>",
    "' OR 1=1 --",
    "../../etc/passwd",
    "💣",
]


def visit(client: Client, account: TechnicalAccount, step: str) -> str:
    return client.get(reverse("wizard", args=[account.pk, step])).content.decode()


def reach_instances(client: Client, settings: Settings) -> TechnicalAccount:
    settings.IMS_BASE_URL = UNREACHABLE
    account = reach_values(client)
    post(client, account, "values", typed(action="typed"))
    post(client, account, "check", {"action": "ask"})
    done(client, account, "check")
    return account


def test_every_step_shows_its_words_and_its_drawings(as_admin: Client) -> None:
    account = begin(as_admin)
    Draft.objects.update(done=[step.slug for step in STEPS["new"]])
    for step in STEPS["new"][:7]:
        text = visit(as_admin, account, step.slug)
        assert str(step.prose.heading) in text
        assert text.count('class="drawing"') == len(step.prose.drawings)
        assert 'rel="noopener noreferrer"' in text


def test_a_step_ahead_leads_back_to_the_first_one_not_done(as_admin: Client) -> None:
    account = begin(as_admin)
    done(as_admin, account, "signin")
    response = as_admin.get(reverse("wizard", args=[account.pk, "review"]))
    assert response["Location"] == reverse("wizard", args=[account.pk, "project"])


def test_going_back_is_free_and_what_was_noted_is_there(as_admin: Client) -> None:
    account = begin(as_admin)
    done(as_admin, account, "signin")
    post(as_admin, account, "project", {"project": "Campaign & Co"})
    assert 'value="Campaign &amp; Co"' in visit(as_admin, account, "project")


def test_a_product_of_ones_own_words_is_kept(as_admin: Client) -> None:
    account = begin(as_admin)
    done(as_admin, account, "signin", "project")
    post(as_admin, account, "api", {"product": "other", "other_product": "Journey Optimizer"})
    account.refresh_from_db()
    assert account.product == "Journey Optimizer"
    assert 'value="Journey Optimizer"' in visit(as_admin, account, "api")


def test_saving_and_leaving_keeps_the_note_and_the_place(as_admin: Client) -> None:
    account = begin(as_admin)
    done(as_admin, account, "signin")
    response = post(as_admin, account, "project", {"project": "Later", "action": "leave"})
    assert response["Location"] == reverse("account", args=[account.pk])
    account.refresh_from_db()
    assert account.project == "Later"
    assert as_admin.get(reverse("wizard_resume", args=[account.pk]))["Location"].endswith("/project/")


def test_another_admin_goes_on_with_the_draft(as_admin: Client, admin: User) -> None:
    account = begin(as_admin)
    bob = User.objects.create_user("bob")
    bob.groups.set(admin.groups.all())
    client = Client()
    client.force_login(bob)
    done(client, account, "signin")
    assert Draft.objects.get().changed_by_name == "bob"


def test_a_form_opened_before_another_change_is_refused_and_kept(as_admin: Client) -> None:
    account = begin(as_admin)
    done(as_admin, account, "signin")
    stale = Draft.objects.get().stamp
    post(as_admin, account, "project", {"project": "The other admin's", "action": "leave"})
    url = reverse("wizard", args=[account.pk, "project"])
    response = as_admin.post(url, {"stamp": stale, "project": "Mine", "action": "done"})
    text = response.content.decode()
    assert "changed this draft after you opened it" in text
    assert 'value="Mine"' in text
    account.refresh_from_db()
    assert account.project == "The other admin's"
    assert Draft.objects.get().stamp in text


def test_stale_values_are_not_stored_and_their_secret_not_shown(as_admin: Client) -> None:
    account = reach_values(as_admin)
    response = as_admin.post(
        reverse("wizard", args=[account.pk, "values"]), typed(action="typed", stamp="old")
    )
    assert "changed this draft after you opened it" in response.content.decode()
    assert SECRET not in response.content.decode()
    assert not ClientSecret.objects.exists()


def test_a_stale_review_starts_nothing(as_admin: Client, settings: Settings) -> None:
    installation = make_installation()
    account = reach_instances(as_admin, settings)
    post(as_admin, account, "instances", choose([installation]))
    response = as_admin.post(
        reverse("wizard", args=[account.pk, "review"]), {"stamp": "old", "message": "mine"}
    )
    assert 'value="mine"' in response.content.decode()
    assert not Rollout.objects.exists()


@pytest.mark.parametrize(("action", "there"), [("back", "/instances/"), ("leave", "/accounts/")])
def test_the_message_waits_for_somebody_who_leaves_the_review(
    as_admin: Client, settings: Settings, action: str, there: str
) -> None:
    installation = make_installation()
    account = reach_instances(as_admin, settings)
    post(as_admin, account, "instances", choose([installation]))
    left = post(as_admin, account, "review", {"action": action, "message": "CHG-<7>"})
    assert there in left["Location"]
    assert 'value="CHG-&lt;7&gt;"' in visit(as_admin, account, "review")
    post(as_admin, account, "review", {"action": "start", "message": "CHG-8"})
    assert Rollout.objects.get().message == "CHG-8"


def test_a_message_that_cannot_be_kept_is_shown_before_it_is_left(
    as_admin: Client, settings: Settings
) -> None:
    installation = make_installation()
    account = reach_instances(as_admin, settings)
    post(as_admin, account, "instances", choose([installation]))
    response = post(as_admin, account, "review", {"action": "back", "message": "x" * 251})
    assert response.status_code == 200
    assert "x" * 251 in response.content.decode()
    assert "Nothing has been saved yet" in response.content.decode()


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("draft", "Continue with that draft, delete it, or choose another name."),
        ("active", "which is in use, has this name"),
        ("retired", "keeps it for the history"),
    ],
)
def test_a_name_in_use_is_refused_with_the_account_that_has_it(
    as_admin: Client, state: str, said: str
) -> None:
    account = begin(as_admin, name="Same <b>")
    TechnicalAccount.objects.update(state=state)
    response = as_admin.post(reverse("account_new"), {"way": "new", "name": "same <B>"})
    page = response.content.decode()
    assert said in page
    assert f'<a href="{reverse("account", args=[account.pk])}">Open Same &lt;b&gt;</a>' in page
    assert "last changed by you" in page or state != "draft"
    assert 'value="same &lt;B&gt;"' in page


def test_hosted_and_switched_off_ones_cannot_be_chosen(as_admin: Client, settings: Settings) -> None:
    hosted = make_installation("hosted", "h1", deployment="hosted")
    off, good = make_installation(container="off"), make_installation()
    Container.objects.filter(name="off").update(is_enabled=False)
    account = reach_instances(as_admin, settings)
    text = visit(as_admin, account, "instances")
    for reason in ("Hosted by Adobe", "switched off in the inventory"):
        assert reason in text
    post(as_admin, account, "instances", choose([hosted, off, good]))
    assert list(Draft.objects.get().installations.all()) == [good]


def test_the_choice_says_what_is_saved_and_offers_what_can_be_chosen(
    as_admin: Client, settings: Settings
) -> None:
    rows = [make_installation(name, f"web{number}") for number, name in enumerate(("one", "two", "three"))]
    account = reach_instances(as_admin, settings)
    text = visit(as_admin, account, "instances")
    assert "0 installations are saved as chosen" in text
    assert "Choose all 3 instances found" in text
    Container.objects.filter(pk=rows[0].container_id).update(is_enabled=False)
    post(as_admin, account, "instances", choose([rows[1]]))
    text = visit(as_admin, account, "instances")
    assert "1 installation is saved as chosen" in text
    assert "Choose the 2 instances found that can be chosen" in text
    assert 'data-choice-elsewhere="0"' in text
    text = as_admin.get(reverse("wizard", args=[account.pk, "instances"]), {"q": "three"}).content.decode()
    assert 'data-choice-elsewhere="1"' in text


def test_containers_are_ticked_before_their_instance_is(as_admin: Client, settings: Settings) -> None:
    installation = make_installation()
    account = reach_instances(as_admin, settings)
    text = visit(as_admin, account, "instances")
    assert f'value="{installation.pk}" checked' in text
    assert f'value="{installation.instance_id}" checked' not in text
    response = post(as_admin, account, "instances", {"installation": [str(installation.pk)]})
    assert "Choose at least one instance" in response.content.decode()


def test_an_instance_that_would_change_its_account_is_warned_about(
    as_admin: Client, settings: Settings
) -> None:
    installation = make_installation()
    former = TechnicalAccount.objects.create(name="Former account", state="active")
    Assignment.objects.create(instance=installation.instance, account=former, assigned_by="x")
    HostKey.objects.all().delete()
    account = reach_instances(as_admin, settings)
    text = visit(as_admin, account, "instances")
    assert "Uses the account Former account now" in text
    assert "No host key is approved yet" in text
    post(as_admin, account, "instances", choose([installation]))
    assert "Uses the account Former account now" in visit(as_admin, account, "review")


def test_a_fingerprint_given_in_advance_is_said_to_be_checked_at_the_first_push(
    as_admin: Client, settings: Settings
) -> None:
    container = make_installation().container
    key = HostKey.objects.get()
    key.delete()
    ExpectedHostKey.objects.create(container=container, fingerprint="SHA256:expected", given_by="alice")
    account = reach_instances(as_admin, settings)
    text = visit(as_admin, account, "instances")
    assert "The fingerprint given in the inventory file is checked at the first push." in text
    assert "the push will fail" not in text
    HostKey.objects.create(container=container, type=key.type, base64="AAAA", fingerprint="SHA256:other")
    text = visit(as_admin, account, "instances")
    assert "The server showed a different host key from the one given in the inventory file" in text


def test_what_became_impossible_since_the_choice_is_named_in_the_review(
    as_admin: Client, settings: Settings
) -> None:
    first, second = make_installation(container="app01"), make_installation(container="app02")
    account = reach_instances(as_admin, settings)
    post(as_admin, account, "instances", choose([first, second]))
    Container.objects.filter(name="app02").update(is_enabled=False)
    review = visit(as_admin, account, "review")
    assert "1 of 2 cannot be pushed to: The container is switched off in the inventory" in review
    assert "With this choice, nothing would start." in review
    response = post(as_admin, account, "review", {"action": "start"})
    assert "switched off" in response.content.decode()
    assert not Rollout.objects.exists()
    assert TechnicalAccount.objects.get(pk=account.pk).state == "draft"


def test_adobe_not_reached_does_not_block(as_admin: Client, settings: Settings) -> None:
    account = reach_instances(as_admin, settings)
    assert ClientSecret.objects.get().ims_verdict == "unreachable"
    assert "check" in Draft.objects.get(account=account).done


def test_without_an_answer_the_check_is_not_done(as_admin: Client) -> None:
    account = reach_values(as_admin)
    post(as_admin, account, "values", typed(action="typed"))
    post(as_admin, account, "check")
    assert "check" not in Draft.objects.get().done


def test_a_secret_that_adobe_refuses_goes_no_further(as_admin: Client) -> None:
    account = reach_values(as_admin)
    post(as_admin, account, "values", typed(action="typed"))
    ClientSecret.objects.update(ims_verdict="wrong_secret")
    text = visit(as_admin, account, "check")
    assert "Wrong client secret" in text
    assert "Enter the values again" in text
    post(as_admin, account, "check")
    assert "check" not in Draft.objects.get().done


def test_htmx_gets_the_answer_alone(as_admin: Client, settings: Settings) -> None:
    settings.IMS_BASE_URL = UNREACHABLE
    account = reach_values(as_admin)
    post(as_admin, account, "values", typed(action="typed"))
    assert 'hx-trigger="load"' in visit(as_admin, account, "check")
    url = reverse("wizard", args=[account.pk, "check"])
    part = as_admin.post(url, {"action": "ask"}, headers={"HX-Request": "true"}).content.decode()
    assert "Adobe not reached" in part
    assert "<html" not in part
    assert "hx-trigger" not in part


def test_a_draft_is_deleted_with_its_secrets_after_a_question(as_admin: Client) -> None:
    account = reach_values(as_admin)
    post(as_admin, account, "values", typed(action="typed"))
    url = reverse("draft_delete", args=[account.pk])
    assert as_admin.get(url).status_code == 200
    assert TechnicalAccount.objects.exists()
    as_admin.post(url)
    assert not TechnicalAccount.objects.exists()
    assert AuditEvent.objects.get(action="draft.deleted").target_id == str(account.pk)


def test_the_wizard_of_an_account_in_use_leads_to_the_account(as_admin: Client) -> None:
    account = TechnicalAccount.objects.create(name="a", state="active")
    response = as_admin.get(reverse("wizard", args=[account.pk, "review"]))
    assert response["Location"] == reverse("account", args=[account.pk])
    assert as_admin.post(reverse("draft_delete", args=[account.pk])).status_code == 404


@pytest.mark.parametrize("name", ["wizard", "wizard_resume", "draft_delete", "account_new"])
def test_only_admins_use_the_wizard(
    name: str, as_admin: Client, as_helpdesk: Client, as_auditor: Client
) -> None:
    account = begin(as_admin)
    args = {"account_new": [], "wizard": [account.pk, "signin"]}.get(name, [account.pk])
    for client in (as_helpdesk, as_auditor):
        assert client.get(reverse(name, args=args)).status_code == 403


@pytest.mark.parametrize("text", NASTY)
def test_nasty_text_never_breaks_a_page(as_admin: Client, settings: Settings, text: str) -> None:
    as_admin.post(reverse("account_new"), {"way": text, "name": text})
    account = begin(as_admin, name="ordinary")
    done(as_admin, account, "signin")
    fields = dict.fromkeys(
        ["project", "product", "product_profile", "stamp", "action", "client_id", "client_secret"], text
    )
    ids = dict.fromkeys(
        ["technical_account_id", "organization_id", "instance", "installation", "message", "text"], text
    )
    Draft.objects.update(done=[step.slug for step in STEPS["new"]])
    for step in STEPS["new"]:
        response = as_admin.post(reverse("wizard", args=[account.pk, step.slug]), {**fields, **ids})
        assert response.status_code in (200, 302, 404)
        assert b"<script>alert" not in response.content
    assert as_admin.get(f"/accounts/{account.pk}/wizard/%00/").status_code == 400
    assert as_admin.get("/accounts/not-a-uuid/wizard/signin/").status_code == 404


def test_more_installations_take_no_more_queries(as_admin: Client, settings: Settings) -> None:
    account = reach_instances(as_admin, settings)
    for number in range(30):
        make_installation(f"inst{number}", f"host{number}")
    post(as_admin, account, "instances", choose(Instance.objects.get(name="inst1").installations.all()))
    few = [queries(as_admin, account, step) for step in ("instances", "review")]
    everything = Instance.objects.prefetch_related("installations")
    post(
        as_admin, account, "instances", choose(each for one in everything for each in one.installations.all())
    )
    many = [queries(as_admin, account, step) for step in ("instances", "review")]
    assert many == few


def queries(client: Client, account: TechnicalAccount, step: str) -> int:
    with CaptureQueriesContext(connection) as captured:
        visit(client, account, step)
    return len(captured)
