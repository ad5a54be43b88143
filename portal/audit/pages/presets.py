"""Ready filters of the history."""

from datetime import timedelta

from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from portal.audit.labels import EXPORTED, GROUPS, PRESETS
from portal.presets import Chosen, Preset, days, preset, quarters


def presets(chosen: Chosen) -> list[Preset]:
    """Return the links for somebody who has chosen these filters, as `HistoryForm.chosen` says them."""
    today = timezone.localdate()
    offered: list[tuple[Promise, Chosen]] = [
        *((GROUPS[group], {"action": group}) for group in PRESETS if group in GROUPS),
        (_("Exports"), {"action": EXPORTED}),
        (_("Today"), days(today, today)),
        (_("Last 7 days"), days(today - timedelta(days=6), today)),
        *quarters(today),
    ]
    return [preset(label, filters, chosen) for label, filters in offered]
