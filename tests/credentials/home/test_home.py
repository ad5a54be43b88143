"""The home page: what needs a person now."""

import html
import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from credentials.accounts.history import goal_counts
from credentials.coverage.cells import Wanted, cells_now
from credentials.coverage.states import Cover
from credentials.home.counting import count_all
from credentials.home.first_steps import first_steps
from credentials.home.needs import needs
from credentials.home.queue import MOST_AT_ONCE
from credentials.home.standing import WEEKS
from credentials.models import Assignment, ClientSecret, TechnicalAccount
from credentials.rollouts.models import Attempt, Push, Rollout
from credentials.rollouts.services import cancel_rollout, held_versions, retry_pushes
from credentials.rollouts.starting import start_rollout
from credentials.rollouts.versions import make_goal
from credentials.rotation.models import Rotation
from credentials.services import add_secret
from instances.failures import Code, explain
from instances.inventory.contacts import save_contact
from instances.models import Contact, Container, ExpectedHostKey, HostKey, Installation, Instance
from portal.audit.chain.verification import verify
from portal.audit.models import AuditEvent
from portal.audit.services import record_export, record_verification
from portal.audit.trail import Actor
from portal.plaintext import Secret
from tests.benchmarks.work import counted
from tests.factories import (
    SOMEBODY,
    finish,
    finish_all,
    make_account,
    make_container,
    make_host_key,
    make_installation,
    make_instance,
    make_rollout,
    make_rotation,
)

NEEDY = Wanted(state=Cover.NEEDS_YOU)

pytestmark = pytest.mark.django_db


def waiting() -> dict[str, int]:
    return {need.sentence: need.count for need in needs(count_all()) if need.count}


def text(client: Client) -> str:
    return client.get("/").content.decode()


def steps(client: Client) -> list[str]:
    return [step.state for step in client.get("/").context["steps"]]


def test_an_empty_portal_shows_an_admin_the_first_steps(as_admin: Client) -> None:
    assert steps(as_admin) == ["current", "todo", "todo", "todo", "todo"]
    assert "Import a CSV file" in as_admin.get("/").content.decode()


def test_a_first_step_is_done_when_its_purpose_is(as_admin: Client) -> None:
    make_installation(container="web1")
    HostKey.objects.update(state=HostKey.State.OFFERED)
    Container.objects.update(is_enabled=False)  # imported, and nothing can be pushed
    assert steps(as_admin) == ["current", "todo", "todo", "todo", "todo"]
    assert "Everything in the inventory is switched off" in as_admin.get("/").content.decode()
    Container.objects.update(is_enabled=True)
    assert steps(as_admin) == ["done", "unproven", "current", "todo", "todo"]
    ExpectedHostKey.objects.create(
        container=Container.objects.get(), fingerprint="SHA256:x", given_by="alice"
    )
    assert steps(as_admin)[2] == "current"  # a file gave the fingerprint; no server showed it yet
    HostKey.objects.update(state=HostKey.State.APPROVED)
    assert steps(as_admin) == ["done", "unproven", "done", "current", "todo"]
    make_container(name="web2", approved=False)  # nothing is installed there
    assert steps(as_admin)[2] == "done"
    make_installation(instance="prod2", container="web2")
    page = as_admin.get("/").content.decode()
    assert "1 of 2 containers has an approved key." in page
    HostKey.objects.update(state=HostKey.State.APPROVED)
    account = make_account(name="Nobody uses it").account
    assert steps(as_admin)[3] == "current"
    Assignment.objects.create(
        instance=Instance.objects.get(name="prod1"), account=account, assigned_by="alice"
    )
    assert steps(as_admin) == ["done", "unproven", "done", "done", "current"]


def test_the_key_is_proven_by_a_login_at_every_container() -> None:
    first, second = make_rollout(containers=["web1", "web2"]).pushes.all()
    attempt = finish(first, state="failed", code="timed_out")
    assert [step.state for step in first_steps()][1] == "unproven"
    attempt.pk, attempt.push, attempt.stage = None, second, Attempt.Stage.CONNECTING
    attempt.save(force_insert=True)  # an attempt that did not get in
    assert [step.state for step in first_steps()][1] == "unproven"
    finish(second, state="failed", code="not_applied")
    assert [step.state for step in first_steps()][1] == "done"


