"""What the map must not say: a failure that nobody sees, and a version that is not there."""

from datetime import timedelta

import pytest
from django.db.models.functions import Now
from django.test import Client
from django.utils import timezone

from credentials.coverage.cells import Wanted
from credentials.coverage.confirming import confirm
from credentials.coverage.drift import accept, drifted
from credentials.coverage.export import as_dict
from credentials.coverage.tallies import tallied, version_counts
from credentials.desired import change
from credentials.models import Assignment, ClientSecret, DesiredVersion, TechnicalAccount
from credentials.rollouts.models import (
    Attempt,
    ConfirmedVersion,
    ProvenDigest,
    ProvenWrite,
    Push,
)
from credentials.rollouts.services import cancel_rollout
from credentials.rollouts.settlement import Outcome, settle
from credentials.rollouts.starting import repair, start_rollout
from credentials.rollouts.versions import enter, make_goal, needing
from instances.discovery.models import Reading
from instances.discovery.observing import Sight, observe
from instances.models import Container, Installation
from portal.plaintext import Secret
from tests.credentials.coverage.both_ways import cells_as_of
from tests.credentials.coverage.test_rules_of_holding import cell, told
from tests.factories import (
    FILE_DIGEST,
    SOMEBODY,
    finish,
    finish_all,
    make_account,
    make_installation,
    make_rollout,
)

pytestmark = pytest.mark.django_db


def second(account: TechnicalAccount) -> ClientSecret:
    return enter(account=account, plaintext=Secret("p8e-second"), actor=SOMEBODY)[0]


def see(row: Installation, version: ClientSecret, digest: str = FILE_DIGEST, **values: object) -> None:
    account = version.account
    seen = {"organization_id": "", "is_jwt": False, "stamp": digest[:4], **values}
    sight = Sight(account.client_id, account.technical_account_id, digest=digest, **seen)  # type: ignore[arg-type]
    observe(installation_id=row.pk, sight=sight, source="read", source_id="x")


def test_what_was_off_during_a_rollout_is_not_called_kept() -> None:
    rollout = make_rollout(containers=["web1", "web2"])
    finish_all(rollout, state="succeeded")
    version = second(rollout.secret.account)
    Container.objects.filter(name="web2").update(is_enabled=False)
    rows = Installation.objects.filter(container__name="web1")
    finish_all(
        start_rollout(version=version, installations=rows, reason="rotation", actor=SOMEBODY),
        state="succeeded",
    )
    assert (told("web1"), told("web2")) == (("done", ""), ("waiting", "off"))
    Container.objects.update(is_enabled=True)
    assert told("web2") == ("needs_you", "behind")


def test_a_file_that_nobody_read_after_the_values_went_out_proves_nothing() -> None:
    rollout = make_rollout()
    finish_all(rollout, state="succeeded")
    newer = start_rollout(
        version=second(rollout.secret.account),
        installations=Installation.objects.all(),
        reason="rotation",
        actor=SOMEBODY,
    )
    push = newer.pushes.get()
    Push.objects.filter(pk=push.pk).update(state="running")
    attempt = Attempt.objects.create(
        push=push, number=1, cause="rollout", secret_version=2, secret_fingerprint="x", stage="done",
        lease_token=push.pk, worker="w",
    )  # fmt: skip
    settle(Push.objects.get(pk=push.pk), attempt, Outcome("failed", "file_unreadable"))
    assert told() == ("needs_you", "failed")
    again = start_rollout(
        version=newer.secret, installations=Installation.objects.all(), reason="repair", actor=SOMEBODY
    )
    cancel_rollout(rollout=again, actor=SOMEBODY)
    assert cell().held is None
    assert told() == ("needs_you", "unknown")


def test_a_cancelled_push_leaves_what_somebody_accepted() -> None:
    rollout = make_rollout(containers=["web1", "web2"])
    finish_all(rollout, state="succeeded")
    row = Installation.objects.get(container__name="web1")
    see(row, rollout.secret)
    ProvenWrite.objects.filter(installation=row).update(observation=row.observations.get())
    version = second(rollout.secret.account)
    attempt = finish(rollout.pushes.get(container__name="web2"), state="failed")
    ProvenDigest.objects.create(digest="2" * 64, secret=version, attempt=attempt)
    see(row, version, digest="2" * 64)
    seen = row.observations.get(ended=None)
    accept(installation=row, observation=seen.pk, reason="set by hand", actor=SOMEBODY)
    again = start_rollout(version=version, installations=[row], reason="repair", actor=SOMEBODY)
    cancel_rollout(rollout=again, actor=SOMEBODY)
    assert DesiredVersion.objects.get(installation=row).version == version


