"""Lost bells, vanished workers, stolen leases: the reconciler and the lease settle them."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.db.models import F
from django.db.models.functions import Now

from credentials.rollouts import reconciler
from credentials.rollouts.models import Attempt, Duty, Push, Rollout
from instances.models import Container, Installation, Instance
from instances.visits import bells, visit
from instances.visits.lease import Lease, LeaseLost
from portal.sandbox.config_files import Shape
from tests.credentials.rollouts.conftest import FIRST, MakeSite, Site, Start, deliver_all, only_push, take

PAST = Now() - timedelta(hours=1)


def messages() -> int:
    """How many bells the file broker holds."""
    return len(list(Path(settings.QUEUE).glob("*.msg")))


@contextmanager
def without_queue() -> Iterator[None]:
    """Take the broker away."""
    queue = Path(settings.QUEUE)
    away = queue.rename(queue.with_name("queue-away"))
    try:
        yield
    finally:
        away.rename(queue)


@pytest.fixture(autouse=True)
def _empty_queue() -> None:
    for message in Path(settings.QUEUE).glob("*.msg"):
        message.unlink()


def abandon(site: Site, rollout: Rollout, *, stage: str, kind: str = "push") -> Push:
    """Leave a push as a worker does that vanished in this stage."""
    push = only_push(rollout)
    token = uuid.uuid4()
    Push.objects.filter(pk=push.pk).update(state="running", tries=1)
    Attempt.objects.create(
        push=push,
        number=1,
        kind=kind,
        cause="rollout",
        secret_version=1,
        secret_fingerprint="f",
        lease_token=token,
        worker="gone",
        stage=stage,
    )
    Container.objects.filter(pk=site.row.pk).update(lease_token=token, lease_expires=PAST, rung=None)
    return push


def test_what_is_due_is_rung(make_site: MakeSite, start: Start) -> None:
    site = make_site()
    start(site)
    assert reconciler.reconcile() == 1
    assert messages() == 1


def test_a_bell_on_its_way_is_not_rung_again(make_site: MakeSite, start: Start) -> None:
    site = make_site()
    start(site)
    Container.objects.update(rung=Now())
    assert reconciler.reconcile() == 0
    Container.objects.update(rung=PAST)
    assert reconciler.reconcile() == 1


def test_a_bell_from_before_the_clock_was_set_back_is_rung_again(make_site: MakeSite, start: Start) -> None:
    start(make_site())
    Container.objects.update(rung=Now() + timedelta(hours=1))
    assert reconciler.reconcile() == 1
    assert messages() == 1


@pytest.fixture
def five_due(db: None, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five containers with work, of which two are rung at once."""
    instance = Instance.objects.create(name="far")
    rows = [Container(name=f"far-{n}", address=f"10.0.0.{n}") for n in range(1, 6)]
    Container.objects.bulk_create(rows)
    Installation.objects.bulk_create(Installation(instance=instance, container=each) for each in rows)
    start(*[Site(each, None, None) for each in rows])  # type: ignore[arg-type]  # nothing is behind them
    monkeypatch.setattr(reconciler, "AT_ONCE", 2)


def test_all_that_are_due_are_rung_in_one_pass(five_due: None) -> None:
    assert reconciler.reconcile() == 5
    assert not Container.objects.filter(rung=None).exists()
    assert reconciler.reconcile() == 0


def test_a_broker_that_is_away_is_asked_once_in_a_pass(
    five_due: None, caplog: pytest.LogCaptureFixture
) -> None:
    with without_queue():
        assert reconciler.reconcile() == 0
    assert caplog.text.count("The broker took no message") == 1


def test_a_push_that_waits_for_its_time_is_not_rung(make_site: MakeSite, start: Start) -> None:
    start(make_site())
    Push.objects.update(due=Now() + timedelta(minutes=5))
    assert reconciler.reconcile() == 0


