"""The rules of starting, retrying and cancelling, and which version a container is proven to hold."""

import threading
import time

import pytest
from django.db import IntegrityError, connection, transaction
from pytest_django import DjangoCaptureOnCommitCallbacks

from credentials.models import Assignment, ClientSecret, TechnicalAccount
from credentials.rollouts.models import Push, Rollout
from credentials.rollouts.services import cancel_rollout, held_versions, refusal, retry_pushes
from credentials.rollouts.starting import RolloutError, start_rollout
from credentials.services import abandon, add_secret
from instances.models import Container, Installation, Instance
from portal.audit.models import AuditEvent
from portal.plaintext import Secret
from tests.factories import (
    SOMEBODY,
    finish,
    finish_all,
    make_account,
    make_installation,
    make_rollout,
)

pytestmark = pytest.mark.django_db


def start(secret: ClientSecret, *installations: Installation) -> Rollout:
    return start_rollout(version=secret, installations=installations, reason="repair", actor=SOMEBODY)


def states() -> dict[str, str]:
    return {
        f"{p.rollout.number}/{p.container.name}": p.state for p in Push.objects.order_by("rollout__number")
    }


def test_a_rollout_queues_one_push_per_installation_and_is_recorded() -> None:
    rollout = make_rollout(containers=["web1", "web2"], message="CHG1")
    assert [(p.state, p.cause, p.cause_by) for p in rollout.pushes.all()] == [
        ("queued", "rollout", "somebody")
    ] * 2
    event = AuditEvent.objects.get(action="rollout.requested")
    assert (event.details["installations"], event.details["message"]) == (2, "CHG1")
    assert event.details["fingerprint"] == rollout.secret.fingerprint


def test_numbers_count_up_and_fences_only_grow() -> None:
    first = make_rollout(account="A", instance="a", containers=["c1"])
    far = time.time_ns() // 1000 + 10**12
    Rollout.objects.filter(pk=first.pk).update(fence=far)  # a clock that was set back, or a restored backup
    second = make_rollout(account="B", instance="b", containers=["c2"])
    assert (first.number, second.number, second.fence) == (1, 2, far + 1)


def test_nothing_is_started_if_one_installation_does_not_fit() -> None:
    good, bad = make_installation(container="web1"), make_installation(container="web2")
    secret = make_account(instances=["prod1"])
    Container.objects.filter(name="web2").update(is_enabled=False)
    with pytest.raises(RolloutError, match="web2 is switched off"):
        start(secret, good, bad)
    assert not Rollout.objects.exists()
    assert not AuditEvent.objects.filter(action="rollout.requested").exists()


def test_a_hosted_instance_is_never_pushed_to() -> None:
    installation = make_installation()
    secret = make_account(instances=["prod1"])
    Instance.objects.update(deployment="hosted")
    with pytest.raises(RolloutError, match="hosted by Adobe"):
        start(secret, installation)


def test_an_instance_of_another_account_is_never_pushed_to() -> None:
    installation = make_installation()
    secret = make_account(instances=[])
    with pytest.raises(RolloutError, match="prod1 does not use this account"):
        start(secret, installation)


@pytest.mark.parametrize("state", ["deleted", "abandoned"])
def test_only_a_usable_secret_is_pushed(state: str) -> None:
    installation = make_installation()
    secret = make_account(instances=["prod1"])
    secret.state, secret.slot = state, None
    secret.save()
    with pytest.raises(RolloutError, match="Only a usable version"):
        start(secret, installation)


@pytest.mark.parametrize("state", ["draft", "retired"])
def test_only_an_active_account_is_pushed(state: str) -> None:
    installation = make_installation()
    secret = make_account(instances=["prod1"])
    TechnicalAccount.objects.update(state=state)
    with pytest.raises(RolloutError, match="not active"):
        start(ClientSecret.objects.get(pk=secret.pk), installation)


def test_an_empty_choice_is_refused() -> None:
    with pytest.raises(RolloutError, match="No installation was chosen"):
        start(make_account(instances=["prod1"]))


def test_a_newer_rollout_supersedes_what_has_not_ended() -> None:
    old = make_rollout(containers=["web1", "web2", "web3", "web4"])
    _queued, running, unknown, failed = old.pushes.all()
    finish(running, state="running")
    finish(unknown, state="unknown", code="no_report")
    finish(failed, state="failed", code="timed_out")
    start(old.secret, *Installation.objects.all())
    assert states() == {
        "1/web1": "superseded",
        "1/web2": "running",
        "1/web3": "superseded",
        "1/web4": "failed",
        "2/web1": "queued",
        "2/web2": "queued",
        "2/web3": "queued",
        "2/web4": "queued",
    }
    assert not Push.objects.needing_attention().exists()
    assert AuditEvent.objects.filter(action="rollout.requested").first().details["superseded"] == 2  # type: ignore[union-attr]


