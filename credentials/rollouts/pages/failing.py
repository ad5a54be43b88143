"""Since when pushes fail, how often they were tried since, and whether a retry met the same again."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import (
    BooleanField,
    Count,
    Exists,
    ExpressionWrapper,
    F,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
)

from credentials.rollouts.models import Attempt, Push
from instances.failures import explain
from instances.menders import Mender, menders

_ALIKE = Q(state=Push.State.FAILED, code=F("code_before"), retried__isnull=False)


@dataclass(frozen=True)
class Failing:
    """What the attempts of a push say since it last succeeded: a retry does not begin it anew."""

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
    later = Attempt.objects.filter(push=OuterRef("push"), number__gt=OuterRef("number"))
    in_vain = own.exclude(verdict=Push.State.SUCCEEDED).filter(
        ~Exists(later.filter(verdict=Push.State.SUCCEEDED)), finished__isnull=False
    )
    tries = in_vain.filter(kind=Attempt.Kind.PUSH)
    retries = own.filter(cause=Attempt.Cause.RETRY, kind=Attempt.Kind.PUSH)
    earlier = own.filter(number__lt=OuterRef("last_retry"))
    found = pushes.annotate(
        failing_since=Subquery(in_vain.order_by("number").values("finished")[:1]),
        last_try=Subquery(tries.order_by("-number").values("started")[:1]),
        try_count=Subquery(tries.order_by().values("push").annotate(n=Count("pk")).values("n")),
        last_retry=Subquery(retries.order_by("-number").values("number")[:1]),
    ).annotate(code_before=Subquery(earlier.order_by("-number").values("code")[:1]))
    return found.annotate(is_alike=ExpressionWrapper(_ALIKE, output_field=BooleanField()))


def failing_of(ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, Failing]:
    """Return of each of these pushes since when it fails, with one query."""
    pushes = with_failing(Push.objects.filter(pk__in=list(ids)).order_by())
    fields = ("pk", "failing_since", "last_try", "try_count", "is_alike")
    return {
        pk: Failing(since, last, tries or 0, bool(is_alike))
        for pk, since, last, tries, is_alike in pushes.values_list(*fields)
    }
