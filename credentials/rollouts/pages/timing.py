"""How long a rollout takes: so far, still, and until the portal goes on by itself."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Max, Min, Q
from django.utils import timezone

from credentials.rollouts import preview_words
from credentials.rollouts.how_long import remaining
from credentials.rollouts.models import Push, Rollout
from credentials.rollouts.progress import Progress


@dataclass(frozen=True)
class Timing:
    """The times on a rollout's page."""

    seconds: float
    """Since it was requested; where nothing is under way, until the last outcome."""
    is_under_way: bool
    has_retries: bool
    """Whether that includes what people retried later."""
    expected: str
    """How long the pushes still take that are under way; empty where nothing is, or nothing is known."""
    basis: str
    next_try: datetime | None
    """When the portal sends or looks again, if all that it can do now is wait for that."""


def timing_of(rollout: Rollout, progress: Progress) -> Timing:
    """Return the times of a rollout, with a constant number of queries."""
    is_under_way = progress.state == Push.State.RUNNING
    now = timezone.now()
    found = rollout.pushes.aggregate(
        last=Max("finished"),
        due=Min("due", filter=Q(state__in=Push.WAITING)),
        retried=Max("retried"),
    )
    end = now if is_under_way else found["last"] or now
    left = remaining(rollout) if is_under_way else None
    is_at_it = progress.counts.get(Push.State.RUNNING) or not found["due"] or found["due"] <= now
    return Timing(
        seconds=(end - rollout.requested).total_seconds(),
        is_under_way=is_under_way,
        has_retries=found["retried"] is not None,
        expected=preview_words.duration(left) if left else "",
        basis=(preview_words.basis(left) if left.workers else str(preview_words.NO_WORKER)) if left else "",
        next_try=None if is_at_it else found["due"],
    )
