"""What an installation held at a moment, as far as that is known from what was seen."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from django.utils import timezone

from instances.discovery.models import Observation

Certainty = Literal["known", "between", "not_known"]


class InTheFuture(ValueError):
    """Nobody has seen anything at that moment yet."""


@dataclass(frozen=True)
class Answer:
    """What was there at a moment.

    *Known*: the moment lies between two equal sights, so `before` is what was there. *Between*: it lies
    between the sights of `before` and `after`, or nobody has looked since `before` (`after` is None).
    *Not known*: it is before the first sight, `after`, if there was any.
    """

    certainty: Certainty
    before: Observation | None = None
    after: Observation | None = None


def as_of(*, installation_id: UUID, moment: datetime) -> Answer:
    """Return what an installation held at a moment; `InTheFuture` for one that has not come yet."""
    if moment > timezone.now():
        raise InTheFuture
    rows = Observation.objects.filter(installation=installation_id).order_by("pk")
    return answer(rows, moment)


def as_of_each(*, installation_ids: Collection[UUID], moment: datetime) -> dict[UUID, Answer]:
    """Return what each of some installations held at a moment, with two statements for all of them.

    `InTheFuture` for a moment that has not come yet.
    """
    if moment > timezone.now():
        raise InTheFuture
    # In the order of numbers alone, PostgreSQL would go through all observations of all installations.
    rows = Observation.objects.filter(installation__in=installation_ids).order_by("installation", "pk")
    seen: dict[UUID, list[Observation]] = {each: [] for each in installation_ids}
    for row in rows.only("installation", "at", "last_seen"):
        seen[row.installation_id].append(row)
    answers = {each: answer(found, moment) for each, found in seen.items()}
    named = {row.pk for each in answers.values() for row in (each.before, each.after) if row}
    whole: dict[int | None, Observation] = {**Observation.objects.in_bulk(named)}

    def full(row: Observation | None) -> Observation | None:
        return whole.get(row.pk) if row else None

    return {pk: Answer(each.certainty, full(each.before), full(each.after)) for pk, each in answers.items()}


def answer(rows: Iterable[Observation], moment: datetime) -> Answer:
    """Return the answer from observations in the order of their numbers.

    Where the clock was set back, a moment came twice, and two observations claim it: then it is not known
    which of both was there, and the answer is *between*.
    """
    seen: Sequence[Observation] = list(rows)
    claim = [row for row in seen if row.at <= moment <= row.last_seen]
    if len(claim) == 1:
        return Answer("known", claim[0], claim[0])
    if claim:
        return Answer("between", claim[0], claim[-1])
    before = next((row for row in reversed(seen) if row.last_seen < moment), None)
    after = next((row for row in seen if row.at > moment and (not before or row.pk > before.pk)), None)
    return Answer("between" if before else "not_known", before, after)
