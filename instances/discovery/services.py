"""Asking for containers to be read, and ending that where nobody goes any more."""

from collections.abc import Iterable

from django.db import transaction
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from instances.discovery.models import Reading
from instances.failures import Code
from instances.models import Container
from instances.visits.bells import ring_on_commit
from portal.audit.trail import Actor, record

AT_ONCE = 500  # rows in one statement
READ_NOW = _("The portal reads it just now: try again in a minute.")


class BeingRead(Exception):
    """A reading runs on a container, and nothing else can end it; the text is for the person who asked."""


@transaction.atomic
def ask(*, containers: Iterable[Container], actor: Actor) -> list[Reading]:
    """Have containers read as soon as their turn comes; return one reading for each, in the order given.

    One that waits already is not asked for twice. The caller leaves out containers that are not in use.
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


def is_read_now(container: Container) -> bool:
    """Tell whether a reading runs there."""
    return Reading.objects.filter(container=container, state=Reading.State.RUNNING).exists()


def let_go(container: Container) -> int:
    """End the reading that waits for a container which is being retired, in the caller's transaction.

    Returns how many there were. `BeingRead` if one runs.
    """
    open_ones = Reading.objects.select_for_update().filter(container=container, finished=None)
    states = set(open_ones.values_list("state", flat=True))
    if Reading.State.RUNNING in states:
        raise BeingRead(READ_NOW)
    end = {"state": Reading.State.FAILED, "code": Code.RETIRED, "finished": Now()}
    return Reading.objects.filter(container=container, state=Reading.State.QUEUED).update(**end)
