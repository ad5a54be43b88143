"""What waits for a person is asked per installation: nothing that is called off hides a failure.

Sequences of everything that people and workers do, made up by a seed, are compared with a record that is kept
beside them: it follows what happened, and knows no column of the table.
"""

import random
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django.fixtures import Settings

from credentials.models import Assignment
from credentials.rollouts.models import Attempt, Push
from credentials.rollouts.services import cancel_rollout, retry_pushes
from credentials.rollouts.settlement import Outcome, settle
from credentials.rollouts.starting import start_rollout
from instances.failures import Code
from tests.factories import SOMEBODY, make_account, make_installation

pytestmark = [pytest.mark.django_db, pytest.mark.database]

PLACES = ("web1", "web2", "web3")
OUTCOMES = {
    "succeeds": Outcome(Push.State.SUCCEEDED, written=True, proof=Attempt.Proof.CHANGED),
    "fails": Outcome(Push.State.FAILED, Code.LOGIN_REFUSED),
    "fails for now": Outcome(Push.State.FAILED, Code.CONNECTION_REFUSED),
    "is lost": Outcome(Push.State.UNKNOWN, Code.NO_REPORT),
    "is half written": Outcome(Push.State.FAILED, Code.WRITE_NOT_CONFIRMED, written=True, again=True),
}


@dataclass
class Record:
    """What happened on one installation, as a person would keep it."""

    push: uuid.UUID | None = None
    state: str = "none"
    came_to_something: bool = False
    """Whether the push has failed once, or may have left something in the file."""
    before: uuid.UUID | None = None
    """What waited for a person before this push was started."""

    @property
    def waits(self) -> uuid.UUID | None:
        """The push that waits for a person now."""
        if self.state in ("failed", "unknown", "left behind"):
            return self.push
        return self.before if self.state == "called off" else None


