"""The helpdesk's page: everything that failed, and retries of exactly what was chosen."""

import html
import re
from collections.abc import Callable, Iterable
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django.fixtures import Settings

from credentials.models import Assignment, ClientSecret
from credentials.rollouts.models import Attempt, ProvenWrite, Push
from credentials.rollouts.pages.failing import Failing, failing_of
from credentials.rollouts.services import cancel_rollout, retry_pushes
from credentials.rollouts.starting import start_rollout
from instances.failures import EXPLANATIONS, Code
from instances.inventory import retiring
from instances.inventory.contacts import save_contact
from instances.menders import MENDERS, Mender, menders
from instances.models import Contact, Container, ExpectedHostKey, HostKey, Installation, Instance
from instances.reaching.host_keys import approve_host_key
from portal.audit.append_only import without_triggers
from portal.audit.models import AuditEvent
from tests.factories import SOMEBODY, finish, finish_all, make_host_key, make_rollout
from tests.portal.exported import as_csv, as_json

pytestmark = pytest.mark.django_db

NO_SUCH = "00000000-0000-4000-8000-000000000000"
NASTY = ["\0", "a" * 5000, "' OR 1=1 --", "%00", "<script>", "-1", "9" * 400, NO_SUCH]


@pytest.fixture
def three() -> list[Push]:
    """A failed push on web1, another on web2, and an unknown one on web3."""
    pushes = list(make_rollout(containers=["web1", "web2", "web3"]).pushes.all())
    finish(pushes[0], state="failed", code="become_refused")
    finish(pushes[1], state="failed", code="timed_out")
    finish(pushes[2], state="unknown", code="no_report")
    return pushes


def listed(client: Client, query: str = "") -> set[str]:
    response = client.get(f"/rollouts/failed/{query}")
    assert response.status_code == 200
    return {line.push.container.name for line in response.context["rows"]}


def retry(client: Client, pushes: Iterable[Push], message: str = "", query: str = "") -> str:
    data = {"push": [str(push.pk) for push in pushes], "message": message}
    return client.post(f"/rollouts/failed/retry/{query}", data, follow=True).content.decode()


def states() -> dict[str, str]:
    return dict(Push.objects.values_list("container__name", "state"))


def test_nothing_to_retry_is_said_in_words(as_helpdesk: Client) -> None:
    assert "There is nothing to retry." in as_helpdesk.get("/rollouts/failed/").content.decode()


def test_failed_and_unknown_pushes_of_all_rollouts_are_listed(as_helpdesk: Client, three: list[Push]) -> None:
    other = make_rollout(account="Other", instance="other", containers=["c1", "c2"])
    finish(other.pushes.all()[0], state="failed", code="timed_out")
    assert listed(as_helpdesk) == {"web1", "web2", "web3", "c1"}


def test_cause_and_next_step_are_shown(as_helpdesk: Client, three: list[Push]) -> None:
    page = as_helpdesk.get("/rollouts/failed/").content.decode()
    assert "The login user may not act as neolane through sudo or su" in page
    assert "Ask the server team to set up the sudo rule" in page


def test_one_entry_of_the_navigation_is_the_current_one(as_helpdesk: Client, three: list[Push]) -> None:
    for response in (as_helpdesk.get("/rollouts/failed/"), as_helpdesk.post("/rollouts/failed/retry/")):
        main = response.content.decode().split('aria-label="Main"')[1].split("</nav>")[0]
        assert main.count("aria-current") == 1


def test_what_a_newer_rollout_replaced_is_not_listed(as_helpdesk: Client, three: list[Push]) -> None:
    Push.objects.filter(container__name="web1").update(replaced=True)
    assert listed(as_helpdesk) == {"web2", "web3"}


@pytest.mark.parametrize(
    ("query", "containers"),
    [
        ("?state=unknown", {"web3"}),
        ("?code=timed_out", {"web2"}),
        ("?container=WEB1", {"web1"}),
        ("?instance=prod*", {"web1", "web2", "web3"}),
        ("?instance=nothing", set()),
        ("?container=web", set()),
        ("?container=web*", {"web1", "web2", "web3"}),
        ("?state=failed&code=timed_out", {"web2"}),
        ("?state=nonsense&container=web2", {"web2"}),
    ],
)
def test_the_list_can_be_narrowed(
    as_helpdesk: Client, three: list[Push], query: str, containers: set[str]
) -> None:
    assert listed(as_helpdesk, query) == containers


def test_the_list_can_be_narrowed_to_an_account(as_helpdesk: Client, three: list[Push]) -> None:
    other = make_rollout(account="Other", instance="other", containers=["c1"])
    finish_all(other, state="failed", code="timed_out")
    assert listed(as_helpdesk, f"?account={other.secret.account_id}") == {"c1"}


@pytest.mark.parametrize("value", NASTY)
@pytest.mark.parametrize("name", ["account", "instance", "container", "code", "state", "page"])
def test_garbage_in_the_address_is_no_error(
    as_helpdesk: Client, three: list[Push], name: str, value: str
) -> None:
    assert as_helpdesk.get("/rollouts/failed/", {name: value}).status_code == (400 if value == "\0" else 200)


