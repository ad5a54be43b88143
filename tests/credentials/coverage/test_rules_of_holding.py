"""The rules of holding and desiring, each by its name."""

import uuid
from collections.abc import Sequence

import pytest
from django.db import IntegrityError

from credentials import services
from credentials.coverage.cells import Cell, Wanted, cells_now
from credentials.models import (
    ClientSecret,
    DesiredVersion,
    DesiredVersionChange,
    GoalChange,
    TechnicalAccount,
)
from credentials.rollouts.models import ProvenDigest, Push, Rollout
from credentials.rollouts.services import cancel_rollout, refusal, retry_pushes
from credentials.rollouts.settlement import Outcome, settle
from credentials.rollouts.starting import RolloutError, start_rollout
from credentials.rollouts.versions import enter, make_goal
from instances.discovery.observing import Sight, observe
from instances.failures import Code
from instances.models import Container, Installation, Instance
from portal.plaintext import Secret
from tests.factories import SOMEBODY, finish, finish_all, make_account, make_rollout

pytestmark = pytest.mark.django_db


def cell(container: str = "web1") -> Cell:
    return next(each for each in cells_now(Wanted()) if each.container == container)


def told(container: str = "web1") -> tuple[str, str]:
    found = cell(container)
    return found.cover, found.need


def second(rollout: Rollout, text: str = "p8e-second") -> ClientSecret:
    return enter(account=rollout.secret.account, plaintext=Secret(text), actor=SOMEBODY)[0]


def start(version: ClientSecret, containers: Sequence[str] = ("web1",), reason: str = "rotation") -> Rollout:
    rows = Installation.objects.filter(container__name__in=containers)
    return start_rollout(version=version, installations=rows, reason=reason, actor=SOMEBODY)


def push_of(rollout: Rollout, container: str = "web1") -> Push:
    return rollout.pushes.get(container__name=container)


def desired(container: str = "web1") -> int | None:
    row = DesiredVersion.objects.get(installation__container__name=container)
    return row.version.version if row.version else None


def goal(rollout: Rollout) -> int | None:
    account = TechnicalAccount.objects.get(pk=rollout.secret.account_id)
    return account.goal.version if account.goal else None


# --- holds --------------------------------------------------------------------------------------------


def test_it_holds_its_last_proven_write_whatever_became_of_the_reload() -> None:
    rollout = make_rollout()
    attempt = finish(push_of(rollout), state="succeeded")
    Push.objects.update(state="failed", code=Code.RELOAD_FAILED)
    assert attempt.proof == "changed"
    assert (cell().held and cell().held.number, cell().how) == (1, "proven")  # type: ignore[union-attr]
    assert told() == ("needs_you", "failed")


@pytest.mark.parametrize(
    "changed",
    [{"observed_digest": "e" * 64}, {"observed_client_id": "other"}, {"observed_account_id": "other"}],
)
def test_it_holds_nothing_known_once_anything_of_it_was_seen_otherwise(changed: dict[str, str]) -> None:
    finish_all(make_rollout(), state="succeeded")
    assert told() == ("done", "")
    Installation.objects.update(**changed)
    assert cell().held is None
    assert told()[0] == "needs_you"


def test_a_digest_that_was_proven_elsewhere_is_seen() -> None:
    rollout = make_rollout(containers=["web1", "web2"])
    finish(push_of(rollout, "web1"), state="succeeded")
    cancel_rollout(rollout=rollout, actor=SOMEBODY)
    account = rollout.secret.account
    Installation.objects.filter(container__name="web2").update(
        observed_digest="d" * 64,
        observed_client_id=account.client_id,
        observed_account_id=account.technical_account_id,
    )
    assert (cell("web2").held and cell("web2").held.number, cell("web2").how) == (1, "seen")  # type: ignore[union-attr]
    assert told("web2") == ("done", "")
    ProvenDigest.objects.all().delete()
    assert told("web2") == ("needs_you", "never_pushed")


