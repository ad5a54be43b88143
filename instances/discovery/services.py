"""Asking for containers to be read, and ending that where nobody goes any more."""

import uuid
from collections.abc import Collection, Iterable

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from instances.discovery.models import Reading
from instances.failures import Code
from instances.models import NOT_BY_HAND, Container
from instances.requirements import all_met
from instances.visits.bells import ring_on_commit
from portal.audit.trail import Actor, record

AT_ONCE = 500  # rows in one statement
READ_NOW = _("The portal is reading it now: try again in a minute.")


class BeingRead(Exception):
    """A reading runs on a container, and nothing else can end it; the text is for the person who asked."""


@transaction.atomic
def ask(*, containers: Iterable[Container], actor: Actor) -> list[Reading]:
    """Have containers read as soon as their turn comes; return one reading for each, in the order given.

    One that waits already is not asked for twice. The caller leaves out containers that are not in use.
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


def is_read_now(container: Container) -> bool:
    """Tell whether a reading runs there."""
    return Reading.objects.filter(container=container, state=Reading.State.RUNNING).exists()


def let_go(container: Container, why: Code = Code.RETIRED) -> int:
    """End the reading that waits where nobody goes any more, in the caller's transaction; `why` says why.

    Returns how many there were. `BeingRead` if one runs.
    """
    open_ones = Reading.objects.select_for_update().filter(container=container, finished=None)
    states = set(open_ones.values_list("state", flat=True))
    if Reading.State.RUNNING in states:
        raise BeingRead(READ_NOW)
    return _end_waiting(Reading.objects.filter(container=container), why)


def let_go_of_retired() -> int:
    """End readings that were asked for in the moment in which nobody went to their container any more."""
    waiting = Reading.objects.filter(state=Reading.State.QUEUED)
    gone = {
        Code.RETIRED: waiting.filter(container__in=Container.objects.retired()),
        Code.BY_HAND: waiting.exclude(all_met([NOT_BY_HAND.of("container")])),
    }
    return sum(_end_waiting(rows, why) for why, rows in gone.items() if rows.exists())


def _end_waiting(readings: QuerySet[Reading], why: Code) -> int:
    end = {"state": Reading.State.FAILED, "code": why, "finished": Now()}
    return readings.filter(state=Reading.State.QUEUED).update(**end)
