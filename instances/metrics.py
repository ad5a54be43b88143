"""Figures of the inventory."""

from collections.abc import Iterator

from django.db.models import F
from prometheus_client import Metric

from instances.models import NONE_RETIRED, OtherPortal
from instances.requirements import all_met
from portal.health.metrics import collector, gauge


@collector("inventory")
def figures() -> Iterator[Metric]:
    in_use = all_met(each.of("installation") for each in NONE_RETIRED)
    foreign = OtherPortal.objects.filter(in_use).exclude(last=F("taken_over")).count()
    text = "Installations that another portal pushed to last, and that no admin decided about."
    yield gauge("installations_of_other_portals", text, foreign)
