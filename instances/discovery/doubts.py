"""Where what was read may differ from the inventory, asked of the database.

Nearly everything fits. So the few containers where something may not are looked for first, and only those are
compared name by name: a page says in milliseconds that nothing is wrong with ten thousand installations.
"""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from instances.discovery.models import EMPTY_ORGANIZATION, Reading, open_sight
from instances.models import NONE_RETIRED, NOT_HOSTED, Installation
from instances.nlserver import MIN_BUILD
from instances.requirements import all_met
from portal.json_columns import JSONSize, JSONText


def with_strays(readings: QuerySet[Reading]) -> QuerySet[Reading]:
    """Return the readings that found an instance which the inventory does not have there, retired or not."""
    known = _installed().exclude(word=None).order_by().values("container")
    count = Coalesce(Subquery(known.annotate(count=Count("pk")).values("count")), 0)
    return readings.annotate(files=JSONSize("found")).filter(files__gt=count)


def doubtful_containers(readings: QuerySet[Reading], installations: QuerySet[Installation]) -> set[UUID]:
    """Return the containers for which something may have to be proposed: no others can; two statements.

    `readings`: the newest successful one of each container. `installations`: those of these containers.
    """
    in_use = installations.filter(all_met(NONE_RETIRED))
    here = in_use.filter(container=OuterRef("container"))
    gone = Exists(_installed().filter(all_met(NONE_RETIRED), word=None))
    old = Exists(here.filter(observed_build__lt=MIN_BUILD))
    annotated = readings.annotate(former=former_build())
    strange = annotated.filter(
        Q(pk__in=with_strays(readings).values("pk"))
        | Q(gone, further=0)
        | Q(build__lt=MIN_BUILD)
        | Q(old)
        | Q(build__isnull=False, former__isnull=False) & ~Q(build=F("former"))
    )
    seen = in_use.filter(NOT_HOSTED.of("instance").condition()).annotate(sight=open_sight())
    wrong = seen.filter(Q(observed_jwt=True) | Q(sight__organization_id=EMPTY_ORGANIZATION))
    rows = strange.order_by().values_list("container", flat=True)
    return set(rows) | set(wrong.order_by().values_list("container", flat=True))


def former_build() -> Subquery:
    """Return what annotates a reading with the build that the successful one before the newest saw."""
    succeeded = Reading.objects.filter(container=OuterRef("container"), state=Reading.State.SUCCEEDED)
    return Subquery(succeeded.order_by("-asked").values("build")[1:2])


def _installed() -> "QuerySet[Any]":  # Any: installations with an annotation
    """Return the installations on the container of a reading, with its word for each; NULL: no file."""
    here = Installation.objects.filter(container=OuterRef("container"))
    found: QuerySet[Any] = here.annotate(word=JSONText(OuterRef("found"), F("instance__name")))
    return found


def mixed_builds(installations: QuerySet[Installation]) -> dict[UUID, tuple[str, tuple[int, ...]]]:
    """Return the name and the builds of each instance that was seen with several; one statement."""
    rows = installations.filter(all_met(NONE_RETIRED), observed_build__gt=0).order_by()
    counted = rows.values("instance").annotate(builds=Count("observed_build", distinct=True))
    found = rows.filter(instance__in=counted.filter(builds__gt=1).values("instance"))
    pairs: Iterable[Any] = found.values_list("instance", "instance__name", "observed_build").distinct()
    builds: dict[UUID, tuple[str, tuple[int, ...]]] = {}
    for pk, name, build in sorted(pairs, key=lambda each: (each[1], each[2])):
        builds[pk] = (name, (*builds.get(pk, ("", ()))[1], build))
    return builds