def test_an_empty_portal_tells_the_others_who_sets_it_up(as_helpdesk: Client) -> None:
    assert "Nothing has been set up yet" in text(as_helpdesk)


def test_the_first_steps_end_with_the_first_rollout(as_admin: Client) -> None:
    make_rollout()
    assert as_admin.get("/").context["steps"] == []


def test_calm_is_said_in_words(as_helpdesk: Client) -> None:
    finish_all(make_rollout(), state="succeeded")
    assert "No push is waiting for anybody" in text(as_helpdesk)


def test_failed_and_unknown_pushes_are_counted_apart(as_admin: Client) -> None:
    first, second, third = make_rollout(containers=["web1", "web2", "web3"]).pushes.all()
    finish(first, state="failed", code="timed_out")
    finish(second, state="failed", code="timed_out")
    finish(third, state="unknown", code="no_report")
    page = text(as_admin)
    assert "2 pushes failed and have not been fixed." in page
    assert "1 push has an unknown outcome" in page
    assert "/rollouts/failed/?state=failed" in page


def test_a_failed_push_that_was_replaced_needs_nobody() -> None:
    finish_all(make_rollout(), state="failed", code="timed_out")
    Push.objects.update(replaced=True)
    assert not any("failed" in sentence for sentence in waiting())


def test_containers_without_an_approved_key_are_named_and_so_are_changed_ones(as_admin: Client) -> None:
    make_container(name="fresh", approved=False)
    Container.objects.create(name="never-scanned", address="never.example.com")
    given = Container.objects.create(name="given", address="given.example.com")
    ExpectedHostKey.objects.create(container=given, fingerprint="SHA256:x", given_by="alice")
    changed = make_container(name="reinstalled")
    make_host_key(container=changed, state="offered")
    make_container(name="off", approved=False, is_enabled=False)
    page = text(as_admin)
    assert "2 containers have no host key that was approved or given in advance" in page
    assert "1 container shows another host key than the approved one" in page


def listed(client: Client, url: str) -> int:
    """How many rows the list at this address has."""
    return int(client.get(url).context["page_obj"].paginator.count)


def test_every_headline_leads_to_exactly_its_rows(as_admin: Client) -> None:
    """Also once there are accounts and rollouts; what cannot be pushed to is not counted."""
    finish_all(make_rollout(containers=["web1"]), state="succeeded")
    cancel_rollout(rollout=make_rollout(account="Behind", instance="i2", containers=["web2"]), actor=SOMEBODY)
    for name, off in (("new1", False), ("new2", True), ("new3", False)):
        row = make_container(name=f"c-{name}", approved=name == "new3", is_enabled=not off)
        make_installation(instance=name, container=row.name)
        if name == "new3":
            make_host_key(container=row, state="offered")
    make_instance(name="nowhere")
    make_installation(instance="cloud", container="web1")
    Instance.objects.filter(name="cloud").update(deployment="hosted")
    Installation.objects.exclude(instance__name="prod1").update(observed_jwt=True, observed_build=9359)
    TechnicalAccount.objects.create(name="Half done")
    found = {need.url: need.count for need in needs(count_all()) if need.count}
    wanted = {
        "/containers/?host_key=changed&switch=on": 1,
        "/containers/?host_key=needed&switch=on": 1,
        "/instances/?need=account": 2,
        "/instances/?need=jwt": 3,
        "/instances/?need=old": 3,
        "/accounts/?state=draft": 1,
        "/coverage/?state=others": 1,
    }
    assert found == wanted
    assert {url: listed(as_admin, url) for url in wanted} == wanted


def test_installations_without_the_goal_are_counted_per_account(as_admin: Client) -> None:
    rollout = make_rollout(account="Triggers", containers=["web1", "web2"])
    finish(rollout.pushes.all()[0], state="succeeded")
    assert "is not proven to hold" not in text(as_admin)  # the other one is under way
    cancel_rollout(rollout=rollout, actor=SOMEBODY)
    page = text(as_admin)
    assert "1 installation is not proven to hold what it should hold" in page
    assert "Triggers: 1" in page


