"""An unknown push is looked at for as long as it takes: at first often, then rarer and rarer."""

import json
import random
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from django.db.models.functions import Now
from django.utils import timezone
from pytest_django.fixtures import Settings

from credentials.rollouts.models import Attempt, Push
from credentials.rollouts.reporting import as_json, as_table
from credentials.rollouts.services import look_again, retry_pushes
from credentials.rollouts.settlement import Outcome, settle
from instances.failures import Code
from instances.inventory.csv_format import parse
from instances.inventory.editing import save_container, save_jump_host
from instances.inventory.importing import apply_import
from instances.models import Container, HostKey
from instances.reaching.host_keys import approve_host_key
from tests.factories import SOMEBODY, finish, make_host_key, make_jump_host, make_rollout

pytestmark = [pytest.mark.django_db, pytest.mark.database]

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
STILL_UNKNOWN = Outcome(Push.State.UNKNOWN, Code.CONNECTION_REFUSED)


def unknown(*, since: timedelta = timedelta(), container: str = "web1", account: str = "Triggers") -> Push:
    """A push whose report was lost that long ago, and whose next look is far away."""
    push = make_rollout(account=account, instance=f"i-{account}", containers=[container]).pushes.get()
    finish(push, state="unknown", code="no_report")
    return put_off(push, since)


def put_off(push: Push, since: timedelta) -> Push:
    now = timezone.now()
    # SQLite's clock is cut to the millisecond: what was put off in this very one would lie in its future.
    before = now - timedelta(seconds=1)
    Push.objects.filter(pk=push.pk).update(unknown_since=now - since, due=now + DAY, put_off=before)
    push.refresh_from_db()
    return push


def attempt_at(push: Push, kind: str = "look", *, host_key: str = "") -> Attempt:
    Push.objects.filter(pk=push.pk).update(state="running")
    push.refresh_from_db()
    return Attempt.objects.create(
        push=push,
        number=push.attempts.count() + 1,
        kind=kind,
        cause=push.cause,
        secret_version=1,
        secret_fingerprint="f",
        lease_token=uuid.uuid4(),
        worker="w",
        host_key=host_key,
    )


def pause_after_a_look(push: Push) -> timedelta:
    """Look in vain, and return when the next look comes."""
    settle(push, attempt_at(push), STILL_UNKNOWN)
    push.refresh_from_db()
    return push.due - timezone.now()


def is_due(push: Push) -> bool:
    return Push.objects.due().filter(pk=push.pk).exists()


@pytest.mark.parametrize(
    ("age", "looks", "least", "most"),
    [
        (timedelta(), 0, timedelta(seconds=3), 6 * MINUTE),
        (19 * MINUTE, 6, timedelta(seconds=3), 6 * MINUTE),
        (HOUR, 9, 13 * MINUTE, 15 * MINUTE),
        (8 * HOUR, 20, 105 * MINUTE, 2 * HOUR),
        (30 * DAY, 60, 21 * HOUR, DAY),
        (-HOUR, 0, timedelta(seconds=3), 6 * MINUTE),  # the clock was set back
        (HOUR, 0, timedelta(seconds=3), 6 * MINUTE),  # or forward
        (30 * DAY, 4, timedelta(seconds=3), 21 * MINUTE),
    ],
)
def test_the_longer_unknown_the_rarer_it_is_looked_at(
    age: timedelta, looks: int, least: timedelta, most: timedelta
) -> None:
    push = unknown(since=age)
    for _ in range(looks):
        pause_after_a_look(push)
    pause = pause_after_a_look(put_off(push, age))
    assert least <= pause <= most


