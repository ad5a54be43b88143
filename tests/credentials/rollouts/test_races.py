"""What people decide while a push is under way: newer rollouts, retries, cancellations, other assignments."""

import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, transaction
from django.db.models.functions import Now
from pytest_django.fixtures import Settings

from credentials import services
from credentials.models import TechnicalAccount
from credentials.rollouts import errand, pushing, reconciler
from credentials.rollouts.models import Push
from credentials.rollouts.services import Retried, cancel_rollout, held_versions, retry_pushes
from credentials.rollouts.starting import RolloutError
from instances.failures import Code, explain
from instances.models import Container, Installation, Instance
from instances.visits import bells, visit
from instances.visits.lease import Lease
from portal.audit.models import AuditEvent
from portal.audit.trail import Actor
from portal.plaintext import Secret
from portal.sandbox.config_files import Shape
from portal.sandbox.ssh_server import SSHFaults
from tests.credentials.rollouts.conftest import FIRST, SECOND, MakeSite, Start, deliver_all, only_push, take
from tests.credentials.rollouts.test_reconciler import PAST, abandon


def closing(work: Callable[[], Retried]) -> Retried:
    """Do something with a database connection of this thread's own, and close it."""
    try:
        return work()
    finally:
        connection.close()


@pytest.mark.django_db(transaction=True)
def test_a_retry_that_a_newer_rollout_overtakes_is_refused(
    make_site: MakeSite, start: Start, actor: Actor
) -> None:
    site = make_site(build=9368)
    failed = only_push(start(site))
    deliver_all(site)
    begun = threading.Event()

    def retry() -> Retried:
        begun.set()
        return retry_pushes(push_ids=[failed.pk], actor=actor)

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            newer = start(site)
            waiting = pool.submit(closing, retry)
            begun.wait(5)
            with pytest.raises(TimeoutError):  # it waits for the rollout to be there, or not
                waiting.result(0.5)
        result = waiting.result(20)
    assert result.pushes == []
    assert [reason for _push, reason in result.refused] == [
        "A newer rollout was started for this installation."
    ]
    failed.refresh_from_db()
    assert (failed.state, only_push(newer).state) == ("failed", "queued")


def test_a_secret_that_was_given_up_meanwhile_starts_nothing(
    make_site: MakeSite, start: Start, account: TechnicalAccount, actor: Actor
) -> None:
    site = make_site()
    as_read_before = account.newest_version
    services.add_secret(account=account, plaintext=Secret(SECOND), actor=actor)
    newer = start(site)
    assert as_read_before
    services.abandon(version=as_read_before, actor=actor)
    with pytest.raises(RolloutError, match="Only a usable version"):
        start(site, secret=as_read_before)
    deliver_all(site)
    assert (only_push(newer).state, site.secret()) == ("succeeded", SECOND)


def assign_another(push: Push, actor: Actor) -> None:
    other = TechnicalAccount.objects.create(name="Another", state="active", client_id="other")
    services.assign(account=other, instances=[push.installation.instance], actor=actor)


def move_to_adobe(push: Push, actor: Actor) -> None:
    Instance.objects.update(deployment=Instance.Deployment.HOSTED)


def give_version_up(push: Push, actor: Actor) -> None:
    services.abandon(version=push.rollout.secret, actor=actor)


def retire_account(push: Push, actor: Actor) -> None:
    TechnicalAccount.objects.update(state=TechnicalAccount.State.RETIRED)


DECISIONS = [assign_another, move_to_adobe, give_version_up, retire_account]


@pytest.mark.parametrize("decide", DECISIONS)
def test_a_push_that_is_no_longer_wanted_does_not_even_connect(
    make_site: MakeSite, start: Start, actor: Actor, decide: Callable[[Push, Actor], None]
) -> None:
    site = make_site(shape=Shape.WITHOUT_IMS)
    push = only_push(start(site))
    decide(push, actor)
    deliver_all(site)
    push.refresh_from_db()
    assert (push.state, push.code) == ("superseded", "no_longer_wanted")
    assert (site.server.connections, site.secret()) == (0, None)
    assert AuditEvent.objects.filter(action="push.superseded").count() == 1


@pytest.mark.parametrize("decide", DECISIONS)
def test_a_push_that_is_no_longer_wanted_stops_before_its_newline(
    make_site: MakeSite, start: Start, actor: Actor, decide: Callable[[Push, Actor], None]
) -> None:
    site = make_site()
    push = only_push(start(site))
    lease = Lease(site.row.pk, owner="test")
    assert take(lease)
    with lease.held():
        begun = errand.PushErrand().begin(site.row.pk, lease)
    assert begun
    attempt = begun.attempt
    decide(push, actor)
    with pytest.raises(pushing.NoLongerWanted):
        pushing._commit_point(push, attempt, lease)
    attempt.refresh_from_db()
    assert attempt.stage == "connecting"


def test_a_cancelled_rollout_is_not_sent_again_by_the_portal(
    make_site: MakeSite, start: Start, actor: Actor
) -> None:
    site = make_site()
    rollout = start(site)
    push = abandon(site, rollout, stage="preparing")
    cancel_rollout(rollout=rollout, actor=actor)
    deliver_all(site)
    push.refresh_from_db()
    assert (push.state, push.code) == ("failed", "worker_lost")
    retry_pushes(push_ids=[push.pk], actor=actor)
    deliver_all(site)
    push.refresh_from_db()
    assert (push.state, site.secret()) == ("succeeded", FIRST)


