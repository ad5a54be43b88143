"""Asking for containers to be read."""

import uuid
from collections.abc import Collection, Iterable

from django.db import transaction

from instances.discovery.models import Reading
from instances.models import Container
from instances.visits.bells import ring_on_commit
from portal.audit.trail import Actor, record

AT_ONCE = 500  # rows in one statement


@transaction.atomic
def ask(*, containers: Iterable[Container], actor: Actor) -> list[Reading]:
    """Have containers read as soon as their turn comes; return one reading for each, in the order given.

    One that waits already is not asked for twice. Containers that are off are for the caller to leave out.
    """
    chosen = list(containers)
    found: dict[uuid.UUID, Reading] = {}
    fresh: set[uuid.UUID] = set()
    # One that was open may have ended before it could be returned; then it is asked for once more.
    while missing := {container.pk for container in chosen} - found.keys():
        fresh |= queue(container_ids=missing, actor=actor)
        rows = Reading.objects.filter(container__in=missing, finished=None).select_related("container")
        found |= {reading.container_id: reading for reading in rows}
    if fresh:
        target = chosen[0] if len(chosen) == 1 else None
        record("container.reading_asked", actor=actor, target=target, details={"containers": len(fresh)})
    return [found[container.pk] for container in chosen]


def queue(*, container_ids: Collection[uuid.UUID], actor: Actor) -> set[uuid.UUID]:
    """Ask for readings of these containers where none is open, and ring them once it is committed.

    Returns the containers for which there is a new one. In the caller's transaction, which records who asked.
    Two may ask at once: in the same order, so that they never wait for each other.
    """
    rows = [Reading(container_id=pk, asked_by=actor.name, person=actor.user) for pk in sorted(container_ids)]
    Reading.objects.bulk_create(rows, batch_size=AT_ONCE, ignore_conflicts=True)
    made = Reading.objects.filter(pk__in=[row.pk for row in rows])
    asked = set(made.values_list("container", flat=True))
    if asked:
        ring_on_commit(asked)
    return asked
