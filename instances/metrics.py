"""Figures of the inventory."""

from collections.abc import Iterator

from django.db.models import F
from prometheus_client import Metric

from instances.models import OtherPortal
from portal.health.metrics import collector, gauge


@collector("inventory")
def figures() -> Iterator[Metric]:
    foreign = OtherPortal.objects.exclude(last=F("taken_over")).count()
    text = "Installations that another portal pushed to last, and that no admin decided about."
    yield gauge("installations_of_other_portals", text, foreign)