# --- desires ------------------------------------------------------------------------------------------


def test_a_start_writes_the_desire_and_every_change_of_it_is_kept() -> None:
    rollout = make_rollout()
    row = DesiredVersion.objects.get()
    assert (row.version, row.push, row.why) == (rollout.secret, push_of(rollout).pk, "rollout")
    newer = start(second(rollout))
    kept = list(DesiredVersionChange.objects.order_by("pk").values_list("version__version", "push"))
    assert kept == [(1, push_of(rollout).pk), (2, push_of(newer).pk)]


def test_cancel_means_leave_it_as_it_is() -> None:
    rollout = make_rollout()
    finish_all(rollout, state="succeeded")
    cancel_rollout(rollout=start(second(rollout)), actor=SOMEBODY)
    assert desired() == 1
    assert DesiredVersion.objects.get().push is None


def test_a_first_push_that_is_cancelled_leaves_no_desire() -> None:
    cancel_rollout(rollout=make_rollout(), actor=SOMEBODY)
    assert desired() is None
    assert told() == ("needs_you", "never_pushed")


def test_a_push_that_is_superseded_on_its_way_gives_its_desire_back() -> None:
    rollout = make_rollout()
    finish_all(rollout, state="succeeded")
    newer = start(second(rollout))
    push = push_of(newer)
    Push.objects.filter(pk=push.pk).update(state="running")
    push.refresh_from_db()
    attempt = push.attempts.create(
        number=1, cause="rollout", secret_version=2, secret_fingerprint="x", lease_token=uuid.uuid4()
    )
    settle(push, attempt, Outcome("superseded", Code.NO_LONGER_WANTED))
    assert desired() == 1


def test_what_was_written_after_all_is_desired_if_the_newer_push_was_called_off() -> None:
    rollout = make_rollout()
    push = push_of(rollout)
    Push.objects.filter(pk=push.pk).update(state="running")
    newer = start(second(rollout))
    cancel_rollout(rollout=newer, actor=SOMEBODY)
    assert desired() is None
    push.refresh_from_db()
    attempt = push.attempts.create(
        number=1, cause="rollout", secret_version=1, secret_fingerprint="x", lease_token=uuid.uuid4(),
        after_digest="d" * 64,
    )  # fmt: skip
    settle(push, attempt, Outcome("succeeded", proof="changed", written=True))
    assert desired() == 1
    assert DesiredVersion.objects.get().why == "written_after_all"


def test_a_desire_counts_only_while_its_account_is_the_assigned_one() -> None:
    rollout = make_rollout()
    finish_all(rollout, state="succeeded")
    other = make_account(name="Other")
    services.assign(account=other.account, instances=[Instance.objects.get()], actor=SOMEBODY)
    assert desired() is None
    assert cell().desired is None
    assert told()[0] == "needs_you"
    services.assign(account=rollout.secret.account, instances=[Instance.objects.get()], actor=SOMEBODY)
    assert cell().desired is None


def test_an_instance_from_which_the_account_is_taken_desires_nothing() -> None:
    rollout = make_rollout()
    with pytest.raises(services.AccountError, match="Give a reason"):
        services.unassign(instances=[Instance.objects.get()], actor=SOMEBODY, message=" ")
    assert services.unassign(instances=[Instance.objects.get()], actor=SOMEBODY, message="moved") == 1
    assert desired() is None
    assert cells_now(Wanted()) == []
    assert not Push.objects.wanted().exists()
    assert rollout.pushes.count() == 1


# --- retry and repair ---------------------------------------------------------------------------------


def test_retry_takes_a_failed_push_only_if_the_desire_names_it() -> None:
    rollout = make_rollout()
    push = push_of(rollout)
    finish(push, state="failed", code=Code.NOT_APPLIED)
    push.refresh_from_db()
    assert refusal(push) == ""
    DesiredVersion.objects.update(push=None)
    assert "to stay as it is" in refusal(Push.objects.get(pk=push.pk))
    assert retry_pushes(push_ids=[push.pk], actor=SOMEBODY).pushes == []