def test_a_version_of_another_account_is_named_with_it(as_admin: Client) -> None:
    rollout = make_rollout()
    finish_all(rollout, state="succeeded")
    other = make_account(name="Analytics", secret="p8e-other")
    Assignment.objects.update(account=other.account)
    make_goal(version=other, actor=SOMEBODY)
    found = cell()
    assert found.holds == "v1 of Triggers"
    assert version_counts(tallied([found])) == [("Triggers", "v1", 1)]
    assert not Wanted(version=1).accepts(found)
    assert (as_dict(found)["holds"], as_dict(found)["holds_of"]) == (1, "Triggers")
    assert "v1 of Triggers" in as_admin.get("/coverage/").content.decode()


def test_a_confirmation_ends_once_its_secret_is_proven_to_be_another_version() -> None:
    rollout = make_rollout(containers=["web1", "web2"])
    Push.objects.update(state="failed", is_written=False)
    row = Installation.objects.get(container__name="web1")
    see(row, rollout.secret)
    confirm(installation=row, digest=FILE_DIGEST, reason="typed by me", actor=SOMEBODY)
    assert cell().how == "confirmed"
    version = second(rollout.secret.account)
    newer = start_rollout(
        version=version,
        installations=Installation.objects.filter(container__name="web2"),
        reason="rotation",
        actor=SOMEBODY,
    )
    attempt = finish(newer.pushes.get(), state="failed")
    ProvenDigest.objects.filter(digest=FILE_DIGEST).delete()
    ProvenDigest.objects.create(digest=FILE_DIGEST, secret=version, attempt=attempt)
    assert (cell().how, cell().held and cell().held.number) == ("seen", 2)  # type: ignore[union-attr]


def test_a_version_that_somebody_confirmed_is_needed() -> None:
    rollout = make_rollout()
    row = rollout.pushes.get().installation
    Push.objects.update(state="failed", is_written=False)
    see(row, rollout.secret)
    confirm(installation=row, digest=FILE_DIGEST, reason="typed by me", actor=SOMEBODY)
    Installation.objects.filter(pk=row.pk).update(observed=Now())
    change({row.pk: (None, None)}, "called_off")
    assert list(needing(rollout.secret)) == [row]
    ConfirmedVersion.objects.all().delete()
    assert not needing(rollout.secret).exists()
    attempt = finish(rollout.pushes.get(), state="failed")
    ProvenDigest.objects.get_or_create(
        digest=FILE_DIGEST, defaults={"secret": rollout.secret, "attempt": attempt}
    )
    assert list(needing(rollout.secret)) == [row]


def test_an_empty_organization_in_the_file_is_never_done() -> None:
    rollout = make_rollout(containers=["web1", "web2"])
    finish(rollout.pushes.get(container__name="web1"), state="succeeded")
    cancel_rollout(rollout=rollout, actor=SOMEBODY)
    row = Installation.objects.get(container__name="web2")
    see(row, rollout.secret)
    assert told("web2") == ("done", "")
    see(row, rollout.secret, organization_id='""', stamp="new")
    assert told("web2")[0] == "needs_you"


@pytest.mark.parametrize(
    ("found", "need"),
    [
        ({}, "gone"),
        ({"prod1": "unreadable"}, "gone"),
        ({"prod1": "none"}, "gone"),
        ({"prod1": "busy"}, ""),
        ({"prod1": "moving"}, ""),
        ({"prod1": ""}, ""),
    ],
)
def test_a_file_that_is_gone_is_not_done(found: dict[str, str], need: str) -> None:
    rollout = make_rollout()
    row = rollout.pushes.get().installation
    see(row, rollout.secret)
    finish_all(rollout, state="succeeded")
    assert told() == ("done", "")
    later = timezone.now() + timedelta(minutes=1)
    reading = {"container": row.container, "asked_by": "portal", "started": later, "state": "succeeded"}
    Reading.objects.create(**reading, found=found, finished=later)
    assert told() == (("needs_you", need) if need else ("done", ""))
    row.observations.filter(ended=None).update(last_seen=later + timedelta(minutes=1))
    assert told() == ("done", "")