class Story:
    """One account on three installations, everything that happens to them, and the record of it."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.secret = make_account(instances=["prod1"])
        self.other = make_account(name="Other", secret="p8e-other")
        self.installations = {name: make_installation(container=name) for name in PLACES}
        self.records = {each.pk: Record() for each in self.installations.values()}
        self.is_ours = True
        self.told: list[str] = []

    def step(self) -> None:
        """Let something happen that can happen now."""
        deeds: list[Callable[[], None]] = [
            *[self.start] * 3, *[self.begin] * 8, *[self.end] * 6, *[self.cancel] * 3,
            *[self.retry] * 2, self.reassign,
        ]  # fmt: skip
        deed = self.random.choice(deeds)
        (deed if self.is_ours or self.random.random() < 0.5 else self.reassign)()

    def start(self) -> None:
        if not self.is_ours:
            return
        chosen = [each for each in self.installations.values() if self.random.random() < 0.6]
        if not chosen:
            return
        rollout = start_rollout(
            version=self.secret, installations=chosen, reason="repair", actor=SOMEBODY, message=""
        )
        for push in rollout.pushes.all():
            former = self.records[push.installation_id]
            waits = former.waits
            if former.state in ("queued", "running"):
                # its end, if it still comes, changes nothing unless this one is called off
                waits = former.push if former.came_to_something else former.before
            self.records[push.installation_id] = Record(push.pk, "queued", before=waits)
        self.told.append(f"start {len(chosen)}")

    def begin(self) -> None:
        push = self._some(state="queued")
        if push is None or Push.objects.filter(container=push.container_id, state="running").exists():
            return
        record = self.records[push.installation_id]
        if not push.is_wanted:
            self.run(push, Outcome(Push.State.SUPERSEDED, Code.NO_LONGER_WANTED))
            record.state = "called off"
            if Push.objects.get(pk=push.pk).is_written:
                record.state = "left behind"
            return
        Push.objects.filter(pk=push.pk).update(state="running", tries=push.tries + 1)
        record.state = "running"

    def end(self) -> None:
        push = self._some(state="running")
        if push is None:
            return
        name = self.random.choice(list(OUTCOMES))
        state = self.run(push, OUTCOMES[name])
        self.told.append(f"{push.container} {name}: {state}")
        record = self.records[push.installation_id]
        if record.push == push.pk:
            record.state = {"superseded": "left behind"}.get(state, state)
            record.came_to_something |= state != "succeeded"
        elif state != "succeeded":
            # A newer one was started meanwhile: this is what waits if that one is called off.
            record.before = push.pk
        else:
            record.before = None

    def run(self, push: Push, outcome: Outcome) -> str:
        attempt = Attempt.objects.create(
            push=push,
            number=push.attempts.count() + 1,
            cause=push.cause,
            secret_version=1,
            secret_fingerprint="f",
            lease_token=uuid.uuid4(),
            worker="w",
            after_digest=uuid.uuid4().hex * 2,
        )
        Push.objects.filter(pk=push.pk).update(state="running")
        push.refresh_from_db()
        return settle(push, attempt, outcome)

    def cancel(self) -> None:
        push = self._some(state="queued")
        if push is None:
            return
        queued = list(push.rollout.pushes.filter(state="queued"))
        cancel_rollout(rollout=push.rollout, actor=SOMEBODY)
        for each in queued:
            record = self.records[each.installation_id]
            if record.push == each.pk:
                is_half_done = bool(each.is_written)
                record.state = "left behind" if is_half_done or each.retried else "called off"
        self.told.append(f"cancel {len(queued)}")

    def retry(self) -> None:
        waiting = list(Push.objects.needing_attention().values_list("pk", flat=True))
        done = retry_pushes(push_ids=waiting, actor=SOMEBODY)
        for push in done.pushes:
            record = self.records[push.installation_id]
            assert record.push == push.pk, "an older push was retried although a newer one was started"
            record.state = "queued" if record.state in ("failed", "left behind") else record.state
        self.told.append(f"retry {len(done.pushes)} of {len(waiting)}")

    def reassign(self) -> None:
        self.is_ours = not self.is_ours
        account = (self.secret if self.is_ours else self.other).account
        Assignment.objects.update(account=account)
        self.told.append(f"reassign to {account}")

    def _some(self, *, state: str) -> Push | None:
        found = Push.objects.filter(state=state).select_related(
            "rollout__secret__account",
            "installation__instance__assignment",
            "container",
            "installation__container",
        )
        rows = list(found.order_by("rollout__number", "container__name"))
        return self.random.choice(rows) if rows else None

    def rollout(self, place: str) -> Push:
        """Start a rollout to one installation, and return its push."""
        chosen = [self.installations[place]]
        started = start_rollout(version=self.secret, installations=chosen, reason="repair", actor=SOMEBODY)
        return started.pushes.get()

    def failed(self, place: str) -> Push:
        """Return a push there that failed."""
        push = self.rollout(place)
        self.run(push, OUTCOMES["fails"])
        push.refresh_from_db()
        return push

    def check(self) -> None:
        """Compare what the portal says with the record."""
        running = set(Push.objects.filter(state="running").values_list("installation", flat=True))
        expected = {record.waits for place, record in self.records.items() if place not in running} - {None}
        found = set(Push.objects.needing_attention().values_list("pk", flat=True))
        assert found == expected, "\n".join([*self.told, *(str(each) for each in self.records.values())])


@pytest.mark.parametrize("seed", range(3))
def test_whatever_happens_the_list_names_what_waits_for_a_person(seed: int, settings: Settings) -> None:
    settings.PUSH_RETRY_DELAYS = [60, 60]
    story = Story(seed)
    for _ in range(80):
        story.step()
        story.check()
    told = "\n".join(story.told)
    assert all(word in told for word in ("cancel", ": failed", ": superseded"))


def test_a_failure_that_a_cancelled_rollout_had_replaced_is_on_the_list_again() -> None:
    story = Story(0)
    failed = story.failed("web1")
    newer = story.rollout("web1")
    assert not Push.objects.needing_attention().exists()
    cancel_rollout(rollout=newer.rollout, actor=SOMEBODY)
    assert list(Push.objects.needing_attention()) == [failed]
    again = story.rollout("web1")
    story.run(again, OUTCOMES["succeeds"])
    assert not Push.objects.needing_attention().exists()


def test_a_cancelled_retry_leaves_its_failure_on_the_list() -> None:
    story = Story(0)
    failed = story.failed("web1")
    retry_pushes(push_ids=[failed.pk], actor=SOMEBODY)
    cancel_rollout(rollout=failed.rollout, actor=SOMEBODY)
    failed.refresh_from_db()
    assert (failed.state, failed.code) == ("failed", "login_refused")
    assert list(Push.objects.needing_attention()) == [failed]


def test_what_nobody_looked_at_because_of_a_rollout_that_was_cancelled_is_on_the_list() -> None:
    story = Story(0)
    lost = story.rollout("web1")
    story.run(lost, OUTCOMES["is lost"])
    cancel_rollout(rollout=story.rollout("web1").rollout, actor=SOMEBODY)
    assert list(Push.objects.needing_attention()) == [lost]


def test_the_count_takes_one_query_and_reads_no_history() -> None:
    """Only where the last push was called off is the installation's own past read."""
    story = Story(0)
    story.failed("web1")
    with CaptureQueriesContext(connection) as queries:
        assert Push.objects.needing_attention().count() == 1
    assert len(queries) == 1
    with connection.cursor() as cursor:
        explain = "EXPLAIN" if connection.vendor == "postgresql" else "EXPLAIN QUERY PLAN"
        cursor.execute(f"{explain} {queries[0]['sql']}")
        plan = "\n".join(str(row) for row in cursor.fetchall())
    # Of so few rows PostgreSQL takes any way that costs as much; `make bench` measures it with a million.
    if connection.vendor == "sqlite":
        assert all(index in plan for index in ("push_attention", "push_called_off")), plan
        assert re.search("push_by_installation|push_installation_id", plan), plan
    assert "push_by_state" not in plan, plan
