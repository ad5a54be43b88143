"""What retiring does to pushes, and that nothing asks for what is retired any more."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from credentials.accounts import history
from credentials.coverage.cells import Wanted, cells_now
from credentials.coverage.states import Cover
from credentials.home.counting import count_all
from credentials.home.needs import needs
from credentials.models import ClientSecret, TechnicalAccount
from credentials.rollouts.choosing import OBSTACLES, left_out, select, versions
from credentials.rollouts.models import Attempt, ProvenWrite, Push, Rollout
from credentials.rollouts.preview import preview
from credentials.rollouts.services import can_look_again, look_again, refusal, retry_pushes
from credentials.rollouts.starting import RolloutError, start_rollout
from credentials.services import AccountError, assign
from credentials.services import retire as retire_account
from credentials.wizard import services as wizard
from credentials.wizard.models import Draft
from instances.inventory import retiring
from instances.inventory.retiring import RetiringError, Row
from instances.models import TARGET, Container, Installation, Instance
from instances.visits import errands
from portal.audit.labels import line_of
from portal.audit.models import AuditEvent
from tests.factories import SOMEBODY, finish, make_account, make_installation, make_rollout

pytestmark = pytest.mark.django_db
WHY = "Decommissioned"


def retire(row: Row) -> retiring.Retirement:
    return retiring.retire(row=row, reason=WHY, actor=SOMEBODY)


def container_of(push: Push) -> Container:
    return Container.objects.get(pk=push.container_id)


def needed() -> dict[str, int]:
    return {need.sentence: need.count for need in needs(count_all()) if need.count}


@pytest.mark.database
def test_every_open_push_there_ends_and_the_history_says_so() -> None:
    rollout = make_rollout(containers=["web1", "web2", "web3", "web4", "web5"])
    elsewhere, queued, unknown, retried, over = rollout.pushes.all()
    finish(unknown, state="unknown", code="no_report")
    finish(retried, state="failed", code="timed_out")
    retry_pushes(push_ids=[retried.pk], actor=SOMEBODY)
    finish(over, state="succeeded")
    Push.objects.filter(pk=unknown.pk).update(is_written=True)
    proofs = ProvenWrite.objects.count()
    Installation.objects.filter(pk=elsewhere.installation_id).update(
        instance=Instance.objects.create(name="elsewhere")
    )
    instance = Instance.objects.get(name="prod1")
    assert retiring.foresee(instance).texts == (
        "2 waiting pushes are cancelled.",
        "1 push with an unknown outcome ends as failed: the portal no longer looks there.",
    )
    done = retire(instance)
    assert (done.counts, done.installations) == ({"cancelled": 2, "given_up": 1}, 4)
    ends = {push.pk: (push.state, push.code, bool(push.finished)) for push in Push.objects.all()}
    assert ends == {
        elsewhere.pk: ("queued", "", False),
        queued.pk: ("cancelled", "", True),
        unknown.pk: ("failed", "retired", True),
        retried.pk: ("failed", "timed_out", True),  # a cancelled retry mends nothing
        over.pk: ("succeeded", "", True),
    }
    assert Push.objects.get(pk=unknown.pk).is_written is True
    assert ProvenWrite.objects.count() == proofs
    retirement, *others = AuditEvent.objects.order_by("-seq")[:4][::-1]
    assert retirement.details == {"reason": WHY, "installations": 4, "cancelled": 2, "given_up": 1}
    told = {event.target_id: (event.action, event.details.get("code"), event.actor_name) for event in others}
    assert told == {
        str(queued.pk): ("push.cancelled", None, "somebody"),
        str(retried.pk): ("push.failed", "timed_out", "somebody"),
        str(unknown.pk): ("push.failed", "retired", "somebody"),
    }
    facts = dict(line_of(AuditEvent.objects.get(target_id=str(unknown.pk), details__code="retired")).facts)
    assert facts["code"] == "Retired in the inventory (retired)"


def test_a_running_push_refuses_and_nothing_is_done() -> None:
    running, queued = make_rollout(containers=["web1", "web2"]).pushes.all()
    Push.objects.filter(pk=running.pk).update(state="running")
    row = running.installation.instance
    events = AuditEvent.objects.count()
    assert "A push is running there now" in retiring.foresee(row).refusal
    with pytest.raises(RetiringError, match="A push is running there now: try again in a minute"):
        retire(row)
    assert not Instance.objects.retired().exists()
    assert Push.objects.get(pk=queued.pk).state == "queued"
    assert AuditEvent.objects.count() == events
    assert not retiring.foresee(container_of(queued)).refusal


@pytest.mark.parametrize("kind", ["installation", "instance", "container"])
def test_nothing_starts_or_is_retried_where_it_is_retired(kind: str) -> None:
    push = make_rollout().pushes.get()
    finish(push, state="failed", code="timed_out")
    rows: dict[str, Row] = {
        "installation": push.installation,
        "instance": push.installation.instance,
        "container": container_of(push),
    }
    row = rows[kind]
    retire(row)
    push = Push.objects.get(pk=push.pk)
    assert refusal(push) == f"The {kind} is retired in the inventory."
    assert not retry_pushes(push_ids=[push.pk], actor=SOMEBODY).pushes
    assert not push.is_wanted
    secret = push.rollout.secret
    with pytest.raises(RolloutError, match="is retired in the inventory"):
        start_rollout(version=secret, installations=[push.installation], reason="repair", actor=SOMEBODY)
    retiring.take_back(row=row, reason="x", actor=SOMEBODY)
    assert retry_pushes(push_ids=[push.pk], actor=SOMEBODY).pushes


def test_an_unknown_push_that_was_given_up_can_be_looked_at_once_it_is_taken_back() -> None:
    push = make_rollout().pushes.get()
    finish(push, state="unknown", code="no_report")
    container = container_of(push)
    retire(container)
    push = Push.objects.get(pk=push.pk)
    assert not can_look_again(push)
    assert not look_again(push_id=push.pk, actor=SOMEBODY)
    assert not Push.objects.needing_attention().exists()
    retiring.take_back(row=container, reason="x", actor=SOMEBODY)
    assert [each.pk for each in Push.objects.needing_attention()] == [push.pk]
    assert look_again(push_id=push.pk, actor=SOMEBODY)
    assert Push.objects.get(pk=push.pk).state == "unknown"


def test_no_bell_rings_where_it_is_retired() -> None:
    push = make_rollout().pushes.get()
    assert errands.containers_due().exists()
    retire(container_of(push))
    Push.objects.update(state="queued", finished=None)  # whatever went wrong
    assert not errands.containers_due().exists()


@pytest.mark.database
def test_counts_leave_out_what_is_retired_and_name_it() -> None:
    secret = make_account(instances=["prod1"])
    gone, kept = (make_installation(container=name) for name in ("web1", "web2"))
    rollout = start_rollout(version=secret, installations=[gone, kept], reason="new", actor=SOMEBODY)
    for push in rollout.pushes.all():
        finish(push, state="failed", code="timed_out")
    Installation.objects.update(observed_jwt=True, observed_build=9000)
    before = needed()
    assert before["pushes failed and have not been fixed."] == 2
    retire(gone.container)
    assert [push.installation for push in Push.objects.needing_attention()] == [kept]
    assert [cell.installation for cell in cells_now(Wanted(state=Cover.NEEDS_YOU))] == [kept.pk]
    assert needed()["push failed and has not been fixed."] == 1
    assert (versions().total, versions().jwt, versions().too_old_count) == (1, 1, 1)
    found = history.coverage(secret.account, None)
    assert (found.total, found.retired, found.retired_count) == (1, [gone], 1)
    assert history.sizes([secret.account])[secret.account_id] == history.Size(1, 1)
    retire(kept.instance)
    assert needed() == {}
    assert history.sizes([secret.account])[secret.account_id] == history.Size(0, 0)
    found = history.coverage(secret.account, None)
    assert (found.total, found.retired_count) == (0, 2)


def test_a_proof_where_it_is_retired_is_kept_and_not_counted() -> None:
    secret = make_account(instances=["prod1"])
    gone = make_installation()
    rollout = start_rollout(version=secret, installations=[gone], reason="new", actor=SOMEBODY)
    finish(rollout.pushes.get(), state="succeeded")
    account = TechnicalAccount.objects.get()
    assert history.goal_counts([account]) == {account.pk: 1}
    retire(gone)
    assert history.goal_counts([account]) == {}
    assert ProvenWrite.objects.proven().exists()


def test_the_choice_leaves_out_what_is_retired_and_says_so_where_it_was_chosen() -> None:
    secret = make_account(instances=["prod1"])
    gone, kept = (make_installation(container=name) for name in ("web1", "web2"))
    make_installation(instance="other", container="web1")
    chosen = Installation.objects.filter(instance__name="prod1")
    retire(gone)
    selection = select(account=secret.account, chosen=chosen, instances=Instance.objects.not_retired())
    assert selection.total == 1
    rows = {choice.instance.name: choice.rows for choice in selection.choices}
    assert [row.installation for row in rows["prod1"]] == [kept]
    assert left_out(chosen) == 0
    said = preview(secret, chosen, leaves_out=TARGET)
    assert [(row.container, row.fate, row.why) for row in said.rows if row.why] == [
        (gone.container.name, "left_out", "retired")
    ]
    assert str(OBSTACLES["retired"]) == "This installation is retired in the inventory."


def test_a_draft_leaves_out_what_was_retired_since_it_was_chosen(admin: User) -> None:
    account = make_account().account
    TechnicalAccount.objects.update(state="draft")
    gone, kept = (make_installation(container=name) for name in ("web1", "web2"))
    draft = Draft.objects.create(account=account, step="review", changed_by=admin, changed_by_name="alice")
    draft.installations.set([gone, kept])
    retire(gone.container)
    rollout = wizard.start(draft=draft, stamp=draft.stamp, message="", actor=SOMEBODY)
    assert [push.installation for push in rollout.pushes.all()] == [kept]


def test_the_command_says_that_a_retired_instance_does_not_count() -> None:
    make_rollout()
    retire(Instance.objects.get())
    with pytest.raises(CommandError, match="Retired ones do not count"):
        call_command("rollout", "Triggers", instance=["prod1"])


def test_a_retired_instance_gets_no_account_and_holds_none_back() -> None:
    account = make_account(instances=["prod1"]).account
    instance = Instance.objects.get()
    with pytest.raises(AccountError, match="Still used by prod1"):
        retire_account(account=account, actor=SOMEBODY)
    retire(instance)
    other = make_account(name="Other").account
    with pytest.raises(AccountError, match="prod1 is retired"):
        assign(account=other, instances=[Instance.objects.get()], actor=SOMEBODY)
    retire_account(account=account, actor=SOMEBODY)


@pytest.mark.database
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("deed", ["retry", "start"])
def test_what_comes_at_the_same_moment_finds_it_in_use_or_retired(deed: str) -> None:
    """Whichever is first, no push waits afterwards where nobody goes."""
    push = make_rollout().pushes.get()
    finish(push, state="failed", code="timed_out")
    container, secret = container_of(push), ClientSecret.objects.get()
    begun = threading.Event()

    def act() -> None:
        begun.set()
        try:
            if deed == "retry":
                retry_pushes(push_ids=[push.pk], actor=SOMEBODY)
            else:
                start_rollout(
                    version=secret, installations=[push.installation], reason="repair", actor=SOMEBODY
                )
        except RolloutError:
            pass
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            retire(container)
            waiting = pool.submit(act)
            begun.wait(5)
            with pytest.raises(TimeoutError):  # it waits for the end of the retirement
                waiting.result(0.3)
        waiting.result(20)
    assert Push.objects.get().state == "failed"
    assert Attempt.objects.count() == Rollout.objects.count() == 1