def test_the_list_costs_the_same_number_of_queries_however_long_it_is(as_helpdesk: Client) -> None:
    counts = []
    for number, size in enumerate((1, 40)):
        names = [f"c{number}-{i}" for i in range(size)]
        rollout = make_rollout(account=f"A{number}", instance=f"i{number}", containers=names)
        finish_all(rollout, state="failed", code="timed_out")
        for push in rollout.pushes.all() if number else ():
            finish(push, state="failed", code="timed_out", cause="retry")
        with CaptureQueriesContext(connection) as queries:
            listed(as_helpdesk)
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_fifty_are_on_a_page(as_helpdesk: Client) -> None:
    rollout = make_rollout(containers=[f"c{number}" for number in range(53)])
    finish_all(rollout, state="failed", code="timed_out")
    assert len(listed(as_helpdesk)) == 50
    assert len(listed(as_helpdesk, "?page=2")) == 3


def test_a_retry_takes_exactly_the_selection(as_helpdesk: Client, three: list[Push]) -> None:
    page = retry(as_helpdesk, [three[0], three[2]])
    assert "The retry of 2 pushes was requested." in page
    assert states() == {"web1": "queued", "web2": "failed", "web3": "unknown"}
    three[2].refresh_from_db()
    assert three[2].cause == "retry"


def test_a_retry_widens_and_changes_nothing_else(as_helpdesk: Client, three: list[Push]) -> None:
    before = list(Push.objects.order_by("pk").values("pk", "rollout", "installation", "container"))
    as_helpdesk.post(
        "/rollouts/failed/retry/",
        {
            "push": [str(three[0].pk)],
            "installation": "x",
            "secret": "x",
            "container": "x",
            "state": "succeeded",
        },
    )
    assert list(Push.objects.order_by("pk").values("pk", "rollout", "installation", "container")) == before


def test_a_retry_is_recorded_with_person_and_reason(as_helpdesk: Client, three: list[Push]) -> None:
    retry(as_helpdesk, [three[0]], "Ticket 4711")
    event = AuditEvent.objects.get(action="push.retried")
    assert (event.actor_name, event.target_id) == ("henry", str(three[0].pk))
    assert event.details == {
        "rollout": 1,
        "was": "failed",
        "code": "become_refused",
        "message": "Ticket 4711",
    }


def test_earlier_retries_are_shown_with_who_when_and_why(as_helpdesk: Client, three: list[Push]) -> None:
    retry(as_helpdesk, [three[0]], "Ticket 4711")
    three[0].refresh_from_db()
    finish(three[0], state="failed", code="become_refused", cause="retry")
    page = as_helpdesk.get("/rollouts/failed/").content.decode()
    assert "Last retried by henry" in page
    assert "Ticket 4711" in page


def test_of_several_retries_the_last_is_shown(as_helpdesk: Client, three: list[Push]) -> None:
    for ticket in ("Ticket 1", "Ticket 2"):
        retry(as_helpdesk, [three[0]], ticket)
        three[0].refresh_from_db()
        finish(three[0], state="failed", code="become_refused", cause="retry")
    page = as_helpdesk.get("/rollouts/failed/").content.decode()
    assert "Ticket 2" in page
    assert "Ticket 1" not in page


def test_what_cannot_be_retried_is_named_with_the_reason(as_helpdesk: Client, three: list[Push]) -> None:
    Container.objects.filter(name="web1").update(is_enabled=False)
    finish(three[1], state="succeeded")
    page = retry(as_helpdesk, three)
    assert "The retry of 1 push was requested." in page
    assert "Not retried: prod1 on web1. The container is switched off in the inventory." in page
    assert "Not retried: prod1 on web2. It has not failed, and its outcome is known." in page
    assert states() == {"web1": "failed", "web2": "succeeded", "web3": "unknown"}


def test_a_secret_version_that_was_given_up_is_never_pushed_again(
    as_helpdesk: Client, three: list[Push]
) -> None:
    ClientSecret.objects.update(state=ClientSecret.State.ABANDONED, slot=None)
    page = retry(as_helpdesk, three)
    assert page.count("Not retried") == page.count("A retry is not possible:") == 3
    assert "Its secret version can no longer be used." in page
    assert states() == {"web1": "failed", "web2": "failed", "web3": "unknown"}
    card = as_helpdesk.get(f"/rollouts/pushes/{three[0].pk}/").content.decode()
    assert "A retry is not possible:" in card
    assert "press it once" not in card, "there is nothing to press"


def test_two_people_who_retry_the_same_push_set_it_off_once(
    as_helpdesk: Client, as_admin: Client, three: list[Push]
) -> None:
    retry(as_helpdesk, [three[0]])
    assert "It has not failed, and its outcome is known." in retry(as_admin, [three[0]])
    assert AuditEvent.objects.filter(action="push.retried").count() == 1


@pytest.mark.parametrize("pushes", [[], ["x"], ["\0"], [NO_SUCH], ["' OR 1=1"], ["9" * 400]])
def test_a_selection_that_makes_no_sense_is_named_and_retries_nothing(
    as_helpdesk: Client, three: list[Push], pushes: list[str]
) -> None:
    response = as_helpdesk.post("/rollouts/failed/retry/", {"push": pushes})
    assert response.status_code == 200
    assert 'role="alert"' in response.content.decode()
    assert states() == {"web1": "failed", "web2": "failed", "web3": "unknown"}


def test_a_message_that_is_too_long_keeps_the_selection(as_helpdesk: Client, three: list[Push]) -> None:
    page = retry(as_helpdesk, [three[1]], "x" * 251)
    assert "at most 250 characters" in page
    assert page.count("checked") == 1
    assert "x" * 251 in page
    assert states()["web2"] == "failed"


