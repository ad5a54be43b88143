"""The way of somebody who has the console's file: the next page is always the first that needs something."""

import json
from collections.abc import Iterator

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django.fixtures import Settings

from credentials.keys.vault import open_version
from credentials.models import TechnicalAccount
from credentials.rollouts.models import Rollout
from credentials.wizard.models import Draft
from portal.audit.models import AuditEvent
from portal.plaintext import Secret
from portal.sandbox.ims import StandInIMS
from tests.credentials.wizard.wizard_walk import (
    CLIENT,
    OTHER_SECRET,
    SECRET,
    begin,
    begin_with_json,
    choose,
    console_json,
    done,
    make_installation,
    post,
)


@pytest.fixture
def ims(settings: Settings) -> Iterator[StandInIMS]:
    """Adobe's sign-in service, which knows the one client and its secret."""
    with StandInIMS() as server:
        server.accept(CLIENT, Secret(SECRET))
        settings.IMS_BASE_URL = server.url
        yield server


def step_of(response: object) -> str:
    """Return the step that an answer leads to."""
    return str(response["Location"]).rstrip("/").rsplit("/", 1)[1]  # type: ignore[index]


def workspace_json(*, title: str) -> str:
    found = json.loads(console_json())
    oauth = {
        "client_id": found["CLIENT_ID"],
        "client_secrets": found["CLIENT_SECRETS"],
        "technical_account_id": found["TECHNICAL_ACCOUNT_ID"],
    }
    details = {"credentials": [{"id": "1", "oauth_server_to_server": oauth}]}
    organization = {"id": "2", "ims_org_id": found["ORG_ID"]}
    project = {"title": title, "org": organization, "workspace": {"details": details}}
    return json.dumps({"project": project})


def test_three_pages_from_the_file_to_the_rollout(as_admin: Client, ims: StandInIMS) -> None:
    installation = make_installation()
    assert step_of(begin_with_json(as_admin, console_json())) == "check"
    account = TechnicalAccount.objects.get()
    asked = post(as_admin, account, "check", {"action": "ask", "then": "continue"})
    assert step_of(asked) == "instances"  # a yes needs no click
    assert step_of(post(as_admin, account, "instances", choose([installation]))) == "review"
    post(as_admin, account, "review", {"action": "start"})
    assert Rollout.objects.get().secret.account == account
    assert not Draft.objects.exists()


def test_htmx_is_led_on_after_a_yes_and_shown_a_no(as_admin: Client, ims: StandInIMS) -> None:
    for text, yes in ((console_json(), True), (console_json(OTHER_SECRET, client_id="f" * 32), False)):
        begin_with_json(as_admin, text, name=f"Account {yes}")
        account = TechnicalAccount.objects.get(name=f"Account {yes}")
        data = {"action": "ask", "then": "continue", "stamp": Draft.objects.get(account=account).stamp}
        url = reverse("wizard", args=[account.pk, "check"])
        answer = as_admin.post(url, data, headers={"HX-Request": "true"})
        next_url = reverse("wizard", args=[account.pk, "instances"]) if yes else None
        assert answer.get("HX-Redirect") == next_url
        assert ("check" in Draft.objects.get(account=account).done) is yes


def test_a_migration_asks_for_the_versions_first(as_admin: Client) -> None:
    assert step_of(begin_with_json(as_admin, console_json(), is_migration="on")) == "version"
    account = TechnicalAccount.objects.get()
    assert account.way == "migration"
    assert step_of(post(as_admin, account, "version", {"confirm": "on"})) == "credential"


@pytest.mark.parametrize("secrets", [[], [SECRET, OTHER_SECRET]])
def test_a_file_that_does_not_tell_the_secret_leads_to_the_values(
    as_admin: Client, secrets: list[str]
) -> None:
    text = json.dumps(json.loads(console_json()) | {"CLIENT_SECRETS": secrets})
    assert step_of(begin_with_json(as_admin, text)) == "values"
    page = as_admin.get(reverse("wizard", args=[TechnicalAccount.objects.get().pk, "values"]))
    text = page.content.decode()
    assert "does not say which client secret to use" in text
    assert f'value="{CLIENT}"' in text
    assert SECRET not in text


