"""Since when pushes fail, how often they were tried since, and whether a retry met the same again."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import (
    BooleanField,
    Case,
    Count,
    Exists,
    ExpressionWrapper,
    F,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    When,
)

from credentials.rollouts.models import Attempt, Push
from instances.failures import explain
from instances.menders import Mender, menders

_FENCE, _PROVEN = "rollout__fence", "installation__proven_write__fence"
_PROVEN_AT = Case(
    When(**{f"{_PROVEN}__lt": F(_FENCE)}, then=F(_PROVEN)),
    When(**{f"{_PROVEN}__isnull": False}, then=F(_FENCE) - 1),
    default=0,
)
"""The fence of the proven write before a push; where its own or a later one is proven, only it counts."""
_ALIKE = Q(state=Push.State.FAILED, code=F("code_before"), retried__isnull=False)


@dataclass(frozen=True)
class Failing:
    """What the attempts at the installation of a push say since the last success there, until that push.

    Neither a retry nor a newer rollout begins it anew.
    """

    since: datetime | None = None
    """When the first of them failed."""
    last: datetime | None = None
    """When the last try began."""
    tries: int = 0
    is_alike: bool = False
    """Whether the last retry by a person failed for the same reason as what it retried."""


def may_pass(code: str, *, is_alike: bool) -> bool:
    """Whether a retry alone may mend what a push failed for: else somebody else has to mend it before.

    `is_alike`: a retry has already failed for the same reason.
    """
    known = explain(code) if code else None
    return not is_alike and (Mender.HELPDESK in menders(code) or bool(known and known.retries))


def with_failing(pushes: QuerySet[Push]) -> QuerySet[Push]:
    """Return pushes with `failing_since`, `last_try`, `try_count` and `is_alike`, as `Failing` has them."""
    own = Attempt.objects.filter(push=OuterRef("pk"))
    in_vain = _in_vain()
    tries = in_vain.filter(kind=Attempt.Kind.PUSH)
    in_order = ("push__rollout__fence", "number")
    retries = own.filter(cause=Attempt.Cause.RETRY, kind=Attempt.Kind.PUSH)
    earlier = own.filter(number__lt=OuterRef("last_retry"))
    found = (
        pushes.annotate(proven_at=_PROVEN_AT)
        .annotate(
            failing_since=Subquery(in_vain.order_by(*in_order).values("finished")[:1]),
            last_try=Subquery(tries.order_by(*in_order).reverse().values("started")[:1]),
            try_count=Subquery(
                tries.order_by().values("push__installation").annotate(n=Count("pk")).values("n")
            ),
            last_retry=Subquery(retries.order_by("-number").values("number")[:1]),
        )
        .annotate(code_before=Subquery(earlier.order_by("-number").values("code")[:1]))
    )
    return found.annotate(is_alike=ExpressionWrapper(_ALIKE, output_field=BooleanField()))


def _in_vain() -> QuerySet[Attempt]:
    """Return the attempts at the installation of an outer push, until that push, since the last success.

    A proven write counts as one, except its own: a step after it may have failed.
    """
    later = Attempt.objects.filter(push=OuterRef("push"), number__gt=OuterRef("number"))
    # Without a proof, as earlier releases had them.
    succeeded = Push.objects.filter(
        installation=OuterRef("push__installation"),
        state=Push.State.SUCCEEDED,
        rollout__fence__gt=OuterRef("push__rollout__fence"),
        rollout__fence__lt=OuterRef(OuterRef("rollout__fence")),
    )
    return Attempt.objects.filter(
        ~Exists(later.filter(verdict=Push.State.SUCCEEDED)),
        ~Exists(succeeded),
        push__installation=OuterRef("installation"),
        push__rollout__fence__gt=OuterRef("proven_at"),
        push__rollout__fence__lte=OuterRef("rollout__fence"),
        finished__isnull=False,
    ).exclude(verdict=Push.State.SUCCEEDED)


def failing_of(ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, Failing]:
    """Return of each of these pushes since when it fails, with one query."""
    pushes = with_failing(Push.objects.filter(pk__in=list(ids)).order_by())
    fields = ("pk", "failing_since", "last_try", "try_count", "is_alike")
    return {
        pk: Failing(since, last, tries or 0, bool(is_alike))
        for pk, since, last, tries, is_alike in pushes.values_list(*fields)
    }