def test_the_filters_survive_a_retry(as_helpdesk: Client, three: list[Push]) -> None:
    response = as_helpdesk.post(
        "/rollouts/failed/retry/?state=failed&container=web", {"push": [str(three[0].pk)]}
    )
    assert response["Location"] == "/rollouts/failed/?state=failed&container=web"


def test_an_auditor_sees_the_list_without_anything_to_click(as_auditor: Client, three: list[Push]) -> None:
    page = as_auditor.get("/rollouts/failed/").content.decode()
    assert "Not allowed to become neolane" in page
    assert 'type="checkbox"' not in page
    assert "Retry the chosen" not in page
    assert as_auditor.post("/rollouts/failed/retry/", {"push": [str(three[0].pk)]}).status_code == 403
    assert states()["web1"] == "failed"


def test_a_retry_by_get_does_nothing(as_helpdesk: Client, three: list[Push]) -> None:
    assert as_helpdesk.get("/rollouts/failed/retry/", {"push": str(three[0].pk)}).status_code == 405
    assert states()["web1"] == "failed"


def test_the_number_in_the_top_bar_falls_once_something_is_mended(
    as_helpdesk: Client, three: list[Push]
) -> None:
    def number() -> int:
        return int(as_helpdesk.get("/rollouts/").context["attention_count"])

    assert number() == 3
    retry(as_helpdesk, [three[0], three[2]])
    assert number() == 3  # a retry alone mends nothing
    finish(three[0], state="succeeded")
    assert number() == 2


def rows(page: str) -> dict[str, str]:
    """Return the text of each row of the list, by its container."""
    found = re.findall(r'<tr id="push-.*?</tr>', page, re.DOTALL)
    return {re.search(r"<small>(\w+)", row)[1]: " ".join(row.split()) for row in found}  # type: ignore[index]


def news(client: Client, page: str) -> str:
    """Return what the page would be told by its next question; empty if nothing has changed."""
    asked = re.search(r'hx-get="([^"]*)" hx-trigger="every (\d+)s"', page)
    known = re.search(r'"X-Told": "([^"]*)"', page)
    assert asked, "the page asks no more"
    assert known
    answer = client.get(html.unescape(asked[1]), headers={"HX-Request": "true", "X-Told": known[1]})
    assert answer.status_code in (200, 204)
    return answer.content.decode()


def test_what_is_retried_stays_in_its_row_until_there_is_an_outcome(
    as_helpdesk: Client, three: list[Push]
) -> None:
    page = retry(as_helpdesk, [three[0], three[1]], "Ticket 1")
    assert set(rows(page)) == {"web1", "web2", "web3"}
    assert "Retrying" in rows(page)["web1"]
    assert "retried by henry · Ticket 1" in rows(page)["web1"]
    assert 'type="checkbox"' not in rows(page)["web1"]
    assert "2 retries have no outcome yet" in page
    assert news(as_helpdesk, page) == ""
    finish(three[0], state="failed", code="timed_out", cause="retry")
    told = news(as_helpdesk, page)
    assert "Failed again" in rows(told)["web1"]
    assert "Retrying" in rows(told)["web2"]
    assert 'type="checkbox"' in rows(told)["web1"]  # it may be retried once more
    assert ("1 retry has no outcome yet" in told, "1 failed again" in told) == (True, True)
    finish(three[1], state="succeeded", cause="retry")
    last = news(as_helpdesk, told)
    assert "The retry succeeded" in rows(last)["web2"]
    assert "Your 2 retries have ended" in last
    assert 'hx-trigger="every 10s"' in last  # for the distances, and what others do


def test_banner_button_and_distances_change_together(
    as_helpdesk: Client, three: list[Push], monkeypatch: pytest.MonkeyPatch
) -> None:
    Push.objects.exclude(pk=three[0].pk).update(replaced=True)
    page = retry(as_helpdesk, [three[0]])
    assert "The retry of 1 push was requested." in page
    assert "None of these pushes can be retried now" in page
    assert re.search(r'id="retry-bar"\s+hidden', page)  # its button is wired when the page is loaded
    finish(three[0], state="failed", code="timed_out", cause="retry")
    told = news(as_helpdesk, page)
    assert "Your retry has ended" in told
    assert "was requested." not in told
    assert "None of these pushes can be retried now" not in told
    assert "Retry the chosen pushes" in told
    assert not re.search(r'id="retry-bar"\s+hidden', told)
    assert news(as_helpdesk, told) == ""
    monkeypatch.setattr("credentials.rollouts.pages.views.FRESH", 0)
    assert "Failed again" in rows(news(as_helpdesk, told))["web1"]  # with the distance of now


def test_a_warning_is_not_taken_away_by_news(as_helpdesk: Client, three: list[Push]) -> None:
    Container.objects.filter(name="web2").update(is_enabled=False)
    page = retry(as_helpdesk, three[:2])
    live = page.index('id="failed-live"')
    assert page.index("Not retried: prod1 on web2.") < live < page.index("The retry of 1 push was requested.")


def test_a_page_with_errors_is_not_refreshed(as_helpdesk: Client, three: list[Push]) -> None:
    assert 'id="failed-live"' in (page := retry(as_helpdesk, [three[1]], "x" * 251))
    assert "hx-get" not in page


