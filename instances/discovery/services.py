"""Asking for containers to be read."""

from collections.abc import Iterable

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
    open_ones = Reading.objects.select_for_update().filter(container__in=chosen, finished=None)
    waiting = {reading.container_id: reading for reading in open_ones}
    fresh = [
        Reading(container=container, asked_by=actor.name, person=actor.user)
        for container in chosen
        if container.pk not in waiting
    ]
    Reading.objects.bulk_create(fresh, batch_size=AT_ONCE)
    if fresh:
        target = chosen[0] if len(chosen) == 1 else None
        record("container.reading_asked", actor=actor, target=target, details={"containers": len(fresh)})
        ring_on_commit([reading.container_id for reading in fresh])
    waiting |= {reading.container_id: reading for reading in fresh}
    return [waiting[container.pk] for container in chosen]
