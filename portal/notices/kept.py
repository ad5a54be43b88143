"""Messages that were sent or given up are kept for a while: they tell what somebody was told."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.utils.translation import gettext_lazy as _

from portal import retention
from portal.notices.models import Message


def old_messages(before: datetime, most: int) -> Sequence[Any]:
    """Return messages that ended before a moment."""
    ended = Message.objects.filter(ended__lt=before).exclude(state__in=Message.WAITING)
    return list(ended.order_by("ended").values_list("pk", flat=True)[:most])


def _remove(keys: Sequence[Any]) -> int:
    rows = Message.objects.filter(pk__in=keys).exclude(state__in=Message.WAITING)
    return rows.delete()[0]


_ENDED = _("Notices that were sent or given up")
retention.register(retention.Kind("notices", _ENDED, "KEEP_NOTICES_DAYS", old_messages, _remove))
