"""The whole wizard, both ways, from its first page to the started rollout."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django.fixtures import Settings

from credentials.models import Assignment, ClientSecret, TechnicalAccount
from credentials.rollouts.models import Push, Rollout
from credentials.wizard.models import Draft
from instances.models import Installation
from portal.audit.models import AuditEvent
from portal.plaintext import Secret
from portal.sandbox.ims import Mode, StandInIMS
from tests.credentials.wizard.wizard_walk import (
    ACCOUNT,
    CLIENT,
    ORGANIZATION,
    SECRET,
    begin,
    choose,
    console_json,
    done,
    make_installation,
    post,
    reach_values,
    typed,
)


@pytest.fixture
def ims(settings: Settings) -> Iterator[StandInIMS]:
    """Adobe's sign-in service, which knows the one client and its secret."""
    with StandInIMS() as server:
        server.accept(CLIENT, Secret(SECRET))
        settings.IMS_BASE_URL = server.url
        yield server


def test_a_new_integration_ends_in_a_rollout(as_admin: Client, ims: StandInIMS) -> None:
    installations = [make_installation(container="app01"), make_installation(container="app02")]
    account = begin(as_admin)
    done(as_admin, account, "signin", "project", "api", "authentication", "profile", "save")
    assert post(as_admin, account, "values", typed(action="typed"))["Location"].endswith("/check/")
    assert post(as_admin, account, "check", {"action": "ask"}).status_code == 302
    done(as_admin, account, "check")
    assert post(as_admin, account, "instances", choose(installations))["Location"].endswith("/review/")
    review = as_admin.get(reverse("wizard", args=[account.pk, "review"])).content.decode()
    assert f"-instance:prod1 -setimsoauth:{ORGANIZATION}/{CLIENT}/{ACCOUNT}/********" in review
    response = post(as_admin, account, "review", {"action": "start", "message": "CHG-1"})
    rollout = Rollout.objects.get()
    assert response["Location"] == reverse("rollout", args=[rollout.pk])
    assert (rollout.reason, rollout.message, rollout.requested_by_name) == ("new", "CHG-1", "alice")
    assert Push.objects.filter(state="queued").count() == 2
    assert Assignment.objects.get().account == account
    assert TechnicalAccount.objects.get().state == "active"
    assert not Draft.objects.exists()


def test_a_build_that_was_too_old_once_bars_nothing(as_admin: Client, ims: StandInIMS) -> None:
    """Campaign may have been upgraded since: the choice warns, and the push looks anew."""
    old = make_installation(container="old01", build=9382)
    Installation.objects.update(observed=timezone.now())
    account = reach_values(as_admin)
    post(as_admin, account, "values", typed(action="typed"))
    post(as_admin, account, "check", {"action": "ask"})
    done(as_admin, account, "check")
    page = as_admin.get(reverse("wizard", args=[account.pk, "instances"])).content.decode()
    assert f"Build 9382 was seen here on {timezone.localdate():%Y-%m-%d}" in page
    post(as_admin, account, "instances", choose([old]))
    review = as_admin.get(reverse("wizard", args=[account.pk, "review"])).content.decode()
    assert "1 of 1 is likely to fail: Campaign build too old" in review
    assert "build 9382 · seen" in " ".join(review.split())
    post(as_admin, account, "review", {"action": "start"})
    assert [push.installation for push in Push.objects.all()] == [old]
    again = as_admin.get(reverse("account_rollout", args=[account.pk])).content.decode()
    assert f'value="{old.pk}" checked' in again  # neither does a rotation leave it out


def test_a_migration_ends_in_a_rollout_of_that_reason(as_admin: Client, ims: StandInIMS) -> None:
    new, old = make_installation(container="app01"), make_installation(container="old01", build=9356)
    account = begin(as_admin, way="migration")
    page = as_admin.get(reverse("wizard", args=[account.pk, "version"])).content.decode()
    assert "prod1 on old01" in page
    assert post(as_admin, account, "version").status_code == 200
    post(as_admin, account, "version", {"confirm": "on"})
    done(as_admin, account, "filter", "open")
    post(as_admin, account, "values", {"action": "file", "text": console_json()})
    post(as_admin, account, "check", {"action": "ask"})
    done(as_admin, account, "check")
    post(as_admin, account, "instances", choose([new, old]))
    post(as_admin, account, "review", {"action": "start"})
    assert Rollout.objects.get().reason == "migration"
    assert {push.installation for push in Push.objects.all()} == {new, old}


def test_every_decision_of_the_walk_is_recorded(as_admin: Client, ims: StandInIMS) -> None:
    installation = make_installation()
    account = reach_values(as_admin)
    post(as_admin, account, "values", typed(action="typed"))
    post(as_admin, account, "check", {"action": "ask"})
    done(as_admin, account, "check")
    post(as_admin, account, "instances", choose([installation]))
    post(as_admin, account, "review", {"action": "start"})
    actions = list(AuditEvent.objects.order_by("seq").values_list("action", flat=True))
    expected = [
        "account.created",
        "client_secret.entered",
        "account.values_entered",
        "client_secret.checked",
        "account.activated",
        "account.assigned",
        "rollout.requested",
    ]
    assert [action for action in actions if action in expected] == expected


def test_a_draft_that_was_left_alone_is_asked_about_again(as_admin: Client, ims: StandInIMS) -> None:
    account = reach_values(as_admin)
    post(as_admin, account, "values", typed(action="typed"))
    post(as_admin, account, "check", {"action": "ask"})
    done(as_admin, account, "check")
    post(as_admin, account, "instances", choose([make_installation()]))
    ClientSecret.objects.update(ims_checked=timezone.now() - timedelta(days=30))
    ims.mode = Mode.THROTTLED
    page = post(as_admin, account, "review", {"action": "start"}).content.decode()
    assert "its answer was old. Too many checks" in page
    assert not Rollout.objects.exists()
    post(as_admin, account, "review", {"action": "start"})
    assert Rollout.objects.exists()