def test_a_failure_behind_a_cancelled_rollout_does_not_disappear() -> None:
    rollout = make_rollout()
    finish_all(rollout, state="failed", code=Code.NOT_APPLIED)
    cancel_rollout(rollout=start(second(rollout)), actor=SOMEBODY)
    assert list(Push.objects.needing_attention()) == [push_of(rollout)]
    assert told() == ("needs_you", "never_pushed")


def test_a_failure_needs_nobody_once_the_file_is_to_stay_as_it_is() -> None:
    rollout = make_rollout()
    finish_all(rollout, state="succeeded")
    version = second(rollout)
    finish_all(start(version), state="failed", code=Code.CONNECTION_REFUSED)
    cancel_rollout(rollout=start(version), actor=SOMEBODY)
    assert not Push.objects.needing_attention().exists()
    assert desired() == 1


# --- the goal -----------------------------------------------------------------------------------------


def test_entering_a_version_changes_nothing() -> None:
    rollout = make_rollout()
    finish_all(rollout, state="succeeded")
    second(rollout)
    assert (goal(rollout), desired()) == (1, 1)
    assert told() == ("done", "")


def test_a_rollout_to_all_installations_changes_the_goal() -> None:
    rollout = make_rollout(containers=["web1", "web2"])
    finish_all(rollout, state="succeeded")
    newer = start(second(rollout), ["web1", "web2"])
    assert goal(rollout) == 2
    finish_all(newer, state="succeeded")
    assert [told("web1"), told("web2")] == [("done", ""), ("done", "")]


def test_a_partial_roll_back_leaves_the_goal_and_keeps_the_rest() -> None:
    rollout = make_rollout(containers=["web1", "web2"])
    finish_all(rollout, state="succeeded")
    version = second(rollout)
    finish_all(start(version, ["web1", "web2"]), state="succeeded")
    finish_all(start(rollout.secret, ["web2"], "repair"), state="succeeded")
    assert goal(rollout) == 2
    assert (told("web1"), told("web2")) == (("done", ""), ("kept", ""))


def test_make_this_the_goal_pushes_nothing_and_the_others_need_somebody() -> None:
    rollout = make_rollout()
    finish_all(rollout, state="succeeded")
    version = second(rollout)
    assert make_goal(version=version, actor=SOMEBODY, message="next week")
    assert not make_goal(version=version, actor=SOMEBODY)
    assert (goal(rollout), Rollout.objects.count()) == (2, 1)
    assert told() == ("needs_you", "behind")
    change = GoalChange.objects.latest("pk")
    assert (change.version, change.why, change.by, change.message) == (
        version,
        "chosen",
        "somebody",
        "next week",
    )


def test_a_version_that_was_given_up_is_no_goal() -> None:
    rollout = make_rollout()
    version = second(rollout)
    services.abandon(version=version, actor=SOMEBODY)
    with pytest.raises(services.AccountError, match="can no longer be used"):
        make_goal(version=version, actor=SOMEBODY)


# --- the five words -----------------------------------------------------------------------------------


def test_a_push_that_is_open_is_under_way() -> None:
    make_rollout()
    assert told() == ("under_way", "")


def test_a_container_that_is_off_waits() -> None:
    rollout = make_rollout()
    cancel_rollout(rollout=rollout, actor=SOMEBODY)
    Container.objects.update(is_enabled=False)
    assert told() == ("waiting", "off")


def test_a_newcomer_needs_somebody() -> None:
    make_account(instances=["prod1"])
    Installation.objects.create(
        instance=Instance.objects.get(), container=Container.objects.create(name="web1", address="x.example")
    )
    assert told() == ("needs_you", "never_pushed")


def test_whoever_holds_a_version_that_cannot_be_used_is_dead() -> None:
    rollout = make_rollout()
    finish_all(rollout, state="succeeded")
    ClientSecret.objects.update(state="deleted", slot=None)
    DesiredVersion.objects.update(version=None, push=None)
    TechnicalAccount.objects.update(goal=None)
    assert told() == ("needs_you", "dead")


