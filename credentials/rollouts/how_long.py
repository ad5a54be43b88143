"""How long a rollout would take, as a range, judged by how long the last pushes took."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.conf import settings
from django.db.models import Count

from credentials.rollouts.models import Attempt, Push, Rollout
from instances.failures import Code
from portal.health.models import Worker

SAMPLES = 200
"""Attempts that are judged by."""
ROLLOUTS = 20
"""Of this number of the newest rollouts at most, so that no more has to be gone through."""
LOWER, UPPER = 0.25, 0.9
"""Where in the sorted durations the range begins and ends: one push in ten takes longer."""
JITTER = 1.2
"""A pause between two tries is at most so much longer than the setting says."""


@dataclass(frozen=True)
class Estimate:
    """From the first push to the last outcome, if nothing else is under way. All times in seconds."""

    low: float
    high: float
    judged_by: int
    """The number of attempts that it is judged by."""
    workers: int
    """The workers that were seen lately; without any it is judged as if there were one."""
    tries_last: float
    """For so long the portal goes on by itself where a push fails that may pass by itself."""


def estimate(*, containers: Mapping[uuid.UUID, int], jump_hosts: Mapping[uuid.UUID, int]) -> Estimate | None:
    """Return how long pushes take: how many for each container, and how many through each jump host.

    Pushes of one container follow each other; a worker makes as many at once as the settings allow one
    rollout, and fewer through one jump host. None without pushes, or where none has told how long it takes.
    """
    pushes, longest = sum(containers.values()), max(containers.values(), default=0)
    return _estimate(pushes, longest, list(jump_hosts.values()))


def remaining(rollout: Rollout) -> Estimate | None:
    """Return how long the pushes take that are queued or running; the database counts them."""
    pushes = rollout.pushes.filter(state__in=[Push.State.QUEUED, Push.State.RUNNING]).order_by()
    on_each = pushes.values_list("container").annotate(count=Count("*"))
    longest = on_each.order_by("-count").values_list("count", flat=True).first()
    through = pushes.filter(container__jump_host__isnull=False).values_list("container__jump_host")
    ways = [count for _host, count in through.annotate(count=Count("*"))]
    return _estimate(pushes.count(), longest or 0, ways)


def _estimate(pushes: int, on_one_container: int, through_jump_hosts: Sequence[int]) -> Estimate | None:
    seconds = _durations()
    workers = Worker.objects.at_work().count()
    if not pushes or not seconds:
        return None
    places = max(1, workers) * settings.PUSHES_PER_ROLLOUT
    ways = max(1, workers) * settings.PUSHES_PER_JUMP_HOST
    turns = max(
        on_one_container,
        pushes / places,
        max((count / ways for count in through_jump_hosts), default=0),
    )
    return Estimate(
        low=turns * _at(seconds, LOWER),
        high=turns * _at(seconds, UPPER),
        judged_by=len(seconds),
        workers=workers,
        tries_last=sum(settings.PUSH_RETRY_DELAYS) * JITTER,
    )


def _durations() -> list[float]:
    """Return how long the last attempts took that reached their container, the shortest first."""
    newest = Rollout.objects.order_by("-number").values_list("pk", flat=True)[:ROLLOUTS]
    made = Attempt.objects.filter(
        push__rollout__in=list(newest), kind=Attempt.Kind.PUSH, seconds__isnull=False
    ).exclude(code=Code.NO_LONGER_WANTED)
    # Without an order the database may stop at the last one that it needs.
    return sorted(each or 0.0 for each in made.order_by().values_list("seconds", flat=True)[:SAMPLES])


def _at(seconds: list[float], share: float) -> float:
    return seconds[min(len(seconds) - 1, int(len(seconds) * share))]
