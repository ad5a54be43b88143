"""Figures of notices."""

from collections.abc import Iterator

from prometheus_client import Metric

from portal.health.metrics import collector, gauge
from portal.notices.models import Message


@collector("notices")
def notices() -> Iterator[Metric]:
    waiting = Message.objects.waiting().count()
    yield gauge("notices_waiting", "Messages that were not sent yet: queued, or tried again later.", waiting)
    given_up = Message.objects.filter(state=Message.State.GAVE_UP).count()
    yield gauge("notices_given_up", "Messages that were given up, of those that are kept.", given_up)