def test_a_new_version_changes_nothing_before_it_is_rolled_out() -> None:
    rollout = make_rollout(containers=["web1", "web2"])
    finish_all(rollout, state="succeeded")
    assert not cells_now(NEEDY)
    version, _new = add_secret(account=rollout.secret.account, plaintext=Secret("p8e-second"), actor=SOMEBODY)
    assert not cells_now(NEEDY)
    newer = start_rollout(
        version=version, installations=Installation.objects.all(), reason="rotation", actor=SOMEBODY
    )
    finish(newer.pushes.all()[0], state="failed", code="not_applied")
    assert len(cells_now(NEEDY)) == 1
    finish_all(newer, state="succeeded")
    assert not cells_now(NEEDY)


def test_a_file_that_changed_since_the_push_needs_somebody() -> None:
    finish_all(make_rollout(), state="succeeded")
    Installation.objects.update(observed_digest="e" * 64)
    assert len(cells_now(NEEDY)) == 1


@pytest.mark.parametrize("code", ["", "reload_failed", "not_applied"])
@pytest.mark.parametrize("ended", [0, 1, 2])
def test_home_coverage_and_account_list_agree(ended: int, code: str) -> None:
    rollout = make_rollout(containers=["web1", "web2"])
    for push in list(rollout.pushes.all())[:ended]:
        finish(push, state="failed" if code else "succeeded", code=code)
        Installation.objects.filter(pk=push.installation_id).update(
            observed_digest=push.attempts.latest("number").after_digest or "x"
        )
    if ended == 2 and code == "":
        Installation.objects.filter(container__name="web2").update(observed_client_id="of somebody else")
    account = TechnicalAccount.objects.get(pk=rollout.secret.account_id)
    held = held_versions(Installation.objects.all())
    assert {cell.installation for cell in cells_now(Wanted(state="done"))} == set(held)
    assert goal_counts([account]).get(account.pk, 0) == len(held)


def test_nothing_is_asked_of_hosted_instances_and_of_containers_that_are_off() -> None:
    make_installation(instance="hosted", container="web1")
    make_account(instances=["hosted", "prod1"])
    make_installation(instance="prod1", container="web2")
    assert len(cells_now(NEEDY)) == 2
    Instance.objects.filter(name="hosted").update(deployment="hosted")
    Container.objects.filter(name="web2").update(is_enabled=False)
    assert not cells_now(NEEDY)


def test_instances_on_jwt_or_below_7_4_1_are_named(as_admin: Client) -> None:
    make_installation(instance="old1", container="web1")
    make_installation(instance="old1", container="web2")
    make_installation(instance="new1", container="web3")
    Installation.objects.filter(instance__name="old1").update(observed_jwt=True, observed_build=9359)
    Installation.objects.filter(instance__name="new1").update(observed_jwt=False, observed_build=9383)
    page = text(as_admin)
    assert "1 instance had a JWT credential" in page
    assert "1 instance ran a build below 7.4.1" in page
    assert "old1" in page
    assert page.count(">new1<") == 1  # among those without an account


def test_drafts_are_named(as_admin: Client) -> None:
    TechnicalAccount.objects.create(name="Half done")
    assert "1 account is still a draft." in text(as_admin)
    assert "Half done" in text(as_admin)


def test_long_lists_are_cut_and_say_how_many_more(as_admin: Client) -> None:
    for number in range(8):
        TechnicalAccount.objects.create(name=f"Draft {number}")
    page = text(as_admin)
    assert "8 accounts are still drafts." in page
    assert "and 3 more" in page


def test_rollouts_under_way_are_shown_with_their_progress(as_helpdesk: Client) -> None:
    first, _second = make_rollout(account="Triggers", containers=["web1", "web2"]).pushes.all()
    finish(first, state="succeeded")
    assert "1 of 2 installations have an outcome" in text(as_helpdesk)
    finish_all(make_rollout(account="Done", instance="i2", containers=["web3"]), state="succeeded")
    assert "#2 Done" not in text(as_helpdesk)