def test_a_host_that_is_dead_for_a_week_is_looked_at_some_forty_times(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    settings.PUSH_RETRY_DELAYS = [10, 60, 300]
    monkeypatch.setattr(random, "uniform", lambda low, _high: low)  # as often as it can be
    push, age, looks = unknown(), timedelta(), 0
    while age < 7 * DAY:
        age += pause_after_a_look(put_off(push, age))
        looks += 1
    assert 10 < looks < 50


def test_a_push_from_before_the_upgrade_is_looked_at_as_before() -> None:
    push = unknown(since=DAY)
    Push.objects.update(unknown_since=None)
    assert pause_after_a_look(push) < 6 * MINUTE


def test_a_person_who_asks_has_a_look_at_once() -> None:
    push = unknown(since=30 * DAY)
    assert not is_due(push)
    assert retry_pushes(push_ids=[push.pk], actor=SOMEBODY).pushes == [push]
    assert is_due(push)
    push.refresh_from_db()
    assert push.unknown_since is not None
    assert push.unknown_since < timezone.now() - 29 * DAY  # it has been unknown all the time


def test_a_failure_that_is_looked_at_again_is_unknown_since_then() -> None:
    push = make_rollout().pushes.get()
    finish(push, state="failed", code="not_proven")
    assert look_again(push_id=push.pk, actor=SOMEBODY)
    push.refresh_from_db()
    assert push.unknown_since is not None
    assert abs(push.unknown_since - timezone.now()) < HOUR


def test_a_container_that_answers_to_another_push_is_looked_at_now() -> None:
    waits = unknown(since=30 * DAY)
    other = make_rollout(account="Other", instance="other", containers=["web2"]).pushes.get()
    Push.objects.filter(pk=other.pk).update(container=waits.container)
    other.refresh_from_db()
    settle(
        other, attempt_at(other, "push", host_key="SHA256:x"), Outcome(Push.State.FAILED, Code.BUILD_TOO_OLD)
    )
    assert is_due(waits)


@pytest.mark.parametrize("host_key", ["", "SHA256:x"])
def test_looks_that_settle_nothing_do_not_bring_each_other_forward(host_key: str) -> None:
    waits, other = unknown(since=DAY), unknown(since=DAY, container="web2", account="Other")
    Push.objects.filter(pk=other.pk).update(container=waits.container)
    other.refresh_from_db()
    settle(other, attempt_at(other, host_key=host_key), Outcome(Push.State.UNKNOWN, Code.BECOME_REFUSED))
    assert not is_due(waits)


def approve(container: Container) -> None:
    key = make_host_key(container=container, state=HostKey.State.OFFERED)
    approve_host_key(key=key, actor=SOMEBODY, fingerprint=key.fingerprint)


def correct_address(container: Container) -> None:
    container.address = "10.9.9.9"
    save_container(container=container, actor=SOMEBODY)


def correct_by_file(container: Container) -> None:
    rows = f"instance,container,address\ni-Triggers,{container.name},10.9.9.8\n"
    apply_import(parsed=parse(rows.encode()), actor=SOMEBODY)


def correct_jump_host(container: Container) -> None:
    jump_host = make_jump_host()
    Container.objects.filter(pk=container.pk).update(jump_host=jump_host)
    jump_host.address = "10.9.9.7"
    save_jump_host(jump_host=jump_host, actor=SOMEBODY)


@pytest.mark.parametrize("mend", [approve, correct_address, correct_by_file, correct_jump_host])
def test_whatever_a_person_mends_is_looked_at_now(mend: Callable[[Container], None]) -> None:
    push = unknown(since=30 * DAY)
    mend(push.container)
    assert is_due(push)


def test_a_key_that_was_only_shown_brings_nothing_forward() -> None:
    push = unknown(since=30 * DAY)
    make_host_key(container=push.container, state=HostKey.State.OFFERED)
    assert not is_due(push)


def test_since_when_and_when_next_are_told_at_the_command_line() -> None:
    push = unknown(since=30 * DAY)
    line = json.loads(as_json(push.rollout))["pushes"][0]
    since, following = (datetime.fromisoformat(line[name]) for name in ("unknown_since", "next_try"))
    assert (since.utcoffset(), following.utcoffset()) == (timedelta(), timedelta())
    assert since < timezone.now() - 29 * DAY
    assert timezone.now() < following <= timezone.now() + DAY
    assert f"unknown since {line['unknown_since']}, next look {line['next_try']}" in as_table(push.rollout)


def test_a_lost_report_notes_since_when() -> None:
    push = make_rollout().pushes.get()
    settle(push, attempt_at(push, "push"), Outcome(Push.State.UNKNOWN, Code.NO_REPORT))
    assert Push.objects.filter(pk=push.pk, unknown_since__lte=Now(), due__lte=Now()).exists()
