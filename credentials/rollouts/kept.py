"""What containers said during pushes is kept for a while: it helps to find a cause, and proves nothing."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db.models import Exists, OuterRef
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from credentials.rollouts.models import Attempt, Push
from portal import retention


def old_output(before: datetime, most: int) -> Sequence[Any]:
    """Return attempts with output that nobody needs: of pushes that have ended, and were not the last ones.

    The last push to an installation keeps its output however old it is: somebody may still look for a cause.
    """
    later = Push.objects.filter(
        installation=OuterRef("push__installation"), rollout__number__gt=OuterRef("push__rollout__number")
    )
    rows = Attempt.objects.filter(Exists(later), finished__lt=before, output_removed=None).exclude(output="")
    return list(rows.exclude(push__state__in=Push.OPEN).order_by("pk").values_list("pk", flat=True)[:most])


def _empty(keys: Sequence[Any]) -> int:
    still_there = Attempt.objects.filter(pk__in=keys, output_removed=None)
    return still_there.update(output="", output_removed=Now())


retention.register(
    retention.Kind("output", _("Output of containers"), "KEEP_OUTPUT_DAYS", old_output, _empty)
)