def test_deliveries_that_nobody_makes_point_to_the_worker(as_admin: Client, as_helpdesk: Client) -> None:
    make_rollout(containers=["web1", "web2"])
    assert not any("worker" in sentence for sentence in waiting())
    Push.objects.update(due=timezone.now() - timedelta(minutes=5))
    for client in (as_admin, as_helpdesk):
        assert "2 containers are waiting for deliveries, but nothing is delivered." in text(client)


def test_the_page_costs_the_same_number_of_queries_however_much_there_is(as_admin: Client) -> None:
    counts = []
    for start, size in ((0, 2), (2, 20)):
        for number in range(start, start + size):
            names = [f"c{number}-1", f"c{number}-2"]
            first, second = make_rollout(
                account=f"A{number}", instance=f"i{number}", containers=names
            ).pushes.all()
            finish(first, state="failed", code="timed_out")
            TechnicalAccount.objects.create(name=f"Draft {number}")
            make_host_key(container=second.container, state="offered")
        Installation.objects.update(observed_jwt=True, observed_build=9359)
        with CaptureQueriesContext(connection) as queries:
            assert as_admin.get("/").status_code == 200
        counts.append(len(queries))
    assert counts[1] <= counts[0] + 4, "counts of what is cut off are extra queries, rows are not"
    assert counts[1] < 52


def test_each_role_gets_a_home_page_of_its_own(
    as_admin: Client, as_helpdesk: Client, as_auditor: Client
) -> None:
    finish_all(make_rollout(), state="failed", code="timed_out")
    assert "The fleet today" in text(as_admin)
    assert "Failed pushes, by cause" in text(as_helpdesk)
    assert "Pushes, rotations and the history" in text(as_auditor)
    assert "Home pages" not in text(as_helpdesk) + text(as_auditor)  # one is all that they get
    for wanted, heading in (("queue", "by cause"), ("audit", "and the history"), ("x", "The fleet today")):
        assert heading in as_admin.get(f"/?for={wanted}").content.decode()
    assert "The fleet today" not in as_auditor.get("/?for=fleet").content.decode()


def test_an_auditor_is_asked_for_nothing(as_auditor: Client) -> None:
    finish_all(make_rollout(), state="failed", code="timed_out")
    page = text(as_auditor)
    assert "1 push failed and has not been fixed." in page
    assert "<form" not in page.partition("<main")[2]
    assert "needs you" not in page.lower()


def test_the_fleet_is_counted_by_environment_and_leads_to_the_map(as_admin: Client) -> None:
    finish_all(make_rollout(containers=["web1", "web2"]), state="succeeded")
    finish_all(make_rollout(account="Other", instance="prod2"), state="failed", code="timed_out")
    Instance.objects.filter(name="prod2").update(environment="stage")
    first, second = as_admin.get("/").context["lines"]
    assert (first.environment, first.total, second.environment, second.total) == ("production", 2, "stage", 1)
    for line in (first, second):
        for state, count in line.counts:
            query = {"environment": line.environment, "state": state.value}
            assert as_admin.get("/coverage/", query).context["total"] == count


def test_the_queue_has_one_entry_for_each_cause(as_helpdesk: Client) -> None:
    rollout = make_rollout(containers=["web1", "web2", "web3", "web4"])
    for push, state, code in zip(
        rollout.pushes.all(),
        ("failed", "failed", "failed", "unknown"),
        ("timed_out", "timed_out", "login_refused", "no_report"),
        strict=True,
    ):
        finish(push, state=state, code=code)
    save_contact(
        Contact(environment="production", who="Campaign operations", reach="+49 30 1234"),
        actor=Actor("alice"),
    )
    found = as_helpdesk.get("/").context["causes"]
    assert [(each.state, each.code, each.count) for each in found] == [
        ("failed", "timed_out", 2),
        ("failed", "login_refused", 1),
        ("unknown", "no_report", 1),
    ]
    page = text(as_helpdesk)
    assert "prod1 on web2" in page  # in the text for a ticket
    assert "Campaign operations" in page
    assert str(explain(Code.LOGIN_REFUSED).next_step) in html.unescape(page)
    for each in found:
        assert len(as_helpdesk.get(each.url).context["rows"]) == each.count