@pytest.mark.parametrize("step", [timedelta(seconds=30), timedelta(minutes=20), timedelta(hours=2)])
def test_a_push_from_before_the_clock_was_set_back_is_due(
    make_site: MakeSite, start: Start, step: timedelta
) -> None:
    site = make_site()
    start(site)
    Push.objects.update(due=F("due") + step, put_off=F("put_off") + step)
    assert reconciler.reconcile() == 1
    deliver_all(site)
    assert Push.objects.get().state == "succeeded"


def test_a_superseded_push_that_was_left_without_an_attempt_ends(make_site: MakeSite, start: Start) -> None:
    site = make_site()
    push = only_push(start(site))
    Push.objects.update(state="running", replaced=True)
    visit.visit(site.row.pk)
    push.refresh_from_db()
    assert (push.state, push.finished is None) == ("superseded", False)


def test_a_worker_that_vanished_before_the_commit_point_costs_nothing(
    make_site: MakeSite, start: Start
) -> None:
    site = make_site()
    push = abandon(site, start(site), stage="preparing")
    assert reconciler.reconcile() == 1
    assert messages() == 1
    deliver_all(site)
    push.refresh_from_db()
    assert [each.code for each in push.attempts.all()] == ["worker_lost", ""]
    assert push.state == "succeeded"
    assert site.secret() == FIRST


def test_a_worker_that_vanished_after_it_is_followed_by_a_look(make_site: MakeSite, start: Start) -> None:
    site = make_site(shape=Shape.WITHOUT_IMS)
    push = abandon(site, start(site), stage="committing")
    deliver_all(site)
    push.refresh_from_db()
    kinds = list(push.attempts.values_list("kind", flat=True))
    assert kinds == ["push", "look", "push"]  # the look showed that nothing had been written
    assert push.state == "succeeded"


def test_a_look_that_vanished_leaves_the_push_unknown(make_site: MakeSite, start: Start) -> None:
    site = make_site()
    push = abandon(site, start(site), stage="committing")
    delivery_of_a_look = Attempt.objects.filter(push=push)
    delivery_of_a_look.update(kind="look")
    Container.objects.filter(pk=site.row.pk).update(is_enabled=False)
    visit.visit(site.row.pk)
    push.refresh_from_db()
    assert push.state == "unknown"


def test_a_holder_that_lost_its_lease_writes_nothing(make_site: MakeSite, start: Start) -> None:
    site = make_site()
    push = only_push(start(site))
    slow = Lease(site.row.pk, owner="slow")
    assert take(slow)
    Container.objects.update(lease_expires=PAST)
    other = Lease(site.row.pk, owner="other")
    assert take(other)
    with pytest.raises(LeaseLost), slow.held():
        Push.objects.filter(pk=push.pk).update(state="succeeded")
    push.refresh_from_db()
    assert push.state == "queued"
    slow.release()
    assert Container.objects.get(pk=site.row.pk).lease_token == other.token


def test_two_claims_at_once_have_one_winner(make_site: MakeSite) -> None:
    site = make_site()
    leases = [Lease(site.row.pk, owner=str(number)) for number in range(5)]
    assert [take(lease) for lease in leases].count(True) == 1


def test_a_lease_from_before_the_clock_was_set_back_counts_as_abandoned(
    make_site: MakeSite, start: Start
) -> None:
    site = make_site()
    rollout = start(site)
    Container.objects.update(lease_token=uuid.uuid4(), lease_expires=Now() + timedelta(days=1), rung=None)
    assert reconciler.reconcile() == 1
    deliver_all(site)
    assert only_push(rollout).state == "succeeded"


def test_one_worker_at_a_time_reconciles(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert reconciler.on_duty()
    assert reconciler.on_duty()  # and keeps the duty
    monkeypatch.setattr(reconciler, "ME", uuid.uuid4())
    assert not reconciler.on_duty()
    Duty.objects.update(expires=PAST)
    assert reconciler.on_duty()


def test_a_broker_that_takes_nothing_loses_nothing(make_site: MakeSite, start: Start) -> None:
    site = make_site()
    rollout = start(site)
    with without_queue():
        assert bells.ring([site.row.pk]) == 0
    assert only_push(rollout).state == "queued"
    assert reconciler.reconcile() == 1  # at once: the bell that failed does not count as on its way
    assert messages() == 1
