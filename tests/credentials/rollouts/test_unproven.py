"""What people do about successes without a proof, and about failures that a look may settle."""

import uuid

import pytest
from django.test import Client
from django.urls import reverse

from credentials.models import Assignment
from credentials.rollouts.models import Attempt, ProvenWrite, Push, Rollout
from credentials.rollouts.services import LOOKED_AT_AGAIN
from instances.failures import EXPLANATIONS
from portal.audit.models import AuditEvent
from tests.factories import finish, finish_all, make_rollout

pytestmark = pytest.mark.django_db


@pytest.fixture
def unproven() -> Rollout:
    """Two pushes that an earlier release called succeeded."""
    rollout = make_rollout(containers=["web1", "web2"])
    finish_all(rollout, state="succeeded")
    ProvenWrite.objects.all().delete()
    rollout.pushes.update(is_unproven=True)
    return rollout


def test_home_and_the_list_tell_of_them(unproven: Rollout, as_auditor: Client) -> None:
    assert "2 pushes were marked as succeeded without proof" in as_auditor.get("/").content.decode()
    page = as_auditor.get(reverse("unproven_successes")).content.decode()
    assert all(str(push.pk) in page for push in unproven.pushes.all())
    assert "Push the chosen ones again" not in page


def test_without_any_nothing_is_said(as_admin: Client) -> None:
    finish_all(make_rollout(), state="succeeded")
    assert "without proof" not in as_admin.get("/").content.decode()
    assert "Every success is proven." in as_admin.get(reverse("unproven_successes")).content.decode()


def test_a_pushs_own_page_says_so(unproven: Rollout, as_helpdesk: Client) -> None:
    push = unproven.pushes.all()[0]
    page = as_helpdesk.get(reverse("push", args=[push.pk])).content.decode()
    assert "Marked as succeeded without proof" in page
    assert reverse("unproven_successes") in page


def test_pushing_again_starts_a_repair_and_takes_them_off_the_list(
    unproven: Rollout, as_admin: Client
) -> None:
    push = unproven.pushes.all()[0]
    again = as_admin.post(reverse("unproven_push_again"), {"push": [str(push.pk)], "message": "CHG-9"})
    repair = Rollout.objects.latest("number")
    assert again["Location"] == reverse("rollout", args=[repair.pk])
    assert (repair.reason, repair.message, repair.secret) == ("repair", "CHG-9", unproven.secret)
    assert [each.installation_id for each in repair.pushes.all()] == [push.installation_id]
    assert Push.objects.unproven().count() == 1


def test_one_that_cannot_be_pushed_is_named_and_nothing_starts(unproven: Rollout, as_admin: Client) -> None:
    Assignment.objects.all().delete()
    ids = [str(push.pk) for push in unproven.pushes.all()]
    page = as_admin.post(reverse("unproven_push_again"), {"push": ids, "message": "kept"})
    assert "does not use this account" in page.content.decode()
    assert 'value="kept"' in page.content.decode()
    assert Rollout.objects.count() == 1


def test_choosing_none_is_told(unproven: Rollout, as_admin: Client) -> None:
    page = as_admin.post(reverse("unproven_push_again"), {})
    assert "Choose at least one push." in page.content.decode()


def test_a_push_that_is_proven_cannot_be_chosen(as_admin: Client) -> None:
    rollout = make_rollout()
    finish_all(rollout, state="succeeded")
    page = as_admin.post(reverse("unproven_push_again"), {"push": [str(rollout.pushes.all()[0].pk)]})
    assert page.status_code == 200
    assert Rollout.objects.count() == 1


@pytest.fixture
def not_proven() -> Push:
    push = make_rollout(containers=["web1"]).pushes.get()
    finish(push, state="failed", code="not_proven")
    return push


def test_helpdesk_may_look_again_and_nothing_is_sent_for_it(not_proven: Push, as_helpdesk: Client) -> None:
    url = reverse("push", args=[not_proven.pk])
    assert "Only look again" in as_helpdesk.get(url).content.decode()
    answer = as_helpdesk.post(reverse("push_look", args=[not_proven.pk]), {"message": "INC-4"}, follow=True)
    assert "is looking at the container" in answer.content.decode()
    not_proven.refresh_from_db()
    assert (not_proven.state, not_proven.cause, not_proven.tries) == ("unknown", "retry", Push.NO_MORE_TRIES)
    event = AuditEvent.objects.get(action="push.look_requested")
    assert (event.actor_name, event.details["message"], event.details["code"]) == (
        "henry",
        "INC-4",
        "not_proven",
    )


def test_a_failure_that_no_look_can_settle_has_no_such_button(not_proven: Push, as_helpdesk: Client) -> None:
    Push.objects.update(code="login_refused")
    assert "Only look again" not in as_helpdesk.get(reverse("push", args=[not_proven.pk])).content.decode()
    answer = as_helpdesk.post(reverse("push_look", args=[not_proven.pk]), {}, follow=True)
    assert "Nothing to look at" in answer.content.decode()
    not_proven.refresh_from_db()
    assert not_proven.state == "failed"


def test_only_what_is_told_after_the_file_was_read_can_be_looked_at_again() -> None:
    assert not any(EXPLANATIONS[code].retries for code in LOOKED_AT_AGAIN)
    assert all("Nothing was changed" not in str(EXPLANATIONS[code].cause) for code in LOOKED_AT_AGAIN)


def test_an_attempt_says_on_what_its_success_rests(as_auditor: Client) -> None:
    push = make_rollout(containers=["web1"]).pushes.get()
    finish(push, state="succeeded")
    page = as_auditor.get(reverse("push", args=[push.pk])).content.decode()
    assert str(Attempt.Proof.CHANGED.label) in page


def test_a_failure_whose_file_holds_the_version_says_so(as_helpdesk: Client) -> None:
    push = make_rollout(containers=["web1"]).pushes.get()
    finish(push, state="failed", code="killed")
    url = reverse("push", args=[push.pk])
    sentence = "Even so, the file holds this version"
    assert sentence not in as_helpdesk.get(url).content.decode()
    again = finish(push, state="failed", code="killed")
    Attempt.objects.create(
        push=push,
        number=again.number + 1,
        cause="retry",
        secret_version=1,
        secret_fingerprint="f",
        lease_token=uuid.uuid4(),
        worker="w",
        proof="recognized",
    )
    assert sentence in as_helpdesk.get(url).content.decode()


def test_one_digest_for_two_versions_is_an_alarm(as_admin: Client) -> None:
    push = make_rollout(containers=["web1"]).pushes.get()
    finish(push, state="failed", code="digest_ambiguous")
    page = as_admin.get("/").content.decode()
    assert "1 push shows a secret that two versions claim" in page
    assert f"{reverse('failed_pushes')}?code=digest_ambiguous" in page
