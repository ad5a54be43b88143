"""Two people act on one changed file at once, each over a connection of their own: one waits."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import pytest
from django.db import connection, transaction

from credentials.coverage.cells import Wanted, cells_now
from credentials.coverage.drift import NotAccepted, accept, drifted
from credentials.coverage.models import AcceptedSight
from credentials.models import DesiredVersion
from credentials.rollouts.models import ProvenWrite, Push
from credentials.rollouts.starting import start_rollout
from instances.discovery.observing import Sight, observe
from instances.models import Installation
from portal.audit.models import AuditEvent
from tests.factories import FILE_DIGEST, SOMEBODY, finish, make_rollout

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def changed() -> Installation:
    """An installation whose file was changed after a proven push."""
    push = make_rollout().pushes.get()
    account = push.rollout.secret.account
    ids = (account.client_id, account.technical_account_id, "ORG")
    proven = Sight(*ids, FILE_DIGEST, is_jwt=False, stamp="1")
    with transaction.atomic():
        seen = observe(installation_id=push.installation_id, sight=proven, source="push", source_id="x")
    finish(push, state="succeeded")
    ProvenWrite.objects.update(observation=seen)
    with transaction.atomic():
        sight = replace(proven, digest="e" * 64, stamp="2")
        observe(installation_id=push.installation_id, sight=sight, source="read", source_id="y")
    return push.installation


def accepts(row: Installation) -> None:
    accept(installation=row, observation=drifted()[0].seen.pk, reason="by hand, on purpose", actor=SOMEBODY)


def pushes_again(row: Installation) -> None:
    version = row.instance.assignment.account.newest_version
    assert version
    start_rollout(version=version, installations=[row], reason="repair", actor=SOMEBODY)


def while_it_is_open(first: Callable[[], object], second: Callable[[], object]) -> Future[object]:
    """Do one thing, and begin another before the first is committed; return how the other ended."""
    begun = threading.Event()

    def other() -> object:
        begun.set()
        try:
            return second()
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            first()
            waiting = pool.submit(other)
            begun.wait(10)
            with pytest.raises(TimeoutError):  # it waits for the first to be there, or not
                waiting.result(0.5)
        waiting.exception(60)
    return waiting


def test_what_is_being_pushed_cannot_be_accepted_meanwhile(changed: Installation) -> None:
    pk = drifted()[0].seen.pk
    accepting = while_it_is_open(
        lambda: pushes_again(changed),
        lambda: accept(installation=changed, observation=pk, reason="on purpose", actor=SOMEBODY),
    )
    with pytest.raises(NotAccepted, match="A push is under way"):
        accepting.result()
    assert not AcceptedSight.objects.exists()
    assert not AuditEvent.objects.filter(action="drift.accepted").exists()
    assert DesiredVersion.objects.get().push == Push.objects.get(state="queued").pk


def test_a_push_goes_over_what_was_accepted_a_moment_before(changed: Installation) -> None:
    """The later decision wins, and both are in the history in their order."""
    while_it_is_open(lambda: accepts(changed), lambda: pushes_again(changed)).result()
    assert Push.objects.filter(state="queued").count() == 1
    (cell,) = cells_now(Wanted())
    assert cell.cover == "under_way"
    acts = AuditEvent.objects.filter(action__in=["drift.accepted", "rollout.started", "rollout.requested"])
    assert [each.action for each in acts.order_by("seq")][-2:] == ["drift.accepted", "rollout.requested"]


def test_the_same_sight_is_accepted_once(changed: Installation) -> None:
    pk = drifted()[0].seen.pk
    second = while_it_is_open(
        lambda: accepts(changed),
        lambda: accept(installation=changed, observation=pk, reason="me too", actor=SOMEBODY),
    )
    with pytest.raises(NotAccepted, match="has accepted it already"):
        second.result()
    assert AcceptedSight.objects.get().reason == "by hand, on purpose"


def test_two_push_again_at_once_and_one_push_is_left(changed: Installation) -> None:
    while_it_is_open(lambda: pushes_again(changed), lambda: pushes_again(changed)).result()
    states = Push.objects.order_by("rollout__number").values_list("state", flat=True)
    assert list(states) == ["succeeded", "superseded", "queued"]
    assert DesiredVersion.objects.get().push == Push.objects.get(state="queued").pk