def test_what_is_unusual_waits_at_the_values(as_admin: Client) -> None:
    assert step_of(begin_with_json(as_admin, console_json("another-secret-form"))) == "values"


def test_without_a_name_the_project_gives_one(as_admin: Client) -> None:
    begin_with_json(as_admin, workspace_json(title="Campaign production"), name="")
    account = TechnicalAccount.objects.get()
    assert (account.name, account.project) == ("Campaign production", "Campaign production")
    assert Draft.objects.get().step == "check"


def test_a_name_that_is_missing_is_asked_for_and_nothing_is_lost(as_admin: Client) -> None:
    assert step_of(begin_with_json(as_admin, console_json(), name="")) == "credential"
    account = TechnicalAccount.objects.get()
    assert open_version(account.secrets.get()).reveal() == SECRET
    page = as_admin.get(reverse("wizard", args=[account.pk, "credential"])).content.decode()
    for heading in ("Sign in to the Developer Console", "Create a project", "Save the API"):
        assert heading in page  # one list to compare with
    post(as_admin, account, "credential", {"name": "Triggers", "project": "P"})
    account.refresh_from_db()
    assert (account.name, account.project) == ("Triggers", "P")
    event = AuditEvent.objects.get(action="account.renamed")
    assert event.details == {"before": f"New account ({CLIENT[:8]})", "after": "Triggers"}


def test_a_name_that_is_taken_is_asked_for_and_nothing_is_lost(as_admin: Client) -> None:
    TechnicalAccount.objects.create(name="Triggers", state="active")
    response = begin_with_json(as_admin, console_json(), name="triggers")
    account = TechnicalAccount.objects.get(client_id=CLIENT)
    page = as_admin.get(response["Location"]).content.decode()
    assert "Another account has the name triggers" in page
    again = post(as_admin, account, "credential", {"name": "TRIGGERS", "project": "Kept"}).content.decode()
    assert "which is in use, has this name" in again
    assert 'value="Kept"' in again
    assert post(as_admin, account, "credential", {"name": account.name}).status_code == 302
    assert not AuditEvent.objects.filter(action="account.renamed").exists()


def test_a_refused_file_begins_nothing_and_the_name_comes_back(as_admin: Client) -> None:
    for text in (console_json() + "x", "{}", ""):
        page = begin_with_json(as_admin, text, name="Kept name", is_migration="on").content.decode()
        assert "<title>Error: " in page
        assert 'value="Kept name"' in page
        assert page.count(" checked") == 1
        assert SECRET not in page
    begin_with_json(as_admin, console_json())
    page = begin_with_json(as_admin, console_json(), name="Second").content.decode()
    assert "has this Client ID" in page  # the draft of before is named
    assert TechnicalAccount.objects.count() == 1


def test_an_old_draft_goes_on_step_by_step_or_by_the_file_and_back(as_admin: Client) -> None:
    account = begin(as_admin)
    done(as_admin, account, "signin")
    response = post(as_admin, account, "project", {"project": "Noted", "action": "json"})
    assert step_of(response) == "values"
    old = as_admin.get(reverse("wizard", args=[account.pk, "api"]))
    assert step_of(old) == "values"  # a step of the other way leads to where the draft is
    post(as_admin, account, "values", {"action": "file", "text": console_json()})
    by_steps = {"action": "steps", "name": "Another name", "project": "Noted"}
    assert step_of(post(as_admin, account, "credential", by_steps)) == "project"
    account.refresh_from_db()
    assert (account.name, account.project, account.client_id) == ("Another name", "Noted", CLIENT)
    assert "values" in Draft.objects.get().done


def test_going_back_keeps_what_was_typed(as_admin: Client) -> None:
    account = begin(as_admin)
    done(as_admin, account, "signin")
    response = post(as_admin, account, "project", {"project": "Half a na", "action": "back"})
    assert step_of(response) == "signin"
    account.refresh_from_db()
    assert account.project == "Half a na"
    assert "project" not in Draft.objects.get().done