def test_what_failed_and_was_retried_later_was_not_under_way_in_between() -> None:
    rollout = make_rollout()
    push = rollout.pushes.get()
    finish(push, state="failed", code="timed_out")
    now = timezone.now()
    Push.objects.filter(pk=push.pk).update(
        requested=now - timedelta(days=3), state="queued", finished=None, retried=now + timedelta(hours=1)
    )
    found = [each.cover for each in cells_as_of(Wanted(), timezone.now())]
    assert found == ["needs_you"]
    Push.objects.filter(pk=push.pk).update(retried=now - timedelta(hours=1))
    assert [each.cover for each in cells_as_of(Wanted(), timezone.now())] == ["under_way"]


def test_an_instance_whose_account_was_retired_is_listed(as_admin: Client) -> None:
    row = make_installation(instance="prod1", container="web1")
    make_account(instances=["prod1"])
    TechnicalAccount.objects.update(state="retired")
    page = as_admin.get("/instances/?needs=account").content.decode()
    assert row.instance.name in page


def test_a_repair_leaves_the_goal_alone() -> None:
    rollout = make_rollout(containers=["web1", "web2"])
    finish_all(rollout, state="succeeded")
    account = rollout.secret.account
    version = second(account)
    rows = Installation.objects.all()
    finish_all(
        start_rollout(version=version, installations=rows, reason="rotation", actor=SOMEBODY),
        state="succeeded",
    )
    back = Installation.objects.filter(container__name="web1")
    finish_all(
        start_rollout(version=rollout.secret, installations=back, reason="roll_back", actor=SOMEBODY),
        state="succeeded",
    )
    Container.objects.filter(name="web2").update(is_enabled=False)
    repair(installations=back, actor=SOMEBODY)
    account.refresh_from_db()
    assert account.goal == version
    assert ProvenWrite.objects.filter(secret=rollout.secret).exists()


class TestDriftPage:
    @pytest.fixture
    def many(self) -> list[Installation]:
        """More changed files than fit a page."""
        rollout = make_rollout(containers=[f"web{number:02}" for number in range(30)])
        rows = list(Installation.objects.order_by("container__name"))
        for row in rows:
            see(row, rollout.secret)
        finish_all(rollout, state="succeeded")
        for row in rows:
            see(row, rollout.secret, is_jwt=True, stamp="new")
        return rows

    def test_a_link_leads_to_the_page_of_the_list(self, as_admin: Client, many: list[Installation]) -> None:
        page = as_admin.get(f"/coverage/drift/?at={many[-1].pk}").content.decode()
        assert f'id="i-{many[-1].pk}"' in page
        assert f"?at={many[-1].pk}#i-{many[-1].pk}" in as_admin.get("/coverage/").content.decode()

    def test_what_was_refused_is_shown_where_it_was_typed(
        self, as_admin: Client, many: list[Installation]
    ) -> None:
        row = many[-1]
        seen = row.observations.get(ended=None)
        answer = as_admin.post(f"/coverage/drift/{row.pk}/accept/", {"observation": seen.pk, "reason": ""})
        assert f'id="i-{row.pk}"' in answer.content.decode()


def test_an_auditor_is_led_to_pages_that_open(as_auditor: Client) -> None:
    make_installation(instance="prod1", container="web1")
    make_account(instances=["prod1"])
    page = as_auditor.get("/coverage/").content.decode()
    assert told() == ("needs_you", "never_pushed")
    assert "/rollout/" not in page
    row = Installation.objects.get()
    assert f'href="/installations/{row.pk}/"' in page or str(row.pk) in page


def test_a_push_that_sent_nothing_explains_no_difference() -> None:
    rollout = make_rollout()
    row = rollout.pushes.get().installation
    see(row, rollout.secret)
    finish_all(rollout, state="succeeded")
    seen = row.observations.get(ended=None)
    ProvenWrite.objects.update(observation=seen)
    newer = start_rollout(version=rollout.secret, installations=[row], reason="repair", actor=SOMEBODY)
    push = newer.pushes.get()
    Attempt.objects.create(
        push=push, number=1, cause="rollout", secret_version=1, secret_fingerprint="x", stage="connecting",
        lease_token=push.pk, worker="w", finished=timezone.now(), verdict="failed", code="connection_refused",
    )  # fmt: skip
    Push.objects.filter(pk=push.pk).update(state="failed", code="connection_refused", finished=Now())
    see(row, rollout.secret, is_jwt=True, stamp="new")
    assert [each.installation for each in drifted()] == [row]
