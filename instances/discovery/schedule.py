"""Reading containers without being asked: each once in `READ_INTERVAL`, at a time of its own.

That time follows from the container's id, so the fleet is spread over the interval, and stays so whatever
else is read in between. Nothing about it is stored: what is due follows from the clock and the readings.
"""

import logging
import uuid
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from instances.discovery.models import Reading
from instances.discovery.services import let_go_of_retired, queue
from instances.models import Container, HostKey
from portal.audit.trail import PORTAL
from portal.processes.housekeeping import MINUTE, every

logger = logging.getLogger(__name__)
LATEST = 24
"""A turn that was missed by more than this part of the interval is not made up: otherwise a clock that jumps,
or a portal that was down for a day, would have the whole fleet read at once."""
LEAST_LATE = timedelta(minutes=10)


def interval() -> timedelta | None:
    """Return how often each container is read; None if that is off."""
    seconds: int = settings.READ_INTERVAL
    return timedelta(seconds=seconds) if seconds else None


def turn(container_id: uuid.UUID, moment: datetime, each: timedelta) -> datetime:
    """Return the last turn of a container up to a moment."""
    seconds = int(each.total_seconds())
    since = (int(moment.timestamp()) - container_id.int) % seconds
    return datetime.fromtimestamp(int(moment.timestamp()) - since, UTC)


def was_turn(container_id: uuid.UUID, asked: datetime) -> bool:
    """Whether the portal asked for a reading because it was the container's turn, by today's interval."""
    each = interval()
    return each is not None and asked - turn(container_id, asked, each) <= latest(each)


def latest(each: timedelta) -> timedelta:
    """Return how much later than its turn a container is still read, by the interval."""
    return max(each / LATEST, LEAST_LATE)


def next_turn(container_id: uuid.UUID, moment: datetime) -> datetime | None:
    """Return the first turn of a container after a moment; None if containers are not read by themselves."""
    each = interval()
    return turn(container_id, moment, each) + each if each else None


def scheduled() -> QuerySet[Container]:
    """Return the containers that are read by themselves: those in use, with an approved host key."""
    known = HostKey.objects.filter(state=HostKey.State.APPROVED)
    return Container.objects.in_use().filter(pk__in=known.values("container"))


def next_of_all(moment: datetime) -> tuple[Container, datetime] | None:
    """Return whose turn comes first after a moment, and when; None if that is nobody's."""
    each = interval()
    if each is None:
        return None
    turns = [(row, turn(row.pk, moment, each) + each) for row in scheduled().only("name")]
    return min(turns, key=lambda each: (each[1], each[0].name), default=None)


@every(MINUTE)
def ask_due() -> int:
    """Have each container read whose turn has come; return how many are asked for now.

    What waits for a container that was retired meanwhile ends first.

    Once for each turn, whatever becomes of the reading. Only readings between the turn and now count: one
    that is later than now was asked for before the clock was set back.
    """
    let_go_of_retired()
    each = interval()
    if each is None:
        return 0
    late = latest(each)
    idle = scheduled().exclude(pk__in=Reading.objects.filter(finished=None).values("container"))
    rows = [(pk, now, turn(pk, now, each)) for pk, now in idle.annotate(now=Now()).values_list("pk", "now")]
    turns = {pk: at for pk, now, at in rows if now - at <= late}
    if not turns:
        return 0
    since = Reading.objects.filter(container__in=turns, asked__gte=min(turns.values()), asked__lte=Now())
    done = {pk for pk, asked in since.order_by().values_list("container", "asked") if asked >= turns[pk]}
    with transaction.atomic():
        asked = queue(container_ids=turns.keys() - done, actor=PORTAL)
    if asked:
        logger.info("containers are read because it is their turn", extra={"containers": len(asked)})
    return len(asked)
