"""How long a rollout takes: a range from the last pushes, one after the other on each container."""

import uuid
from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django.fixtures import Settings

from credentials.rollouts import preview_words
from credentials.rollouts.how_long import SAMPLES, Estimate, estimate, remaining
from credentials.rollouts.models import Attempt, Push
from credentials.rollouts.preview import Fate, Preview, Row, preview
from instances.models import Container, Installation
from portal.health.models import Worker
from tests.factories import make_account, make_installation, make_jump_host, make_rollout

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _places(settings: Settings) -> None:
    settings.PUSHES_PER_ROLLOUT, settings.PUSHES_PER_JUMP_HOST = 4, 2
    settings.PUSH_RETRY_DELAYS = [15, 60]


def took(*seconds: float, code: str = "", kind: str = "push") -> None:
    """Let a push have made attempts that took this long."""
    push = Push.objects.first() or make_rollout().pushes.get()
    made = push.attempts.count()
    now = timezone.now()
    for number, each in enumerate(seconds, made + 1):
        Attempt.objects.create(
            push=push,
            number=number,
            kind=kind,
            cause="rollout",
            secret_version=1,
            secret_fingerprint="x",
            lease_token=uuid.uuid4(),
            worker="worker1",
            finished=now,
            seconds=each,
            code=code,
        )


def of(count: int, *, on: int = 1) -> dict[uuid.UUID, int]:
    """Return `count` containers with `on` pushes each."""
    return {uuid.uuid4(): on for _ in range(count)}


def range_of(containers: dict[uuid.UUID, int], through: int = 0) -> tuple[float, float]:
    jump_hosts = {uuid.uuid4(): through} if through else {}
    found = estimate(containers=containers, jump_hosts=jump_hosts)
    assert found
    return found.low, found.high


def test_nothing_is_known_before_the_first_push() -> None:
    assert estimate(containers=of(3), jump_hosts={}) is None
    version = make_account(instances=["prod1"])
    make_installation()
    said = preview(version, Installation.objects.all())
    assert preview_words.how_long(said) == "How long it takes is not known yet: no push has been made so far."


def test_pushes_take_turns_on_a_container_and_share_the_places_of_all_workers() -> None:
    took(2.0, 2.0, 2.0)
    assert range_of(of(1)) == (2.0, 2.0)
    assert range_of(of(1, on=3)) == (6.0, 6.0)
    assert range_of(of(40)) == (20.0, 20.0)
    assert range_of(of(40), through=40) == (40.0, 40.0)
    for number in range(2):
        Worker.objects.create(name=f"worker{number}", concurrency=4)
    assert range_of(of(40)) == (10.0, 10.0)
    assert range_of(of(40), through=40) == (20.0, 20.0)
    Worker.objects.update(seen=timezone.now() - timedelta(hours=1))
    found = estimate(containers=of(40), jump_hosts={})
    assert found
    assert (found.low, found.workers) == (20.0, 0)
    assert estimate(containers={}, jump_hosts={}) is None


def test_the_range_lies_between_a_quick_and_a_slow_push() -> None:
    took(*[1.0] * 30, *[3.0] * 60, *[60.0] * 10)
    took(9_000.0, code="no_longer_wanted")
    took(9_000.0, kind="look")
    assert range_of(of(1)) == (1.0, 60.0)
    took(*[2.0] * (2 * SAMPLES))
    found = estimate(containers=of(1), jump_hosts={})
    assert found
    assert found.judged_by == SAMPLES


def test_a_preview_counts_what_begins_and_through_which_jump_host() -> None:
    took(2.0)
    version = Push.objects.get().rollout.secret
    for number in range(7):
        make_installation(container=f"app{number}")
    rows = Installation.objects.filter(container__name__startswith="app")
    found = preview(version, rows).estimate
    assert found
    assert found.low == 2.0 * 7 / 4
    Container.objects.filter(name__startswith="app").update(jump_host=make_jump_host())
    found = preview(version, rows).estimate
    assert found
    assert found.low == 2.0 * 7 / 2
    Container.objects.filter(name="app0").update(is_enabled=False)
    found = preview(version, rows).estimate
    assert found
    assert found.low == 2.0 * 6 / 2


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.2, 59.0, "less than 1 min"),
        (5.0, 60.0, "up to 1 min"),
        (5.0, 61.0, "up to 2 min"),
        (60.0, 60.0, "1 min"),
        (65.0, 290.0, "1 to 5 min"),
        (600.0, 7_199.0, "10 to 120 min"),
        (600.0, 7_200.0, "up to 2 h"),
        (4_000.0, 40_000.0, "1 to 12 h"),
    ],
)
def test_a_duration_is_said_no_more_precisely_than_it_is_known(low: float, high: float, words: str) -> None:
    assert preview_words.duration(Estimate(low, high, 3, 1, 90.0)) == words


def test_the_basis_is_said_and_what_may_take_longer() -> None:
    def said(why: str, *, workers: int = 1, judged_by: int = 200) -> str:
        row = Row(
            installation=uuid.uuid4(),
            instance_id=uuid.uuid4(),
            instance="prod1",
            container_id=uuid.uuid4(),
            container="web1",
            fate=Fate.LIKELY_FAILS,
            why=why,
        )
        return preview_words.how_long(Preview((row,), Estimate(65, 100, judged_by, workers, 90.0)))

    basis = "It takes 1 to 2 min, judged by the last 200 pushes, if nothing else is under way."
    assert said("login_refused") == basis
    assert said("timed_out") == f"{basis} Anything that does not answer is tried again for up to 2 min."
    assert said("login_refused", workers=0).endswith(
        "No worker has been seen recently: nothing starts until one is there."
    )
    assert "judged by the last push," in said("login_refused", judged_by=1)


def test_what_remains_of_a_rollout_is_what_is_queued_or_running() -> None:
    took(2.0, 2.0, 2.0)
    rollout = make_rollout(account="Two", instance="prod2", containers=[f"r{each}" for each in range(8)])
    found = remaining(rollout)
    assert found
    assert found.low == 2.0 * 8 / 4
    rollout.pushes.filter(container__name__in=["r0", "r1", "r2", "r3"]).update(state="succeeded")
    Container.objects.filter(name__in=["r4", "r5", "r6"]).update(jump_host=make_jump_host())
    found = remaining(rollout)
    assert found
    assert found.low == 2.0 * 3 / 2, "three of the four that are left go through one jump host"
    rollout.pushes.update(state="failed")
    assert remaining(rollout) is None


def test_what_remains_is_judged_by_the_container_with_most_pushes() -> None:
    took(2.0)
    rollout = make_rollout(account="Two", instance="prod2", containers=["r0", "r1"])
    further = make_rollout(account="Three", instance="prod3", containers=["r0"]).pushes.get()
    Push.objects.filter(pk=further.pk).update(rollout=rollout)
    found = remaining(rollout)
    assert found
    assert found.low == 2.0 * 2
