"""How far a rollout is: its state, computed from its pushes, and what the attempts of a push add up to."""

import uuid
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Case, Count, Max, QuerySet, Sum, Value, When
from django.utils.translation import ngettext

from credentials.rollouts.models import Attempt, Push, Rollout
from credentials.rollouts.states import counted

State = Push.State
PARTLY = "partly"
"""Shown of a rollout, and stored nowhere."""
FAILURES_FIRST = (
    Case(When(state=State.FAILED, then=Value(0)), When(state=State.UNKNOWN, then=Value(1)), default=Value(2)),
    "installation__instance__name",
    "installation__container__name",
)
"""How the pushes of a rollout are sorted: those that need a person first, the others by name."""


@dataclass(frozen=True)
class Progress:
    """The pushes of one rollout, counted by state."""

    counts: dict[str, int]

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def open(self) -> int:
        """Pushes without an outcome yet; an unknown one is still being looked at."""
        return sum(self.counts.get(state, 0) for state in Push.OPEN)

    @property
    def ended(self) -> int:
        return self.total - self.open

    @property
    def state(self) -> str:
        """The rollout's state, in the words of its pushes: the one that needs a person most."""
        under_way = (State.QUEUED, State.RUNNING)
        order = (State.UNKNOWN, State.FAILED, State.CANCELLED, State.SUPERSEDED)
        if any(self.counts.get(state) for state in under_way):
            return State.RUNNING.value
        return next((state.value for state in order if self.counts.get(state)), State.SUCCEEDED.value)

    @property
    def shown_state(self) -> str:
        """What is shown of it: its state, or `partly` if only some of its pushes failed or are unknown.

        A rollout with 12 of 13 successes would otherwise look as bad as one with none.
        """
        is_mixed = self.state in (State.FAILED, State.UNKNOWN) and self.counts.get(State.SUCCEEDED)
        return PARTLY if is_mixed else self.state

    @property
    def news(self) -> str:
        """One short sentence for a screen reader: `3 of 12 succeeded, 1 failed`."""
        succeeded = self.counts.get(State.SUCCEEDED, 0)
        text = ngettext("%(count)s of %(total)s succeeded", "%(count)s of %(total)s succeeded", succeeded) % {
            "count": succeeded,
            "total": self.total,
        }
        ends = (State.FAILED, State.UNKNOWN, State.CANCELLED, State.SUPERSEDED)
        others = [counted(state, self.counts[state]) for state in ends if self.counts.get(state)]
        return ", ".join([text, *others])

    @property
    def tally(self) -> list[tuple[str, str, int]]:
        """State, its count in words and its count, for every state that occurs."""
        return [(s.value, counted(s, self.counts[s]), self.counts[s]) for s in State if self.counts.get(s)]


@dataclass(frozen=True)
class PushLine:
    """A push with what its attempts add up to."""

    push: Push
    attempts: int
    seconds: float
    changed: datetime

    @property
    def unknown_since(self) -> datetime | None:
        """Since when nobody knows the outcome; None where it is known."""
        return self.push.unknown_since if self.push.state == State.UNKNOWN else None

    @property
    def next_try(self) -> datetime | None:
        """When the portal tries again or looks again by itself."""
        waits = self.push.state in (State.QUEUED, State.UNKNOWN) and self.attempts
        return self.push.due if waits else None


@dataclass(frozen=True)
class Retries:
    """What became of the pushes that people retried lately, counted."""

    under_way: int
    succeeded: int
    failed_again: int
    unknown: int
    called_off: int
    replaced: int
    """How many of them all a newer rollout has replaced since."""

    @property
    def total(self) -> int:
        return self.under_way + self.succeeded + self.failed_again + self.unknown + self.called_off

    @property
    def sign(self) -> str:
        """What they are drawn as in all: good only where each of them succeeded."""
        if self.under_way:
            return "running"
        if self.failed_again:
            return "danger"
        return "info" if self.unknown or self.called_off else "success"


def retries_of(pushes: QuerySet[Push]) -> Retries:
    """Return what became of the retries among these pushes, with one query."""
    counts: Counter[str] = Counter()
    rows = pushes.retried_lately().order_by().values_list("state", "cause", "replaced")  # type: ignore[attr-defined]
    for state, cause, is_replaced, count in rows.annotate(count=Count("*")):
        counts["replaced"] += count if is_replaced else 0
        is_asked_for = state == State.UNKNOWN and cause == Attempt.Cause.RETRY
        counts["retrying" if is_asked_for or state in (State.QUEUED, State.RUNNING) else state] += count
    return Retries(
        under_way=counts["retrying"],
        succeeded=counts[State.SUCCEEDED],
        failed_again=counts[State.FAILED],
        unknown=counts[State.UNKNOWN],
        called_off=counts[State.CANCELLED] + counts[State.SUPERSEDED],
        replaced=counts["replaced"],
    )


def progress_of(rollouts: Iterable[Rollout]) -> dict[uuid.UUID, Progress]:
    """Return the progress of each rollout, with one query."""
    counts: dict[uuid.UUID, dict[str, int]] = {rollout.pk: {} for rollout in rollouts}
    rows = Push.objects.filter(rollout__in=list(counts)).order_by()
    for row in rows.values("rollout", "state").annotate(count=Count("*")):
        counts[row["rollout"]][row["state"]] = row["count"]
    return {pk: Progress(states) for pk, states in counts.items()}


def push_lines(pushes: Iterable[Push]) -> list[PushLine]:
    """Return each push with the sum of its attempts, with one further query."""
    shown = list(pushes)
    sums: dict[uuid.UUID, dict[str, object]] = {
        row["push"]: dict(row)
        for row in Attempt.objects.filter(push__in=[push.pk for push in shown])
        .order_by()
        .values("push")
        .annotate(count=Count("*"), sum=Sum("seconds"), started=Max("started"), finished=Max("finished"))
    }
    return [_line(push, sums.get(push.pk, {})) for push in shown]


def _line(push: Push, sums: dict[str, object]) -> PushLine:
    moments = (push.requested, push.retried, push.finished, sums.get("started"), sums.get("finished"))
    changed = max(moment for moment in moments if isinstance(moment, datetime))
    seconds, count = sums.get("sum"), sums.get("count")
    return PushLine(
        push,
        count if isinstance(count, int) else 0,
        seconds if isinstance(seconds, float) else 0.0,
        changed,
    )


def named(pushes: QuerySet[Push]) -> QuerySet[Push]:
    """Return pushes together with everything that a line about them names."""
    return pushes.select_related(
        "installation__instance",
        "installation__container",
        "container__jump_host",
        "rollout__secret__account",
    )


def with_names(pushes: QuerySet[Push], *names: str) -> QuerySet[Push]:
    """Return pushes with these columns of related rows and no others: all that most lists show of them."""
    own = [field.attname for field in Push._meta.concrete_fields]  # noqa: SLF001  # Django's documented API
    return pushes.select_related(*{name.rpartition("__")[0] for name in names}).only(*own, *names)


def with_open_pushes(rollouts: QuerySet[Rollout]) -> QuerySet[Rollout]:
    """Return the rollouts that are not over."""
    return rollouts.filter(pk__in=Push.objects.open().values("rollout"))