def test_what_may_have_been_overwritten_is_not_shown_as_held(
    make_site: MakeSite, start: Start, account: TechnicalAccount, actor: Actor
) -> None:
    site = make_site()
    start(site)
    deliver_all(site)
    assert held_versions(Installation.objects.all())
    superseded = abandon(site, start(site), stage="committing")
    cancel_rollout(rollout=start(site), actor=actor)
    deliver_all(site)
    superseded.refresh_from_db()
    assert superseded.state == "superseded"
    assert held_versions(Installation.objects.all()) == {}


@pytest.mark.parametrize(("before", "after"), [(False, None), (True, True)])
def test_a_lost_report_leaves_only_what_is_sure(
    make_site: MakeSite, start: Start, before: bool, after: bool | None
) -> None:
    site = make_site()
    rollout = start(site)
    Push.objects.update(is_written=before)  # as an earlier attempt left it
    push = abandon(site, rollout, stage="committing")
    start(site)
    deliver_all(site)
    push.refresh_from_db()
    assert (push.state, push.is_written) == ("superseded", after)


def test_an_error_after_the_report_is_no_proof_that_nothing_was_changed(
    make_site: MakeSite, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = make_site()
    rollout = start(site)
    with monkeypatch.context() as defect:
        defect.setattr(pushing, "_outcome", lambda verdict, evidence: [][0])
        visit.visit(site.row.pk)
    push = only_push(rollout)
    assert push.attempts.order_by("number")[0].code == "no_report"
    assert (push.state, site.secret()) == ("unknown", FIRST)
    Push.objects.update(due=Now())
    deliver_all(site)
    assert only_push(rollout).state == "succeeded"


def test_looking_goes_on_and_uses_up_no_tries(make_site: MakeSite, start: Start, settings: Settings) -> None:
    settings.PUSH_RETRY_DELAYS = [60, 600]
    site = make_site(shape=Shape.WITHOUT_IMS, ssh_faults=SSHFaults(refuse_login=True))
    push = abandon(site, start(site), stage="committing")
    for _ in range(5):
        Push.objects.update(due=Now())
        assert visit.visit(site.row.pk) is False  # the next look is due later
    push.refresh_from_db()
    assert (push.state, push.code) == ("unknown", "login_refused")
    assert push.explanation
    assert push.explanation.cause == explain(Code.NO_REPORT).cause  # not: nothing was changed
    assert push.explanation.next_step == explain(Code.LOGIN_REFUSED).next_step
    assert AuditEvent.objects.filter(action="push.unknown").count() == 1
    site.server.faults.refuse_login = False
    Push.objects.update(due=Now())
    deliver_all(site)
    push.refresh_from_db()
    assert (push.state, site.secret()) == ("succeeded", FIRST)


def test_an_unknown_push_does_not_show_a_passing_failure_of_its_look(
    make_site: MakeSite, start: Start
) -> None:
    site = make_site()
    push = abandon(site, start(site), stage="committing")
    site.server.stop()
    visit.visit(site.row.pk)
    push.refresh_from_db()
    assert (push.state, push.code) == ("unknown", "no_report")
    assert push.attempts.latest("number").code == "connection_refused"


def test_a_look_that_a_person_asked_for_carries_the_name(
    make_site: MakeSite, start: Start, actor: Actor
) -> None:
    site = make_site()
    push = only_push(start(site))
    Push.objects.update(state="unknown", cause="look", code="no_report", tries=1)
    push.refresh_from_db()
    retry_pushes(push_ids=[push.pk], actor=actor, message="please")
    lease = Lease(site.row.pk, owner="test")
    assert take(lease)
    with lease.held():
        begun = errand.PushErrand().begin(site.row.pk, lease)
    assert begun
    attempt = begun.attempt
    assert (attempt.kind, attempt.cause, attempt.caused_by) == ("look", "retry", actor.name)


def test_who_waits_longest_is_rung_first(
    make_site: MakeSite, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    never, lost = make_site("mkt-1"), make_site("mkt-2", instances=("prod2",))
    start(never, lost)
    Container.objects.filter(pk=lost.row.pk).update(rung=PAST)
    Container.objects.filter(pk=never.row.pk).update(rung=None)
    monkeypatch.setattr(reconciler, "AT_ONCE", 1)
    rung: list[uuid.UUID] = []

    def ring(pks: list[uuid.UUID]) -> int:
        rung.extend(pks)
        return bells.ring(pks)

    monkeypatch.setattr(reconciler, "ring", ring)
    assert reconciler.reconcile() == 2
    assert rung == [never.row.pk, lost.row.pk]


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite: a writer has the whole database")
def test_a_bell_waits_for_nobody_who_writes_to_a_container(make_site: MakeSite, start: Start) -> None:
    held, free = make_site("mkt-1"), make_site("mkt-2", instances=("prod2",))
    start(held, free)
    Container.objects.update(rung=None)

    def reconcile() -> int:
        try:
            return reconciler.reconcile()
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool, transaction.atomic():
        Container.objects.select_for_update().get(pk=held.row.pk)
        assert pool.submit(reconcile).result(10) == 2
    held.row.refresh_from_db()
    free.row.refresh_from_db()
    assert (held.row.rung, bool(free.row.rung)) == (None, True)


def test_the_reconciler_survives_any_error(
    db: None, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.RECONCILE_INTERVAL = 0.01
    stop, calls = threading.Event(), []

    def reconcile() -> int:
        calls.append(uuid.uuid4())
        if len(calls) == 1:
            raise ValueError("a defect")
        stop.set()
        return 0

    monkeypatch.setattr(reconciler, "reconcile", reconcile)
    monkeypatch.setattr(reconciler, "close_old_connections", lambda: None)  # it is the test's own
    reconciler.run(stop)
    assert len(calls) == 2