def test_an_outcome_of_a_retry_is_shown_for_two_hours(as_helpdesk: Client, three: list[Push]) -> None:
    retry(as_helpdesk, [three[0], three[1]])
    finish(three[0], state="succeeded")
    finish(three[1], state="failed", code="timed_out")
    assert listed(as_helpdesk) == {"web1", "web2", "web3"}
    done = Push.objects.filter(finished__isnull=False)
    done.update(finished=timezone.now() - timedelta(minutes=119))
    assert listed(as_helpdesk) == {"web1", "web2", "web3"}
    done.update(finished=timezone.now() - timedelta(minutes=121))
    assert listed(as_helpdesk) == {"web2", "web3"}
    assert "retries have ended" not in as_helpdesk.get("/rollouts/failed/").content.decode()


def test_no_filter_takes_a_retry_out_of_sight(as_helpdesk: Client, three: list[Push]) -> None:
    page = retry(as_helpdesk, [three[0]], query="?state=failed&code=become_refused")
    assert "Retrying" in rows(page)["web1"]
    finish(three[0], state="failed", code="login_refused")
    assert "Failed again" in rows(news(as_helpdesk, page))["web1"]
    assert listed(as_helpdesk, "?container=web2") == {"web2"}


def test_a_look_that_a_person_asked_for_is_followed_like_a_retry(
    as_helpdesk: Client, three: list[Push]
) -> None:
    page = retry(as_helpdesk, [three[2]])
    assert "is looking at the container" in rows(page)["web3"]
    finish(three[2], state="unknown", code="no_report")
    told = news(as_helpdesk, page)
    assert "Next look:" in rows(told)["web3"]
    assert "1 still unknown" in told


def test_a_retry_that_was_called_off_does_not_vanish(as_helpdesk: Client, three: list[Push]) -> None:
    page = retry(as_helpdesk, [three[0]])
    cancel_rollout(rollout=three[0].rollout, actor=SOMEBODY)
    assert "Failed again" in rows(news(as_helpdesk, page))["web1"]


@pytest.mark.parametrize("value", [*NASTY, "," * 3000, ",".join([NO_SUCH] * 80)])
def test_garbage_in_a_question_for_news_is_no_error(as_helpdesk: Client, value: str) -> None:
    for told in (value, f"x.{value}"):
        answer = as_helpdesk.get("/rollouts/failed/", headers={"HX-Request": "true", "X-Told": told})
        assert answer.status_code == 200


def test_a_question_for_news_takes_as_many_queries_for_one_as_for_many(as_helpdesk: Client) -> None:
    listed_before: dict[str, str] = {}
    counts = []
    for number, size in enumerate((1, 30)):
        rollout = make_rollout(
            account=f"A{number}", instance=f"i{number}", containers=[f"c{number}x{i}" for i in range(size)]
        )
        finish_all(rollout, state="failed", code="timed_out")
        page = retry(as_helpdesk, rollout.pushes.all())
        finish_all(rollout, state="failed", code="timed_out")
        with CaptureQueriesContext(connection) as queries:
            assert len(rows(news(as_helpdesk, page))) == len(listed_before) + size
        listed_before = rows(page)
        counts.append(len(queries))
    assert counts[0] == counts[1]


def take_key(push: Push) -> None:
    HostKey.objects.filter(container=push.container).update(state="offered")


def take_assignment(push: Push) -> None:
    Assignment.objects.all().delete()


def switch_off(push: Push) -> None:
    Container.objects.filter(pk=push.container_id).update(is_enabled=False)


def start_and_cancel_another(push: Push) -> None:
    newer = start_rollout(
        version=push.rollout.secret, installations=[push.installation], reason="repair", actor=SOMEBODY
    )
    cancel_rollout(rollout=newer, actor=SOMEBODY)


@pytest.mark.parametrize(
    ("prevent", "reason"),
    [
        (take_key, 'an admin must approve one first. <a href="/containers/'),
        (take_assignment, 'The instance uses another account now. <a href="/instances/'),
        (switch_off, 'The container is switched off in the inventory. <a href="/containers/'),
        (start_and_cancel_another, "A newer rollout was started for this installation. Ask an admin"),
    ],
)
def test_a_retry_that_cannot_work_is_off_and_says_why(
    as_helpdesk: Client, three: list[Push], prevent: Callable[[Push], None], reason: str
) -> None:
    prevent(three[0])
    row = rows(as_helpdesk.get("/rollouts/failed/").content.decode())["web1"]
    assert reason in row
    assert "disabled" in row
    assert f'aria-describedby="why-{three[0].pk}"' in row
    assert f"Not retried: {three[0].installation}" in retry(
        as_helpdesk, [three[0]]
    )  # who posts it all the same


def test_an_admin_is_led_to_a_rollout_where_a_retry_cannot_work(as_admin: Client, three: list[Push]) -> None:
    start_and_cancel_another(three[0])
    row = rows(as_admin.get("/rollouts/failed/").content.decode())["web1"]
    assert f"/accounts/{three[0].rollout.secret.account_id}/rollout/" in row


def test_an_old_build_is_no_reason_against_a_retry(as_helpdesk: Client, three: list[Push]) -> None:
    """Campaign may have been upgraded since: the retry looks anew."""
    Installation.objects.update(observed_build=9382)
    finish(three[0], state="failed", code="build_too_old")
    page = retry(as_helpdesk, [three[0]])
    assert "Retrying" in rows(page)["web1"]


def test_a_key_that_is_expected_is_no_reason_against_a_retry(as_helpdesk: Client, three: list[Push]) -> None:
    take_key(three[0])
    ExpectedHostKey.objects.create(container=three[0].container, fingerprint="SHA256:x", given_by="alice")
    assert "Retrying" in rows(retry(as_helpdesk, [three[0]]))["web1"]