def test_containers_are_rung_only_once_the_rollout_is_committed(
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    with django_capture_on_commit_callbacks() as callbacks:
        make_rollout(containers=["web1", "web2"])
        assert Container.objects.exclude(rung=None).count() == 0
    for callback in callbacks:
        callback()
    assert Container.objects.exclude(rung=None).count() == 2


@pytest.mark.django_db(transaction=True)
def test_two_rollouts_at_once_do_not_get_in_each_others_way() -> None:
    installation = make_installation()
    secret = make_account(instances=["prod1"])
    begin = threading.Barrier(2)
    errors = []

    def run() -> None:
        try:
            begin.wait(10)
            start(secret, installation)
        except Exception as error:  # noqa: BLE001  # shown by the assertion below
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert errors == []
    assert sorted(states().values()) == ["queued", "superseded"]
    assert sorted(Rollout.objects.values_list("number", flat=True)) == [1, 2]


def test_the_database_holds_one_queued_push_per_installation_and_one_running_per_container() -> None:
    first = make_rollout(containers=["web1"]).pushes.get()
    second = Push(rollout=start_other(), installation=first.installation, container=first.container)
    with pytest.raises(IntegrityError), transaction.atomic():
        second.save()


def start_other() -> Rollout:
    return make_rollout(account="Other", instance="other", containers=["c1"])


def test_a_failed_push_is_queued_again_with_its_cause() -> None:
    push = make_rollout().pushes.get()
    finish(push, state="failed", code="timed_out")
    result = retry_pushes(push_ids=[push.pk], actor=SOMEBODY, message="why")
    push.refresh_from_db()
    assert [p.pk for p in result.pushes] == [push.pk]
    assert (push.state, push.finished, push.tries) == ("queued", None, 0)
    assert (push.cause, push.cause_by, push.cause_message) == ("retry", "somebody", "why")


def test_an_unknown_push_stays_unknown_and_is_looked_at_now() -> None:
    push = make_rollout().pushes.get()
    finish(push, state="unknown", code="no_report")
    retry_pushes(push_ids=[push.pk], actor=SOMEBODY)
    push.refresh_from_db()
    assert push.state == "unknown"
    assert Push.objects.due().filter(pk=push.pk).exists()


@pytest.mark.parametrize(("state", "code"), [("failed", "timed_out"), ("unknown", "no_report")])
def test_a_persons_retry_has_all_its_tries_again(state: str, code: str) -> None:
    push = make_rollout().pushes.get()
    finish(push, state=state, code=code)
    Push.objects.update(tries=Push.NO_MORE_TRIES, resent=True)
    retry_pushes(push_ids=[push.pk], actor=SOMEBODY)
    push.refresh_from_db()
    assert (push.tries, push.resent) == (0, False)


def spoil_replaced(push: Push) -> None:
    start(push.rollout.secret, push.installation)


def spoil_version(push: Push) -> None:
    abandon(version=push.rollout.secret, actor=SOMEBODY)


def spoil_account(push: Push) -> None:
    TechnicalAccount.objects.update(state="retired")


def spoil_container(push: Push) -> None:
    Container.objects.update(is_enabled=False)


def spoil_deployment(push: Push) -> None:
    Instance.objects.update(deployment="hosted")


def spoil_assignment(push: Push) -> None:
    Assignment.objects.all().delete()


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (spoil_replaced, "A newer rollout was started for this installation."),
        (spoil_version, "Its secret version can no longer be used."),
        (spoil_account, "The technical account is no longer active."),
        (spoil_container, "The container is switched off in the inventory."),
        (spoil_deployment, "The instance is hosted by Adobe and never pushed to."),
        (spoil_assignment, "The instance uses another account now."),
    ],
)
def test_a_retry_that_is_no_longer_wanted_is_refused_with_the_reason(spoil: object, reason: str) -> None:
    push = make_rollout().pushes.get()
    finish(push, state="failed", code="timed_out")
    push.refresh_from_db()
    assert refusal(push) == ""
    assert callable(spoil)
    spoil(push)
    result = retry_pushes(push_ids=[push.pk], actor=SOMEBODY)
    push.refresh_from_db()
    assert (result.pushes, [text for _push, text in result.refused]) == ([], [reason])
    assert push.state == "failed"


def test_cancelling_ends_what_is_queued_and_nothing_else() -> None:
    rollout = make_rollout(containers=["web1", "web2", "web3"])
    _queued, running, done = rollout.pushes.all()
    finish(running, state="running")
    finish(done, state="succeeded")
    assert cancel_rollout(rollout=rollout, actor=SOMEBODY) == 1
    assert states() == {"1/web1": "cancelled", "1/web2": "running", "1/web3": "succeeded"}


def test_a_container_holds_the_version_of_its_newest_push_that_succeeded() -> None:
    rollout = make_rollout()
    account = rollout.secret.account
    assert held_versions(Installation.objects.all()) == {}
    finish_all(rollout, state="succeeded")
    assert [secret.version for secret in held_versions(Installation.objects.all()).values()] == [1]
    version, _new = add_secret(account=account, plaintext=Secret("p8e-second"), actor=SOMEBODY)
    newer = start(version, *Installation.objects.all())
    assert [secret.version for secret in held_versions(Installation.objects.all()).values()] == [1]
    finish_all(newer, state="succeeded")
    assert [secret.version for secret in held_versions(Installation.objects.all()).values()] == [2]


def test_a_file_that_changed_afterwards_proves_nothing() -> None:
    rollout = make_rollout()
    finish_all(rollout, state="succeeded")
    Installation.objects.update(observed_digest="e" * 64)
    assert held_versions(Installation.objects.all()) == {}
