"""How far the instances are on their way from JWT to OAuth, as they were seen last."""

from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.db.models import Case, Count, Max, Q, QuerySet, Value, When

from instances.models import Installation, Instance
from instances.nlserver import MIN_BUILD


class Stage(StrEnum):
    """How far an instance is, the most urgent first. It is as far as the last of its installations."""

    JWT = "jwt"
    OLD = "old"
    UNKNOWN = "unknown"
    DONE = "done"


PLACES = tuple(Stage)


def progress() -> QuerySet[Any]:  # Any: instances with what is counted
    """Return the instances that can be pushed to somewhere, with how far each is.

    Counted are its installations that are on: `containers`, those `on_jwt`, `below` build 9383, and those
    whose JWT or build is `not_known`; `last_seen` is None where none was ever seen; `place` is that of its
    stage in `PLACES`.
    """
    jwt, build = "installations__observed_jwt", "installations__observed_build"
    rows = Instance.objects.filter(installations__in=Installation.objects.pushable())
    return rows.annotate(
        containers=Count("installations"),
        on_jwt=Count("installations", filter=Q(**{jwt: True})),
        below=Count("installations", filter=Q(**{f"{build}__lt": MIN_BUILD})),
        not_known=Count("installations", filter=Q(**{jwt: None}) | Q(**{build: None})),
        last_seen=Max("installations__observed"),
    ).annotate(
        place=Case(
            When(on_jwt__gt=0, then=Value(PLACES.index(Stage.JWT))),
            When(below__gt=0, then=Value(PLACES.index(Stage.OLD))),
            When(not_known__gt=0, then=Value(PLACES.index(Stage.UNKNOWN))),
            default=Value(PLACES.index(Stage.DONE)),
        )
    )


def tally(rows: QuerySet[Any]) -> Mapping[Stage, int]:
    """Return how many of these rows of `progress` are at each stage."""
    counts = {stage.value: Count("pk", filter=Q(place=place)) for place, stage in enumerate(PLACES)}
    return {Stage(name): count for name, count in rows.order_by().aggregate(**counts).items()}


def builds_of(instances: Collection[UUID]) -> Mapping[UUID, list[int]]:
    """Return the builds that were seen of each of these instances where they are on, the oldest first."""
    found: dict[UUID, list[int]] = {pk: [] for pk in instances}
    rows = Installation.objects.pushable().filter(instance__in=instances)
    builds = rows.order_by("observed_build").values_list("instance", "observed_build").distinct()
    for instance, build in builds:
        if build is not None:
            found[instance].append(build)
    return found