def test_where_nothing_can_be_retried_no_button_pretends_it(as_helpdesk: Client, three: list[Push]) -> None:
    Container.objects.update(is_enabled=False)
    page = as_helpdesk.get("/rollouts/failed/").content.decode()
    assert "Retry the chosen pushes" not in page
    assert "None of these pushes can be retried now" in page


def fail_again(client: Client, push: Push, *, before: str, after: str) -> None:
    """Have a person retry a push that failed 20 minutes ago; it fails again now."""
    first = finish(push, state="failed", code=before)
    long_ago = timezone.now() - timedelta(minutes=20)
    with without_triggers(connection, "rollouts_attempt"):
        Attempt.objects.filter(pk=first.pk).update(started=long_ago, finished=long_ago)
    retry(client, [push])
    push.refresh_from_db()
    finish(push, state="failed", code=after, cause="retry")


@pytest.fixture
def one() -> Push:
    return make_rollout().pushes.get()


@pytest.mark.parametrize("code", [code for code in Code if EXPLANATIONS[code].if_again])
def test_after_a_second_failure_nobody_is_told_to_retry_first(
    as_helpdesk: Client, one: Push, code: str
) -> None:
    fail_again(as_helpdesk, one, before=code, after=code)
    remedy = str(EXPLANATIONS[code].if_again)
    assert not remedy.lower().startswith(("retry", "look again"))
    for address in ("/", "/rollouts/failed/", f"/rollouts/pushes/{one.pk}/"):
        page = " ".join(html.unescape(as_helpdesk.get(address).content.decode()).split())
        assert f"<strong>What to do:</strong> The retry failed for the same reason. {remedy}" in page, address
        assert str(EXPLANATIONS[code].next_step) not in page


def test_another_failure_than_before_has_its_usual_advice(as_helpdesk: Client, one: Push) -> None:
    fail_again(as_helpdesk, one, before="timed_out", after="reload_failed")
    row = rows(as_helpdesk.get("/rollouts/failed/").content.decode())["web1"]
    assert "Retry, or ask the Campaign team" in row
    assert "for the same reason" not in row


def test_a_retry_does_not_hide_since_when_a_push_fails(as_helpdesk: Client, one: Push) -> None:
    fail_again(as_helpdesk, one, before="timed_out", after="timed_out")
    first, last = one.attempts.order_by("number")
    assert first.finished
    for address in ("/", "/rollouts/failed/", f"/rollouts/pushes/{one.pk}/"):
        page = re.sub(r"<[^>]*>", "", as_helpdesk.get(address).content.decode())
        assert f"Failing since {timezone.localtime(first.finished):%Y-%m-%d %H:%M:%S}" in page, address
        assert f"last try {timezone.localtime(last.started):%Y-%m-%d %H:%M:%S}, 2 tries" in page, address
        assert f"Failing since: {timezone.localtime(first.finished):%Y-%m-%d %H:%M}" in page, address
        assert "Tries without success: 2" in page, address


def test_a_success_ends_what_failed_before_it(one: Push) -> None:
    finish(one, state="failed", code="timed_out")
    finish(one, state="succeeded")
    assert failing_of([one.pk])[one.pk] == Failing()
    last = finish(one, state="failed", code="timed_out")
    found = failing_of([one.pk])[one.pk]
    assert (found.since, found.tries) == (last.finished, 1)


def tickets(client: Client, address: str) -> list[str]:
    """Return the texts for tickets on a page."""
    page = client.get(address).content.decode()
    return [html.unescape(text) for text in re.findall(r'id="ticket-\d+"[^>]*>(.*?)</pre>', page, re.DOTALL)]


def test_a_ticket_says_everything_to_people_without_a_portal(as_helpdesk: Client, one: Push) -> None:
    save_contact(Contact(environment="production", who="Operations", reach="+33 1 55"), actor=SOMEBODY)
    finish(one, state="failed", code="become_refused", output="sudo: a password is required\n\nfor neolane")
    for address in ("/", "/rollouts/failed/", f"/rollouts/pushes/{one.pk}/"):
        [text] = tickets(as_helpdesk, address)
        for told in (
            "Not allowed to become neolane (become_refused): the portal",
            " could not deliver a secret to 1 installation\n",
            "Failing since: ",
            "Tries without success: 1\n",
            "Who can mend it: the server team\n",
            "Server team of Production: Operations, +33 1 55\n",
            "Installation: prod1 on web1\n",
            "Environment: Production\n",
            "Account: Triggers\n",
            "Address of the container: web1.example.com:22\n",
            f"Push of rollout {one.rollout.number} (version 1)\n",
            f"Login: {one.container.login}\n",
            "What the container printed:\n    sudo: a password is required\n\n    for neolane\n",
        ):
            assert told in text, (address, told)
        address = f"http://testserver/rollouts/pushes/{one.pk}/"
        assert text.endswith(f"\n\nIn the portal, for those who have access: {address}")
        assert "advises its helpdesk to do: Ask the server team to set up the sudo rule" in text
        assert not any(line and not line.strip() for line in text.splitlines())


def test_a_ticket_about_a_host_key_has_the_fingerprints(as_helpdesk: Client, one: Push) -> None:
    finish(one, state="failed", code="host_key_changed")
    offered = make_host_key(container=one.container, state="offered")
    approved = one.container.host_keys.get(state="approved")
    ExpectedHostKey.objects.create(container=one.container, fingerprint="SHA256:given", given_by="alice")
    [text] = tickets(as_helpdesk, "/rollouts/failed/")
    assert f"Host key approved: ssh-ed25519 {approved.fingerprint}\n" in text
    assert f"Host key offered by the server: ssh-ed25519 {offered.fingerprint}\n" in text
    assert "Host key expected: SHA256:given\n" in text