def test_a_cause_is_retried_in_place(as_helpdesk: Client) -> None:
    rollout = make_rollout(containers=["web1", "web2", "web3"])
    first, second, third = rollout.pushes.all()
    finish(first, state="failed", code="timed_out")
    finish(second, state="failed", code="timed_out")
    finish(third, state="failed", code="login_refused")
    cause = as_helpdesk.get("/").context["causes"][0]
    answer = as_helpdesk.post(cause.retry_url, {"push": [str(pk) for pk in cause.retryable]}, follow=True)
    assert "2 retries have no outcome yet" in answer.content.decode()
    states = rollout.pushes.order_by("container__name").values_list("state", flat=True)
    assert list(states) == ["queued", "queued", "failed"]
    assert "2 retries have no outcome yet" in text(as_helpdesk)


def test_of_many_pushes_somebody_looks_at_the_list_first(
    as_helpdesk: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("credentials.home.queue.MOST_AT_ONCE", 1)
    finish_all(make_rollout(containers=["web1", "web2"]), state="failed", code="timed_out")
    page = text(as_helpdesk)
    assert "Choose what to retry" in page
    assert "Retry these" not in page


def test_many_pushes_for_one_reason_do_not_hide_the_few_for_another(
    as_helpdesk: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("credentials.home.queue.MOST_AT_ONCE", 2)
    names = [f"app{number}" for number in range(9)]
    finish_all(make_rollout(containers=names), state="failed", code="timed_out")
    finish_all(
        make_rollout(account="Last", instance="zz", containers=["z"]), state="failed", code="login_refused"
    )
    many, few = as_helpdesk.get("/").context["causes"]
    assert (many.count, len(many.named), many.can_be_retried_here) == (9, 2, False)
    assert (few.places, few.are_all_named) == (["zz on z (Production)"], True)
    assert len(few.retryable) == 1
    page = text(as_helpdesk)
    assert "cannot be retried" not in page
    HostKey.objects.filter(container__name__startswith="app").delete()
    assert "2 of the first 2 cannot be retried." in text(as_helpdesk)


def test_a_week_has_its_pushes_and_the_rotations_that_ended(as_auditor: Client) -> None:
    finish_all(make_rollout(containers=["web1", "web2"]), state="failed", code="timed_out")
    rotation = make_rotation(account="Other", instance="prod2")
    Rotation.objects.filter(pk=rotation.pk).update(state="done", wait="ended", ended=timezone.now())
    old = make_rollout(account="Old", instance="prod3")
    Rollout.objects.filter(pk=old.pk).update(requested=timezone.now() - timedelta(weeks=WEEKS))
    context = as_auditor.get("/").context
    week, *earlier = context["weeks"]
    assert week.shares == [("succeeded", 1), ("failed", 2), ("unknown", 0), ("other", 0)]
    assert (week.rotated, week.taken_back) == (1, 0)
    assert len(earlier) == WEEKS - 1
    assert not any(each.total for each in earlier)
    chart = context["chart"]
    assert sum(bar.height for bar in chart.bars) == pytest.approx(160, abs=1)
    page = as_auditor.get("/").content.decode()
    assert [state for state, _word in chart.legend] == [state for state, _count in week.shares]
    for state, word in chart.legend:  # each pattern is drawn next to its word, and explained nowhere else
        drawn = rf'fill="url\(#weeks-{state}\)"[^>]*/>\s*</svg>\s*{word}\s*</li>'
        assert re.search(drawn, page), state


def test_what_an_auditor_asks_of_secrets_and_the_history(as_auditor: Client, actor: Actor) -> None:
    account = make_account(name="Old one").account
    TechnicalAccount.objects.filter(pk=account.pk).update(state="active", goal=account.secrets.get())
    account.secrets.update(entered=timezone.now() - timedelta(days=100))
    assert "Nobody has verified the history yet" in text(as_auditor)
    record_verification(result=verify(), actor=actor)
    page = text(as_auditor)
    assert "Last verification:" in page
    assert "Intact" in page
    assert "None yet." in page
    record_export(actor=actor, filters={})
    assert "History exported" in text(as_auditor)
    [age] = as_auditor.get("/").context["ages"]
    assert (age.secret.account, age.days, age.is_overdue) == (account, 100, False)


def test_a_version_that_is_not_the_goal_any_more_stays_on_the_list_until_adobe_deleted_it(
    as_auditor: Client, actor: Actor
) -> None:
    rollout = make_rollout(containers=["web1", "web2"])
    finish_all(rollout, state="succeeded")
    old = rollout.secret
    new, _answer = add_secret(account=old.account, plaintext=Secret("s" * 30), actor=actor)
    make_goal(version=new, actor=actor)
    ages = as_auditor.get("/").context["ages"]
    assert [(age.secret, age.is_goal, age.held) for age in ages] == [(old, False, 2), (new, True, 0)]
    page = " ".join(text(as_auditor).split())
    assert "not the goal, still usable" in page
    assert "2 installations are known to hold it" in page
    ClientSecret.objects.filter(pk=old.pk).update(state="deleted", slot=None)
    assert [age.secret for age in as_auditor.get("/").context["ages"]] == [new]


def test_a_home_page_asks_what_is_new_by_itself(as_helpdesk: Client) -> None:
    finish_all(make_rollout(), state="failed", code="timed_out")
    assert 'hx-get="/?for=queue"' in text(as_helpdesk)
    assert 'id="home-live"' in as_helpdesk.get("/?for=queue", headers={"HX-Request": "true"}).content.decode()


def test_a_card_names_few_installations_and_counts_many(as_helpdesk: Client) -> None:
    finish_all(make_rollout(containers=["web1", "web2", "web3"]), state="failed", code="timed_out")
    page = text(as_helpdesk)
    assert "prod1 on web1 (Production) · prod1 on web2 (Production) · prod1 on web3 (Production)" in page
    finish_all(
        make_rollout(account="B", instance="prod2", containers=["web4"]), state="failed", code="timed_out"
    )
    page = text(as_helpdesk)
    assert "Production: 4" in page
    assert "web1 (Production)" not in page


def test_what_the_person_can_mend_comes_first(as_helpdesk: Client, as_admin: Client) -> None:
    codes = ("build_too_old", "build_too_old", "host_key_unknown", "busy")
    pushes = make_rollout(containers=["web1", "web2", "web3", "web4"]).pushes.all()
    for push, code in zip(pushes, codes, strict=True):
        finish(push, state="failed", code=code)

    def order(client: Client) -> list[str]:
        return re.findall(r'id="cause-failed-(\w+)"', client.get("/?for=queue").content.decode())

    assert order(as_helpdesk) == ["busy", "build_too_old", "host_key_unknown"]
    assert order(as_admin) == ["host_key_unknown", "build_too_old", "busy"]


@pytest.mark.parametrize(
    ("code", "is_offered"),
    [("timed_out", True), ("busy", True), ("build_too_old", True), ("host_key_changed", False)],
)
def test_a_retry_is_offered_only_where_it_can_help(as_helpdesk: Client, code: str, is_offered: bool) -> None:
    push = make_rollout().pushes.get()
    finish(push, state="failed", code=code)
    page = text(as_helpdesk)
    assert ("Retry this push" in page) == is_offered
    assert re.search(rf'href="/rollouts/pushes/{push.pk}/">\s*Look at the push', page)
    assert "Look at each push" not in page
    Container.objects.update(is_enabled=False)
    assert "Retry this push" not in text(as_helpdesk)


def test_after_a_retry_in_vain_another_is_not_the_first_thing_to_do(as_helpdesk: Client) -> None:
    first, second = make_rollout(containers=["web1", "web2"]).pushes.all()
    finish(first, state="failed", code="reload_failed")
    finish(second, state="failed", code="reload_failed")
    retry_pushes(push_ids=[first.pk], actor=SOMEBODY)
    finish(first, state="failed", code="reload_failed", cause="retry")
    page = " ".join(text(as_helpdesk).split())
    assert "Retry, or ask the Campaign team to restart Campaign on this container." in page
    assert "The retry of 1 of them failed for the same reason: Ask the Campaign team to restart" in page
    assert re.search(r'class="primary">.{0,600}Retry these 2 pushes', page)
    retry_pushes(push_ids=[second.pk], actor=SOMEBODY)
    finish(second, state="failed", code="reload_failed", cause="retry")
    page = " ".join(text(as_helpdesk).split())
    assert "What to do:</strong> The retry failed for the same reason. Ask the Campaign team" in page
    assert "A retry alone is not likely to help: press it once the cause is fixed." in page
    assert not re.search(r'class="primary">.{0,600}Retry these 2 pushes', page)
    assert "Retry these 2 pushes" in page
    assert "Look at each push" in page


def test_what_became_of_retries_is_said_without_zeros(as_helpdesk: Client) -> None:
    push = make_rollout().pushes.get()
    finish(push, state="failed", code="timed_out")
    retry_pushes(push_ids=[push.pk], actor=SOMEBODY)
    finish(push, state="failed", code="timed_out", cause="retry")
    page = text(as_helpdesk)
    assert "Pushes retried in the last two hours:" in page
    assert "1 failed again" in page
    assert "0 succeeded" not in page
    assert "0 still unknown" not in page


def test_one_push_is_not_the_oldest(as_helpdesk: Client) -> None:
    first, second = make_rollout(containers=["web1", "web2"]).pushes.all()
    finish(first, state="failed", code="timed_out")
    page = text(as_helpdesk)
    assert re.search(r"failed <time[^>]*>(just now|\d+ s ago)</time>", page)
    assert "oldest:" not in page
    finish(second, state="failed", code="timed_out")
    assert "oldest:" in text(as_helpdesk)


def test_the_queue_costs_the_same_however_much_there_is(as_helpdesk: Client) -> None:
    work = []
    for number, size in enumerate((1, MOST_AT_ONCE, 20)):
        names = [f"c{number}-{each}" for each in range(size)]
        rollout = make_rollout(account=f"A{number}", instance=f"i{number}", containers=names)
        finish_all(rollout, state="failed", code="timed_out")
        with counted(connection) as now:
            text(as_helpdesk)
        work.append(now)
    assert work[0].statements == work[1].statements == work[2].statements
    assert work[2].rows <= work[1].rows + 2  # the rollout among the newest


def test_two_pushes_that_were_tried_once_have_no_last_try(as_helpdesk: Client) -> None:
    for push in make_rollout(containers=["web1", "web2"]).pushes.all():
        finish(push, state="failed", code="build_too_old")
    page = as_helpdesk.get("/").content.decode()
    assert "Failing since" in page
    assert "last try" not in page
    assert "Last try" not in page


def test_an_auditor_sees_which_list_was_exported(as_auditor: Client) -> None:
    as_auditor.post("/exports/containers/")
    assert "List exported: Containers" in as_auditor.get("/").content.decode()
    event = AuditEvent.objects.latest("seq")
    as_auditor.post("/exports/containers/?jwt=yes", {"format": "json"})
    told = [facts for _event, _word, facts in as_auditor.get("/").context["exports"]]
    assert [[fact.casefold() for fact in facts if "format" in fact.casefold()] for facts in told] == [
        ["format: json"],
        ["format: csv"],
    ]
    assert any("Still there" in fact for fact in told[0]), told[0]  # what it was narrowed to
    page = as_auditor.get(f"/history/{event.seq}/", headers={"Accept-Language": "fr"}).content.decode()
    assert "Conteneurs" in page.partition("<main")[2]
    assert event.details["list"] == "containers"


def test_a_retry_under_way_keeps_its_push_on_the_page(as_helpdesk: Client) -> None:
    first, second = make_rollout(containers=["web1", "web2"]).pushes.all()
    finish(first, state="failed", code="timed_out")
    finish(second, state="failed", code="login_refused")
    assert 'hx-trigger="every 30s"' in text(as_helpdesk)
    retry_pushes(push_ids=[first.pk], actor=SOMEBODY)
    page = text(as_helpdesk)
    card = page.partition('id="being-retried"')[2].partition("</section>")[0]
    assert "1 retry has no outcome yet" in card
    assert f"/rollouts/pushes/{first.pk}/" in card
    assert "No answer in time" in card
    assert f"/rollouts/pushes/{second.pk}/" not in card
    assert 'hx-trigger="every 3s"' in page
    finish(first, state="failed", code="timed_out", cause="retry")
    page = text(as_helpdesk)
    assert "being-retried" not in page
    assert 'hx-trigger="every 30s"' in page
