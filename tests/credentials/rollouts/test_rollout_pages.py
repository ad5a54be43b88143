"""Pages of rollouts and of one push."""

import re
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from credentials.rollouts.models import Attempt, Push, Rollout
from credentials.rollouts.pages import views
from credentials.rollouts.progress import Progress
from credentials.rollouts.services import retry_pushes
from portal.audit.append_only import without_triggers
from portal.audit.models import AuditEvent
from portal.audit.trail import Actor
from portal.health.models import Worker
from tests.factories import finish, finish_all, make_rollout

pytestmark = pytest.mark.django_db

NO_SUCH = "00000000-0000-4000-8000-000000000000"
NASTY = ["0", "-1", "x", "9" * 400, "\0", "<b>", NO_SUCH]
LIVE = {"HX-Request": "true"}


def text(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200
    return response.content.decode()


def only_push(*, state: str = "", code: str = "", output: str = "") -> Push:
    push = make_rollout().pushes.get()
    if state:
        finish(push, state=state, code=code, output=output)
        push.refresh_from_db()
    return push


def test_without_a_rollout_the_list_says_what_to_do(as_admin: Client) -> None:
    assert "There are no rollouts yet" in text(as_admin, "/rollouts/")


def test_the_list_shows_the_state_and_what_became_of_the_pushes(as_auditor: Client) -> None:
    first, _second = make_rollout(containers=["web1", "web2"], message="CHG1").pushes.all()
    finish(first, state="failed", code="timed_out")
    page = text(as_auditor, "/rollouts/")
    assert page.index("1 failed") < page.index("1 queued")
    assert "CHG1" in page
    assert "status-running" in page


def test_the_list_is_filtered_by_account_and_reason(as_auditor: Client) -> None:
    make_rollout(account="One", instance="i1", containers=["c1"])
    second = make_rollout(account="Two", instance="i2", containers=["c2"])
    page = as_auditor.get("/rollouts/", {"account": str(second.secret.account_id)})
    assert [rollout.pk for rollout, _progress in page.context["rows"]] == [second.pk]
    assert "No rollout matches these filters." in text(as_auditor, "/rollouts/?reason=repair")


@pytest.mark.parametrize("name", ["page", "account", "reason"])
@pytest.mark.parametrize("value", NASTY)
def test_garbage_in_the_address_of_the_list_is_no_error(as_auditor: Client, name: str, value: str) -> None:
    make_rollout()
    assert as_auditor.get("/rollouts/", {name: value}).status_code == (400 if value == "\0" else 200)


def test_the_list_costs_the_same_number_of_queries_however_long_it_is(as_auditor: Client) -> None:
    counts = []
    for start, size in ((0, 1), (1, 30)):
        for number in range(start, start + size):
            make_rollout(account=f"A{number}", instance=f"i{number}", containers=[f"c{number}"])
        with CaptureQueriesContext(connection) as queries:
            text(as_auditor, "/rollouts/")
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_a_rollout_shows_every_push_with_its_outcome(as_auditor: Client) -> None:
    first, second = make_rollout(containers=["web1", "web2"]).pushes.all()
    finish(first, state="succeeded")
    finish(second, state="failed", code="timed_out")
    page = text(as_auditor, f"/rollouts/{first.rollout_id}/")
    assert "2 of 2 installations have an outcome" in page
    assert "No answer in time" in page
    assert ">2 s<" in page


def test_a_rollout_is_live_only_while_something_is_open(as_auditor: Client) -> None:
    rollout = make_rollout()
    page = text(as_auditor, f"/rollouts/{rollout.pk}/")
    assert 'hx-trigger="every 2s"' in page
    assert page.partition("<noscript>")[2].lstrip().startswith('<meta http-equiv="refresh"')
    finish_all(rollout, state="succeeded")
    page = text(as_auditor, f"/rollouts/{rollout.pk}/")
    assert "hx-trigger" not in page
    assert "http-equiv" not in page


def test_the_live_part_comes_without_the_rest_of_the_page(as_auditor: Client) -> None:
    rollout = make_rollout()
    part = as_auditor.get(f"/rollouts/{rollout.pk}/?state=queued", headers=LIVE).content.decode()
    assert part.lstrip().startswith('<div id="rollout-live"')
    assert f'hx-get="/rollouts/{rollout.pk}/?state=queued"' in part
    assert "<html" not in part


def test_pushes_of_one_state_can_be_shown_alone(as_auditor: Client) -> None:
    first, second = make_rollout(containers=["web1", "web2"]).pushes.all()
    finish(first, state="failed", code="timed_out")
    page = as_auditor.get(f"/rollouts/{first.rollout_id}/", {"state": "queued"})
    assert [line.push.pk for line in page.context["lines"]] == [second.pk]
    assert page.context["progress"].total == 2


@pytest.mark.parametrize("name", ["page", "state"])
@pytest.mark.parametrize("value", NASTY)
def test_garbage_in_the_address_of_a_rollout_is_no_error(as_auditor: Client, name: str, value: str) -> None:
    page = f"/rollouts/{make_rollout().pk}/"
    assert as_auditor.get(page, {name: value}).status_code == (400 if value == "\0" else 200)


@pytest.mark.parametrize("path", ["/rollouts/x/", f"/rollouts/{NO_SUCH}/", f"/rollouts/pushes/{NO_SUCH}/"])
def test_what_does_not_exist_is_not_found(as_auditor: Client, path: str) -> None:
    assert as_auditor.get(path).status_code == 404


def test_a_rollout_costs_the_same_number_of_queries_however_large_it_is(as_auditor: Client) -> None:
    counts = []
    for number, size in enumerate((1, 30)):
        rollout = make_rollout(
            account=f"A{number}", instance=f"i{number}", containers=[f"c{number}-{i}" for i in range(size)]
        )
        finish_all(rollout, state="failed", code="timed_out")
        with CaptureQueriesContext(connection) as queries:
            text(as_auditor, f"/rollouts/{rollout.pk}/")
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_the_next_try_is_shown_for_what_the_portal_tries_again(as_auditor: Client) -> None:
    push = only_push(state="queued", code="timed_out")
    page = as_auditor.get(f"/rollouts/{push.rollout_id}/")
    assert page.context["lines"][0].next_try == push.due


def test_an_admin_cancels_what_is_queued(as_admin: Client) -> None:
    first, second = make_rollout(containers=["web1", "web2"]).pushes.all()
    finish(first, state="succeeded")
    page = as_admin.post(f"/rollouts/{first.rollout_id}/cancel/", follow=True).content.decode()
    assert "1 queued push was cancelled." in page
    second.refresh_from_db()
    assert second.state == "cancelled"
    event = AuditEvent.objects.get(action="rollout.cancelled")
    assert (event.actor_name, event.details) == ("alice", {"cancelled": 1})


def test_cancelling_when_nothing_is_queued_says_so(as_admin: Client) -> None:
    rollout = make_rollout()
    finish_all(rollout, state="succeeded")
    page = as_admin.post(f"/rollouts/{rollout.pk}/cancel/", follow=True).content.decode()
    assert "nothing was cancelled" in page


def test_only_who_may_start_rollouts_sees_the_cancel_button(as_admin: Client, as_helpdesk: Client) -> None:
    rollout = make_rollout()
    assert "/cancel/" in text(as_admin, f"/rollouts/{rollout.pk}/")
    assert "/cancel/" not in text(as_helpdesk, f"/rollouts/{rollout.pk}/")


def test_a_push_shows_everything_about_its_attempts(as_auditor: Client) -> None:
    push = only_push(state="failed", code="refused_by_nlserver", output=">>> XSV-350023 <b>no</b>")
    page = text(as_auditor, f"/rollouts/pushes/{push.pk}/")
    for shown in (
        "Refused by nlserver",
        "nlserver reported an error.",
        "Show those lines to the Campaign team.",
        "&gt;&gt;&gt; XSV-350023 &lt;b&gt;no&lt;/b&gt;",
        "config=0",
        "bbbbbbbbbbbb",
        "dddddddddddd",
        "9394",
        "SHA256:abc",
        "worker1",
        "somebody",
    ):
        assert shown in page, shown
    assert "<b>no</b>" not in page


def test_a_push_without_attempts_says_what_it_waits_for(as_auditor: Client) -> None:
    assert "No attempt has been made yet" in text(as_auditor, f"/rollouts/pushes/{only_push().pk}/")


def test_many_attempts_come_in_pages(as_auditor: Client) -> None:
    push = only_push()
    for _ in range(45):
        finish(push, state="unknown", code="no_report")
    page = as_auditor.get(f"/rollouts/pushes/{push.pk}/?page=3")
    assert [attempt.number for attempt in page.context["page_obj"]] == [5, 4, 3, 2, 1]


@pytest.mark.parametrize("value", NASTY)
def test_garbage_in_the_address_of_a_push_is_no_error(as_auditor: Client, value: str) -> None:
    page = f"/rollouts/pushes/{only_push().pk}/"
    assert as_auditor.get(page, {"page": value}).status_code == (400 if value == "\0" else 200)


def test_the_live_part_of_a_push_says_what_to_do_in_its_present_state(as_helpdesk: Client) -> None:
    push = only_push(state="unknown", code="no_report")
    part = as_helpdesk.get(f"/rollouts/pushes/{push.pk}/", headers=LIVE).content.decode()
    assert part.lstrip().startswith('<div id="push-live"')
    assert "Look now" in part
    finish(push, state="failed", code="timed_out")
    part = as_helpdesk.get(f"/rollouts/pushes/{push.pk}/", headers=LIVE).content.decode()
    assert "Retry now" in part
    assert "hx-trigger" not in part


def test_the_news_of_a_rollout_is_one_short_sentence(as_auditor: Client) -> None:
    first, second, third = make_rollout(containers=["web1", "web2", "web3"]).pushes.all()
    finish(first, state="succeeded")
    finish(second, state="unknown", code="no_report")
    page = text(as_auditor, f"/rollouts/{third.rollout_id}/")
    assert '<p class="visually-hidden" role="status" data-news>1 of 3 succeeded, 1 unknown</p>' in page


def test_helpdesk_retries_one_push_with_a_reason(as_helpdesk: Client) -> None:
    push = only_push(state="failed", code="timed_out")
    page = as_helpdesk.post(f"/rollouts/pushes/{push.pk}/retry/", {"message": "Ticket 4711"}, follow=True)
    assert "The retry of 1 push was requested." in page.content.decode()
    push.refresh_from_db()
    assert (push.state, push.cause, push.cause_by, push.cause_message) == (
        "queued",
        "retry",
        "henry",
        "Ticket 4711",
    )


def test_who_retried_when_and_why_stays_on_the_page(as_auditor: Client, helpdesk: User) -> None:
    push = only_push(state="failed", code="timed_out")
    retry_pushes(push_ids=[push.pk], actor=Actor("henry", helpdesk), message="Ticket 4711")
    push.refresh_from_db()
    finish(push, state="failed", code="timed_out")
    page = as_auditor.get(f"/rollouts/pushes/{push.pk}/")
    (retry,) = page.context["retries"]
    assert (retry.who, retry.message, retry.was_unknown) == ("henry", "Ticket 4711", False)
    assert retry.outcome == "No answer in time"
    shown = page.content.decode()
    assert "Ticket 4711" in shown
    assert "Pushed again, because it had failed" in shown


def test_an_attempt_that_is_followed_by_another_is_not_called_queued(as_auditor: Client) -> None:
    push = only_push(state="queued", code="connection_refused")
    finish(push, state="failed", code="connection_refused")
    page = text(as_auditor, f"/rollouts/pushes/{push.pk}/")
    assert "To be tried again" in page
    assert "Queued" not in page


def test_while_the_portal_tries_again_a_person_has_nothing_to_do(as_helpdesk: Client) -> None:
    push = only_push(state="queued", code="connection_refused")
    page = text(as_helpdesk, f"/rollouts/pushes/{push.pk}/")
    assert "The portal tries again by itself" in page
    assert "Ask the server team" not in page


def test_a_push_leads_to_its_container_and_instance(as_helpdesk: Client) -> None:
    push = only_push(state="failed", code="host_key_changed")
    page = text(as_helpdesk, f"/rollouts/pushes/{push.pk}/")
    assert f'href="/containers/{push.container_id}/"' in page
    assert f'href="/instances/{push.installation.instance_id}/"' in page


def test_a_rollout_with_failures_leads_to_what_to_do(as_helpdesk: Client) -> None:
    push = only_push(state="failed", code="timed_out")
    address = f'href="/rollouts/failed/?account={push.rollout.secret.account_id}"'
    assert address in text(as_helpdesk, f"/rollouts/{push.rollout_id}/")


@pytest.mark.parametrize("state", ["succeeded", "queued", "cancelled", "superseded"])
def test_what_neither_failed_nor_is_unknown_is_left_alone(as_helpdesk: Client, state: str) -> None:
    push = only_push(state=state)
    page = as_helpdesk.post(f"/rollouts/pushes/{push.pk}/retry/", follow=True).content.decode()
    assert "It has not failed, and its outcome is known." in page or "It was cancelled or superseded." in page
    push.refresh_from_db()
    assert push.state == state


@pytest.mark.parametrize("message", ["x" * 251, "a\0b"])
def test_a_message_that_cannot_be_kept_is_named_and_nothing_is_retried(
    as_helpdesk: Client, message: str
) -> None:
    push = only_push(state="failed", code="timed_out")
    response = as_helpdesk.post(f"/rollouts/pushes/{push.pk}/retry/", {"message": message})
    assert response.status_code == 200
    assert "errorlist" in response.content.decode()
    push.refresh_from_db()
    assert push.state == "failed"


def test_an_auditor_sees_no_retry_form(as_auditor: Client) -> None:
    push = only_push(state="failed", code="timed_out")
    assert "/retry/" not in text(as_auditor, f"/rollouts/pushes/{push.pk}/")


def test_a_push_that_cannot_be_retried_says_why(as_helpdesk: Client) -> None:
    push = only_push(state="failed", code="timed_out")
    Push.objects.update(replaced=True)
    page = text(as_helpdesk, f"/rollouts/pushes/{push.pk}/")
    assert "A newer rollout was started for this installation." in page
    assert "/retry/" not in page


def test_every_code_has_words_on_the_page(as_auditor: Client) -> None:
    push = only_push(state="failed", code="timed_out")
    for code, label in Attempt._meta.get_field("code").flatchoices:
        Push.objects.filter(pk=push.pk).update(code=code)
        assert str(label) in text(as_auditor, f"/rollouts/pushes/{push.pk}/").replace("&#x27;", "'")


def test_the_state_of_a_rollout_is_the_one_that_needs_a_person_most() -> None:
    states = {
        "running": {"queued": 1, "failed": 1},
        "unknown": {"unknown": 1, "failed": 2, "succeeded": 3},
        "failed": {"failed": 1, "succeeded": 3, "cancelled": 1},
        "cancelled": {"cancelled": 1, "superseded": 1, "succeeded": 1},
        "superseded": {"superseded": 1, "succeeded": 1},
        "succeeded": {"succeeded": 1},
    }
    assert {Progress(counts).state for counts in states.values()} == set(states)
    assert [Progress(counts).state for counts in states.values()] == list(states)


@pytest.mark.parametrize(
    ("counts", "shown"),
    [
        ({"succeeded": 10, "failed": 3}, "partly"),
        ({"succeeded": 1, "unknown": 12}, "partly"),
        ({"succeeded": 1, "failed": 1, "cancelled": 1}, "partly"),
        ({"succeeded": 10, "failed": 3, "queued": 1}, "running"),
        ({"failed": 13}, "failed"),
        ({"unknown": 1, "failed": 12}, "unknown"),
        ({"succeeded": 10, "cancelled": 3}, "cancelled"),
        ({"succeeded": 13}, "succeeded"),
    ],
)
def test_a_rollout_with_some_successes_is_not_shown_like_one_with_none(
    counts: dict[str, int], shown: str
) -> None:
    assert Progress(counts).shown_state == shown


def test_every_page_says_partly_of_a_rollout_that_succeeded_partly(as_admin: Client) -> None:
    first, second = make_rollout(containers=["web1", "web2"]).pushes.all()
    finish(first, state="succeeded")
    finish(second, state="unknown", code="no_report")
    account = first.rollout.secret.account_id
    pages = ("/", "/rollouts/", f"/rollouts/{first.rollout_id}/", f"/accounts/{account}/?show=history")
    for path in pages:
        page = text(as_admin, path)
        assert "Partly succeeded" in page, path
        assert 'class="split-unknown"' in page, path
        assert "1 unknown" in page, path


def test_the_numbers_of_a_rollout_lead_to_its_pushes_in_that_state(as_auditor: Client) -> None:
    first, second = make_rollout(containers=["web1", "web2"]).pushes.all()
    finish(first, state="succeeded")
    finish(second, state="failed", code="timed_out")
    path = f"/rollouts/{first.rollout_id}/"
    assert '<a href="?state=failed">1 failed</a>' in text(as_auditor, path)
    page = as_auditor.get(path, {"state": "failed"})
    assert [line.push.pk for line in page.context["lines"]] == [second.pk]


def test_what_failed_comes_first_among_the_pushes_of_a_rollout(as_auditor: Client) -> None:
    names = ["web1", "web2", "web3", "web4", "web5"]
    rollout = make_rollout(containers=names)
    states = {"web1": "succeeded", "web3": "unknown", "web5": "failed"}
    for push in rollout.pushes.select_related("container"):
        if state := states.get(push.container.name):
            finish(push, state=state, code="" if state == "succeeded" else "timed_out")
    page = as_auditor.get(f"/rollouts/{rollout.pk}/")
    shown = [line.push.container.name for line in page.context["lines"]]
    assert shown == ["web5", "web3", "web1", "web2", "web4"]


def test_a_rollout_says_how_long_it_takes_so_far_and_still(as_auditor: Client) -> None:
    first, second = make_rollout(containers=["web1", "web2"]).pushes.all()
    path = f"/rollouts/{first.rollout_id}/"
    assert "Estimated time left" not in text(as_auditor, path), "no push has told how long it takes"
    finish(first, state="succeeded")
    Rollout.objects.update(requested=timezone.now() - timedelta(seconds=200))
    page = text(as_auditor, path)
    assert "Since the request" in page
    assert "3 min 20 s" in page
    assert "less than 1 min" in page
    assert "No worker has been seen recently" in page
    Worker.objects.create(name="worker1", concurrency=4)
    assert "judged by the last push" in text(as_auditor, path)
    finish(second, state="succeeded")
    Rollout.objects.update(requested=timezone.now() - timedelta(seconds=4000))
    Push.objects.update(finished=timezone.now() - timedelta(seconds=1000))
    page = text(as_auditor, path)
    assert "From the request to the last outcome" in page
    assert "50 min" in page
    assert "Estimated time left" not in page


def test_a_rollout_that_can_only_wait_says_until_when(as_auditor: Client) -> None:
    first, second = make_rollout(containers=["web1", "web2"]).pushes.all()
    finish(first, state="queued", code="timed_out")
    Push.objects.update(due=timezone.now() + timedelta(minutes=9, seconds=30))
    page = text(as_auditor, f"/rollouts/{first.rollout_id}/")
    assert 'id="timing-next"' in page
    assert "in 9 min" in page
    Push.objects.filter(pk=second.pk).update(state="running")
    page = text(as_auditor, f"/rollouts/{first.rollout_id}/")
    assert 'id="timing-next"' not in page
    assert page.count("in 9 min") == 1, "in its row"


def test_the_outcome_of_a_retry_takes_the_place_of_its_request(as_helpdesk: Client) -> None:
    push = only_push(state="failed", code="login_refused")
    address = f"/rollouts/pushes/{push.pk}/"
    page = as_helpdesk.post(f"{address}retry/", follow=True).content.decode()
    assert page.count("The retry of 1 push was requested.") == 1
    assert "nothing for now: the retry by henry is under way" in page
    assert "by itself" not in page.partition('id="explanation"')[2].partition("</section>")[0]
    part = {"HX-Request": "true"}
    assert "The retry is under way." in as_helpdesk.get(address, headers=part).content.decode()
    finish(push, state="failed", code="login_refused", cause="retry")
    for page in (as_helpdesk.get(address, headers=part).content.decode(), text(as_helpdesk, address)):
        assert "The retry has ended: it failed again (SSH login refused)." in page
        assert "was requested" not in page
    Push.objects.update(finished=timezone.now() - timedelta(hours=3))
    assert "The retry has ended" not in text(as_helpdesk, address)


def test_the_state_of_a_push_and_its_attempts_are_of_one_moment(
    as_helpdesk: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker begins the attempt after the push was read, and before its attempts are."""
    push = only_push(state="failed", code="login_refused")
    as_helpdesk.post(f"/rollouts/pushes/{push.pk}/retry/")
    read = views._push  # what a worker writes in between

    def read_and_begin(pk: UUID) -> Push:
        found = read(pk)
        if found.state == "queued":
            Push.objects.update(state="running", tries=1)
            begun = Attempt(push=found, number=found.attempts.count() + 1, cause="retry", worker="w")
            begun.secret_version, begun.secret_fingerprint, begun.lease_token = 1, "f", uuid4()
            begun.save()
        return found

    monkeypatch.setattr(views, "_push", read_and_begin)
    context = as_helpdesk.get(f"/rollouts/pushes/{push.pk}/").context
    assert context["push"].state == "running"
    assert next(each.finished for each in context["page_obj"]) is None
    assert context["page_obj"].paginator.count == len(context["page_obj"].object_list)


def test_a_retry_is_the_last_change_of_its_push(as_helpdesk: Client) -> None:
    push = only_push(state="failed", code="login_refused")
    with without_triggers(connection, "rollouts_attempt"):
        Attempt.objects.update(
            started=timezone.now() - timedelta(hours=1), finished=timezone.now() - timedelta(hours=1)
        )
    Push.objects.update(requested=timezone.now() - timedelta(hours=1))
    as_helpdesk.post(f"/rollouts/pushes/{push.pk}/retry/")
    line = as_helpdesk.get(f"/rollouts/pushes/{push.pk}/").context["line"]
    assert timezone.now() - line.changed < timedelta(minutes=1)


def test_the_time_of_a_rollout_says_whether_retries_are_in_it(as_helpdesk: Client) -> None:
    push = only_push(state="failed", code="login_refused")
    address, words = f"/rollouts/{push.rollout_id}/", "From the request to the last outcome"
    assert f"{words}, retries" not in text(as_helpdesk, address)
    retry_pushes(push_ids=[push.pk], actor=Actor("henry"))
    finish(push, state="failed", code="login_refused", cause="retry")
    assert f"{words}, retries by people included" in text(as_helpdesk, address)


def test_a_push_shows_its_code_and_no_step_that_contradicts_its_outcome(as_helpdesk: Client) -> None:
    push = only_push(state="failed", code="not_applied")
    page = text(as_helpdesk, f"/rollouts/pushes/{push.pk}/")
    assert re.search(r"<h2>Reported as done, but not in the file <code[^>]*>not_applied</code></h2>", page)
    stage = page.partition("Stage reached</dt>")[2].partition("</dd>")[0]
    assert "All steps ran" in stage
    assert "Done" not in stage