def test_a_ticket_about_many_leads_to_the_list_of_them(as_helpdesk: Client) -> None:
    finish_all(make_rollout(containers=["web1", "web2"]), state="failed", code="timed_out")
    [text] = tickets(as_helpdesk, "/rollouts/failed/?container=web*")
    assert "could not deliver a secret to 2 installations\n" in text
    assert text.endswith(": http://testserver/rollouts/failed/?state=failed&code=timed_out&container=web%2A")
    assert len(listed(as_helpdesk, f"?{text.rpartition('?')[2]}")) == 2


def test_a_ticket_has_no_more_output_than_is_read(as_helpdesk: Client, one: Push) -> None:
    finish(one, state="failed", code="refused_by_nlserver", output="x" * 50_000)
    [text] = tickets(as_helpdesk, "/rollouts/failed/")
    assert len(text) < 4000


def test_what_only_a_retry_keeps_in_sight_is_marked(as_helpdesk: Client, three: list[Push]) -> None:
    retry(as_helpdesk, [three[0]])
    finish(three[0], state="failed", code="login_refused")
    for query, are_marked in (
        ("?code=timed_out", {"web1": True, "web2": False}),
        ("?state=unknown", {"web1": True, "web3": False}),
        ("?mender=network", {"web1": True, "web2": False}),
        ("?code=login_refused&state=failed&mender=server", {"web1": False}),
        ("", dict.fromkeys(("web1", "web2", "web3"), False)),
    ):
        found = rows(as_helpdesk.get(f"/rollouts/failed/{query}").content.decode())
        marks = {name: "Does not match the filters" in row for name, row in found.items()}
        assert marks == are_marked, query


def read(client: Client, address: str) -> str:
    """Return the words of a page, without its marks."""
    page = client.get(address).content.decode().partition("<main")[2]
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).split())


def test_every_place_says_what_a_retry_does_on_campaign(
    as_helpdesk: Client, three: list[Push], settings: Settings
) -> None:
    settings.PUSH_RETRY_DELAYS = [1, 2, 3]
    Push.objects.exclude(pk=three[1].pk).update(replaced=True)
    for address in ("/", "/rollouts/failed/", f"/rollouts/pushes/{three[1].pk}/"):
        said = read(as_helpdesk, address)
        assert "Campaign reloads its configuration" in said or "has Campaign reload its configuration" in said
        assert "by itself, at most 3 times" in said, address
        assert "pipelined" not in said, address
    Instance.objects.update(uses_triggers=True)
    for address in ("/", "/rollouts/failed/", f"/rollouts/pushes/{three[1].pk}/"):
        assert "pipelined" in read(as_helpdesk, address), address
    said = read(as_helpdesk, f"/rollouts/pushes/{three[1].pk}/")
    assert "Sends version 1 of the secret to this installation again (environment: Production)" in said


def test_of_several_pushes_those_that_restart_pipelined_are_counted(as_helpdesk: Client) -> None:
    finish_all(make_rollout(containers=["web1", "web2"]), state="failed", code="timed_out")
    finish_all(
        make_rollout(account="B", instance="i2", containers=["web3"]), state="failed", code="timed_out"
    )
    Instance.objects.filter(name="prod1").update(uses_triggers=True)
    assert "restarts pipelined on 2 of them" in read(as_helpdesk, "/")
    page = as_helpdesk.get("/rollouts/failed/").content.decode()
    assert "For 2 of the pushes on this page, pipelined is restarted as well." in page
    assert {name: "data-restarts" in row for name, row in rows(page).items()} == {
        "web1": True,
        "web2": True,
        "web3": False,
    }


def addresses(push: Push) -> tuple[str, str, str]:
    """Every page on which a push can be retried."""
    return "/?for=queue", "/rollouts/failed/", f"/rollouts/pushes/{push.pk}/"


def can_retry(client: Client, push: Push) -> list[bool]:
    """Return for each page whether it offers to retry this push."""
    found = [client.get(address).content.decode() for address in addresses(push)]
    boxes = re.findall(r"<input[^>]*>", found[1])
    ticked = any(f'value="{push.pk}"' in box and "disabled" not in box for box in boxes)
    return ["Retry this push" in found[0], ticked, "Retry now" in found[2]]


def test_another_host_key_is_decided_on_before_anything_is_retried(as_helpdesk: Client, one: Push) -> None:
    finish(one, state="failed", code="host_key_changed")
    assert can_retry(as_helpdesk, one) == [False] * 3
    for address in addresses(one):
        page = as_helpdesk.get(address).content.decode()
        assert "An admin must decide about that key first" in page, address
        assert f"/containers/{one.container_id}/#host-keys" in page, address
    assert "An admin must decide" in retry(as_helpdesk, [one])
    offered = make_host_key(container=one.container, state="offered")
    assert can_retry(as_helpdesk, one) == [False] * 3
    approve_host_key(key=offered, actor=SOMEBODY, fingerprint=offered.fingerprint)
    assert can_retry(as_helpdesk, one) == [True] * 3
    retry(as_helpdesk, [one])
    assert states() == {"web1": "queued"}


SORTS = ("busy", "build_too_old", "host_key_changed", "reload_failed", "not_applied", "by_hand", "retired")
"""A code of each sort: mended by a retry, by others first, by an admin's decision, or by nobody."""