# --- versions -----------------------------------------------------------------------------------------


def states(rollout: Rollout) -> dict[int, str]:
    return dict(rollout.secret.account.secrets.order_by("version").values_list("version", "state"))


def test_two_versions_are_usable_and_one_that_nothing_needs_makes_room() -> None:
    rollout = make_rollout()
    finish_all(rollout, state="succeeded")
    second(rollout)
    second(rollout, "p8e-third")
    assert states(rollout) == {1: "usable", 2: "abandoned", 3: "usable"}


def test_a_third_version_is_refused_while_both_are_needed_and_the_answer_says_where() -> None:
    rollout = make_rollout(containers=["web1", "web2"])
    finish_all(rollout, state="succeeded")
    finish_all(start(second(rollout), ["web1"]), state="succeeded")
    with pytest.raises(services.AccountError) as refused:
        second(rollout, "p8e-third")
    assert "prod1 on web1" in str(refused.value)
    assert "prod1 on web2" in str(refused.value)
    assert states(rollout) == {1: "usable", 2: "usable"}


def test_the_secret_of_a_usable_version_typed_again_selects_it() -> None:
    rollout = make_rollout()
    second(rollout)
    version, is_new = enter(account=rollout.secret.account, plaintext=Secret("p8e-first"), actor=SOMEBODY)
    assert (version, is_new) == (rollout.secret, False)
    assert states(rollout) == {1: "usable", 2: "usable"}


def test_the_secret_of_an_abandoned_version_typed_again_brings_it_back() -> None:
    rollout = make_rollout()
    version = second(rollout)
    services.abandon(version=version, actor=SOMEBODY)
    assert second(rollout) == version
    assert states(rollout) == {1: "usable", 2: "usable"}


@pytest.mark.parametrize("state", ["deleting", "deleted"])
def test_the_secret_of_a_deleted_version_is_refused(state: str) -> None:
    rollout = make_rollout()
    version = second(rollout)
    slot = 2 if state == "deleting" else None
    ClientSecret.objects.filter(pk=version.pk).update(state=state, slot=slot)
    with pytest.raises(services.AccountError, match="deleted at Adobe"):
        second(rollout)


@pytest.mark.parametrize("state", ["deleting", "deleted", "abandoned"])
def test_a_version_that_ended_is_neither_started_nor_retried_nor_sent(state: str) -> None:
    rollout = make_rollout()
    finish_all(rollout, state="failed", code=Code.NOT_APPLIED)
    slot = 1 if state == "deleting" else None
    ClientSecret.objects.update(state=state, slot=slot)
    push = Push.objects.get()
    assert "can no longer be used" in refusal(push)
    assert not push.is_wanted
    with pytest.raises(RolloutError, match="Only a usable version"):
        start(rollout.secret)


def test_the_database_keeps_a_third_version_out() -> None:
    rollout = make_rollout()
    second(rollout)
    row = rollout.secret.account.secrets.get(version=2)
    row.pk, row.version = uuid.uuid4(), 3
    with pytest.raises(IntegrityError):
        row.save(force_insert=True)


# --- sights -------------------------------------------------------------------------------------------


def test_a_sight_of_an_older_version_names_it() -> None:
    rollout = make_rollout()
    account = rollout.secret.account
    push = push_of(rollout)
    finish(push, state="succeeded")
    ProvenDigest.objects.filter(secret=rollout.secret).update(digest="1" * 64)
    finish_all(start(second(rollout)), state="succeeded")
    sight = Sight(account.client_id, account.technical_account_id, "", "1" * 64, is_jwt=False)
    observe(installation_id=push.installation_id, sight=sight, source="read", source_id="x")
    assert (cell().held and cell().held.number, cell().how) == (1, "seen")  # type: ignore[union-attr]
    assert told() == ("needs_you", "drifted")
