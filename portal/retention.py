"""How long what only helps at work is kept: each kind for as many days as its setting says, 0 for ever.

Evidence is no such kind. What may go is what the triggers of append-only tables let go, and nothing else, so
a defect here cannot remove more. The history says what went; `docs/retention.md` says why it may.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.functional import Promise

from portal.audit.trail import PORTAL, Actor, record
from portal.processes.housekeeping import hourly

logger = logging.getLogger(__name__)
AT_ONCE = 5_000
"""Rows in one transaction, and in one line of the history. SQLite lets nobody else write meanwhile."""
MOST_AT_ONCE = 200
"""Transactions in a row: a million rows, if somebody shortens a time of many years."""


@dataclass(frozen=True)
class Kind:
    """Something that is kept for a while.

    `superfluous(before, most)` returns the primary keys of at most `most` rows that ended before a moment and
    that nothing needs. `remove(keys)` lets them go, in the caller's transaction, and returns how many.
    """

    name: str
    label: Promise
    setting: str
    superfluous: Callable[[datetime, int], Sequence[Any]]
    remove: Callable[[Sequence[Any]], int]

    @property
    def days(self) -> int:
        """For how many days it is kept; 0: for ever."""
        days: int = getattr(settings, self.setting)
        return days

    def before(self) -> datetime | None:
        """Return the moment before which it may go, a midnight in UTC; None if it is kept for ever.

        A midnight, so that it goes once a day, in one piece.
        """
        if not self.days:
            return None
        return datetime.combine(timezone.now().astimezone(UTC).date(), time(), UTC) - timedelta(
            days=self.days
        )


_kinds: list[Kind] = []


def register(kind: Kind) -> None:
    """Have a kind of rows kept for as long as its setting says."""
    _kinds.append(kind)


def kinds() -> list[Kind]:
    """Return every kind that is kept for a while, in the order of their names."""
    return sorted(_kinds, key=lambda kind: kind.name)


@hourly
def remove_what_is_old() -> None:
    """Remove what is older than its setting allows."""
    for kind in kinds():
        remove_old(kind, actor=PORTAL)


def remove_old(kind: Kind, *, actor: Actor) -> int:
    """Remove what is older than the kind's setting allows, and record it; return how many rows that were."""
    before = kind.before()
    if before is None:
        return 0
    removed = 0
    for _ in range(MOST_AT_ONCE):
        some = _remove_some(kind, before, actor)
        removed += some
        if not some:
            break
    if removed:
        logger.info("what was kept long enough was removed", extra={"kind": kind.name, "rows": removed})
    return removed


def count_old(kind: Kind) -> int:
    """Return how many rows `remove_old` would remove: all of them, or a million if there are more."""
    before = kind.before()
    return len(kind.superfluous(before, AT_ONCE * MOST_AT_ONCE)) if before else 0


def _remove_some(kind: Kind, before: datetime, actor: Actor) -> int:
    keys = kind.superfluous(before, AT_ONCE)
    if not keys:
        return 0
    with transaction.atomic():
        removed = kind.remove(keys)
        if removed:
            details = {
                "removed": kind.name,
                "rows": removed,
                "older_than": before.date().isoformat(),
                "days_kept": kind.days,
            }
            record("portal.old_removed", actor=actor, details=details)
    return removed