def test_a_retry_is_offered_on_every_page_or_on_none(as_helpdesk: Client, one: Push) -> None:
    for code in SORTS:
        finish(one, state="failed", code=code)
        assert len(set(can_retry(as_helpdesk, one))) == 1, code


def test_a_cause_that_others_mend_has_a_button_of_the_second_rank(as_helpdesk: Client, one: Push) -> None:
    for code, is_first in (("busy", True), ("build_too_old", False)):
        finish(one, state="failed", code=code)
        for address in (addresses(one)[0], addresses(one)[2]):
            said = read(as_helpdesk, address)
            assert ("A retry alone is not likely to help" in said) != is_first, (code, address)


def test_the_outcome_of_the_last_press_comes_first_and_by_itself(
    as_helpdesk: Client, as_admin: Client, three: list[Push]
) -> None:
    retry(as_admin, [three[0]])
    finish(three[0], state="failed", code="become_refused", cause="retry")
    page = retry(as_helpdesk, [three[1]])
    banner, _mark, others = page.partition('id="other-retries"')
    assert "1 retry has no outcome yet" in banner
    assert "failed again" not in banner
    assert "1 failed again" in others
    finish(three[1], state="succeeded", cause="retry")
    banner, _mark, others = news(as_helpdesk, page).partition('id="other-retries"')
    assert ("Your retry has ended" in banner, "1 succeeded" in banner) == (True, True)
    assert "callout-success" in banner
    assert "1 failed again" in others
    retry(as_helpdesk, [three[2]])
    page = as_helpdesk.get("/rollouts/failed/").content.decode()
    banner, _mark, others = page.partition('id="other-retries"')
    assert "1 retry has no outcome yet" in banner
    assert ("1 succeeded" in others, "1 failed again" in others) == (True, True)


def test_a_person_who_pressed_nothing_sees_no_banner(
    as_helpdesk: Client, as_admin: Client, three: list[Push]
) -> None:
    retry(as_admin, [three[0]])
    finish(three[0], state="failed", code="become_refused", cause="retry")
    page = as_helpdesk.get("/rollouts/failed/").content.decode()
    assert "callout-danger" not in page
    assert "Pushes retried in the last two hours, by everyone:" in page


def test_after_a_retry_in_vain_others_mend_it(as_helpdesk: Client, one: Push) -> None:
    fail_again(as_helpdesk, one, before="reload_failed", after="reload_failed")
    for address in addresses(one):
        said = read(as_helpdesk, address)
        assert "Who can mend it: the Campaign team" in said, address
        assert "helpdesk (by a retry)" not in said.partition("Failing since")[0].partition("What to do")[2]
        [ticket] = tickets(as_helpdesk, address)
        assert "wrote a secret on 1 installation, and a step after that failed\n" in ticket
        assert "Who can mend it: the Campaign team\n" in ticket
        assert "advises its helpdesk to do: Ask the Campaign team to restart Campaign" in ticket
    assert re.search(r"failed again\s+(just now|\d+ s ago)", read(as_helpdesk, "/?for=queue"))
    response = as_helpdesk.get("/rollouts/failed/?mender=helpdesk")
    assert [row.is_beyond_filters for row in response.context["rows"]] == [True]
    assert "0 pushes match the filters." in response.content.decode()
    assert " of 1 " not in read(as_helpdesk, "/rollouts/failed/?mender=helpdesk")
    response = as_helpdesk.get("/rollouts/failed/?mender=campaign")
    assert [row.is_beyond_filters for row in response.context["rows"]] == [False]


@pytest.mark.parametrize("code", [code for code in Code if Mender.HELPDESK in MENDERS[code]])
def test_whoever_mends_it_after_a_retry_is_who_is_asked(code: str) -> None:
    [first, *_others] = menders(code, is_alike=True)
    named = str(first.label).removeprefix("an ").removeprefix("the ").partition(" (")[0]
    assert named in str(EXPLANATIONS[Code(code)].after_retry) or code == Code.CHANGED_BY_OTHERS


def test_after_a_press_the_keyboard_is_at_its_outcome(as_helpdesk: Client, three: list[Push]) -> None:
    before = as_helpdesk.get("/rollouts/failed/").content.decode()
    assert not re.search(r'id="failed-status"[^>]*autofocus', before)
    assert re.search(r'id="failed-status"[^>]*tabindex="-1"[^>]*autofocus', retry(as_helpdesk, [three[0]]))
    address = f"/rollouts/pushes/{three[1].pk}/retry/"
    page = as_helpdesk.post(address, follow=True).content.decode()
    assert re.search(r'id="retry-news"[^>]*tabindex="-1"[^>]*autofocus', page)


def repair(push: Push, *, state: str) -> Push:
    """Start a newer rollout for the installation of a push, and give that push this outcome."""
    newer = start_rollout(
        version=push.rollout.secret, installations=[push.installation], reason="repair", actor=SOMEBODY
    )
    again = newer.pushes.get()
    if state != "queued":
        finish(again, state=state, code="timed_out" if state == "failed" else "")
    return again


