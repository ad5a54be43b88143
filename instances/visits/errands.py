"""Errands: what the rooms above do on a container during a visit. They register here and are not named."""

import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import reduce
from operator import or_
from typing import Protocol

from django.conf import settings
from django.db.models import Q, Subquery, UUIDField
from django.db.models.functions import Coalesce

from instances.models import Container, ContainerQuerySet
from instances.visits.lease import Lease
from instances.visits.line import Line


class Job(Protocol):
    """One thing to do on a container, written down in the database before it begins."""

    def run(self, line: Line) -> None:
        """Do it over this line, and store how it ended. Only a lost lease or a database failure is raised."""


class Errand(Protocol):
    """A kind of job. On each container the errand with the lowest `rank` comes first."""

    rank: int

    def due(self) -> Q:
        """Return the condition on containers that have such a job now, or were left with one half done."""

    def group(self) -> Subquery:
        """Return an annotation for containers: the group of the job in the fair queue; None: its own."""

    def limits(self, places: int) -> Mapping[uuid.UUID, int]:
        """Return how many of a worker's places some of its groups get, instead of the usual number."""

    def begin(self, container_id: uuid.UUID, lease: Lease) -> Job | None:
        """Settle what a vanished holder left, and begin the next job that is due; None if there is none.

        Runs in the transaction that claims the container or renews its lease. Each errand is asked in the
        order of ranks before any job of a higher rank begins, so nothing runs while a job of a lower rank
        that was left half done is unsettled.
        """

    def is_more(self, container_id: uuid.UUID) -> bool:
        """Tell whether such a job is due on this container now."""


@dataclass(frozen=True)
class Begun:
    """A job that has begun, and the rank of its errand."""

    rank: int
    job: Job


_errands: list[Errand] = []


def register(errand: Errand) -> None:
    """Have workers do this errand from now on. Called once for each, when the apps are ready."""
    _errands.append(errand)
    _errands.sort(key=lambda each: each.rank)


def begin(container_id: uuid.UUID, lease: Lease, most: int = sys.maxsize) -> Begun | None:
    """Begin the first job that is due on a container, in the caller's transaction; None if nothing is due.

    No job of a higher rank than `most` is begun.
    """
    for errand in _errands:
        if errand.rank <= most and (job := errand.begin(container_id, lease)):
            return Begun(errand.rank, job)
    return None


def is_more(container_id: uuid.UUID, most: int = sys.maxsize) -> bool:
    """Tell whether anything of a rank up to `most` is due on this container now."""
    return any(errand.is_more(container_id) for errand in _errands if errand.rank <= most)


def limits(places: int) -> dict[uuid.UUID, int]:
    """Return the limits of all errands' groups, for a worker with this many places."""
    return {group: most for errand in _errands for group, most in errand.limits(places).items()}


def containers_due() -> ContainerQuerySet:
    """Return the containers that nobody holds and that somebody has to visit; never one that is retired."""
    free = Container.objects.not_retired().free(timedelta(seconds=settings.PUSH_LEASE))
    return free.filter(reduce(or_, (errand.due() for errand in _errands), Q(pk__in=[])))


def next_group() -> Coalesce | Subquery:
    """Return an annotation for containers: the group of the first job there; None: its own."""
    groups = [errand.group() for errand in _errands]
    return Coalesce(*groups, output_field=UUIDField()) if len(groups) > 1 else groups[0]