def scene() -> dict[str, Push]:
    """Ten failures: some retried, and some of those replaced by a newer rollout since."""
    names = ["plain", "again", "mended", "sent", "looked", "newer", "late", "both", "queued", "off"]
    pushes = {
        push.container.name: push
        for push in make_rollout(containers=names).pushes.select_related("container", "installation")
    }
    for name, push in pushes.items():
        finish(push, state="unknown" if name == "looked" else "failed", code="timed_out")
    retried = [push.pk for name, push in pushes.items() if name != "plain"]
    assert len(retry_pushes(push_ids=retried, actor=SOMEBODY).pushes) == 9
    for name in ("again", "newer", "both", "queued", "off"):
        finish(pushes[name], state="failed", code="timed_out", cause="retry")
    for name in ("mended", "late"):
        finish(pushes[name], state="succeeded", cause="retry")
    repair(pushes["newer"], state="failed")
    repair(pushes["late"], state="failed")
    repair(pushes["both"], state="succeeded")
    repair(pushes["queued"], state="queued")
    cancel_rollout(rollout=repair(pushes["off"], state="queued").rollout, actor=SOMEBODY)
    return pushes


@pytest.mark.database
def test_badge_home_list_file_and_tickets_have_one_number(
    as_helpdesk: Client, as_admin: Client, as_auditor: Client
) -> None:
    pushes = scene()
    waiting = {"plain", "again", "looked", "newer", "late", "off"}
    page = as_helpdesk.get("/rollouts/failed/")
    shown = [row.push for row in page.context["rows"]]
    assert sorted(push.container.name for push in shown) == sorted(waiting | {"sent", "mended"})
    assert pushes["newer"].pk not in {push.pk for push in shown}  # its newer push is there instead
    assert page.context["attention_count"] == 7
    said = read(as_helpdesk, "/rollouts/failed/")
    assert " of 8 " in said
    assert "1 of the pushes in this list waits for nobody any more" in said
    assert "Newer rollouts have since replaced 5 of them." in said
    assert sum(ticket.count for ticket in page.context["tickets"]) == len(waiting)
    for rows_of_file in (
        as_csv(as_auditor, "failed_pushes"),
        as_json(as_auditor, "failed_pushes"),
    ):
        assert {row["push"] for row in rows_of_file} == {str(push.pk) for push in shown}
        assert len(rows_of_file) == 8
    home = as_helpdesk.get("/")
    assert "7 pushes wait for a person or for the outcome of their retry." in read(as_helpdesk, "/")
    assert sum(cause.count for cause in home.context["causes"]) == len(waiting)
    needs = {need.icon: need.count for need in as_admin.get("/").context["needs"]}
    assert (needs["failed"], needs["unknown"], needs["running"]) == (5, 1, 1)


def test_a_retired_installation_has_no_row_even_after_a_retry(as_helpdesk: Client, one: Push) -> None:
    fail_again(as_helpdesk, one, before="timed_out", after="timed_out")
    assert listed(as_helpdesk) == {"web1"}
    retiring.retire(row=one.installation, reason="Gone", actor=SOMEBODY)
    assert listed(as_helpdesk) == set()


def long_before(push: Push, hours: int) -> None:
    """Have all attempts of a push made so many hours earlier."""
    with without_triggers(connection, "rollouts_attempt"):
        for attempt in push.attempts.all():
            earlier = {
                name: getattr(attempt, name) - timedelta(hours=hours) for name in ("started", "finished")
            }
            Attempt.objects.filter(pk=attempt.pk).update(**earlier)


@pytest.mark.database
@pytest.mark.parametrize("between", ["", "succeeded", "written", "unproven"])
def test_a_newer_rollout_does_not_hide_since_when_an_installation_fails(
    as_helpdesk: Client, one: Push, between: str
) -> None:
    finish(one, state="failed", code="login_refused")
    long_before(one, 3)
    if between:
        middle = repair(one, state="succeeded")
        if between == "written":  # and a step after it failed
            Push.objects.filter(pk=middle.pk).update(state="failed", code="reload_failed")
        elif between == "unproven":
            ProvenWrite.objects.all().delete()
        long_before(middle, 2)
    again = repair(one, state="failed")
    first = (again if between else one).attempts.get()
    found = failing_of([again.pk])[again.pk]
    assert (found.since, found.tries) == (first.finished, 1 if between else 2)
    assert found.last == again.attempts.get().started
    assert first.finished
    since = f"Failing since {timezone.localtime(first.finished):%Y-%m-%d %H:%M:%S}"
    for address in ("/", "/rollouts/failed/", f"/rollouts/pushes/{again.pk}/"):
        page = read(as_helpdesk, address)
        assert since in page, address
        assert ("2 tries without success" in page) is not bool(between), address


def test_a_push_that_a_newer_one_replaced_leads_there_and_tells_its_past(as_admin: Client, one: Push) -> None:
    attempt = finish(one, state="succeeded")
    Push.objects.filter(pk=one.pk).update(state="failed", code="reload_failed")
    page = f"/rollouts/pushes/{one.pk}/"
    assert "Even so, the file holds this version" in read(as_admin, page)
    cancelled = repair(one, state="queued")
    cancel_rollout(rollout=cancelled.rollout, actor=SOMEBODY)
    assert "Start another rollout" in read(as_admin, page)  # that one came to nothing
    newer = repair(one, state="failed")
    said = read(as_admin, page)
    assert attempt.finished
    when = f"{timezone.localtime(attempt.finished):%Y-%m-%d %H:%M}"
    assert f"when this push ended ( {when}" in said
    assert "the file holds this version" not in said
    assert "Start another rollout" not in said
    assert f"Push of rollout {newer.rollout.number} (version 1)" in said
    assert f'href="/rollouts/pushes/{newer.pk}/"' in as_admin.get(page).content.decode()
    assert tickets(as_admin, page) == []
