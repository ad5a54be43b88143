"""What recorded verifications found: whether the entries fit together, and noted heads that are not there.

A noted head that is not in the history may be all that is left of what was removed. So it is told until a
verification finds the head with this number, or somebody explains it. Neither a verification without a head
nor one with a higher head ends that: the higher one may have been noted after the history was changed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from portal.audit.chain.findings import NOTED_HEAD_MISSING, shown
from portal.audit.chain.kept_head import Head
from portal.audit.models import AuditEvent
from portal.audit.trail import Actor, record

VERIFIED = "history.verified"
EXPLAINED = "history.head_explained"


class NothingToExplain(Exception):
    """No verification lacked this head, or it was explained or found since."""


@dataclass(frozen=True)
class MissingHead:
    """A noted head that a verification did not find, and nobody has found or explained since."""

    head: Head
    event: AuditEvent
    """The last verification that did not find it."""


@dataclass(frozen=True)
class Verified:
    """A recorded verification, as two results: the entries among themselves, and the head that was noted."""

    event: AuditEvent

    @property
    def fits_together(self) -> bool:
        """Whether nothing was found but a noted head that is missing."""
        details = self.event.details
        if details.get("intact"):
            return True
        stored = _stored(details)
        lacking = [each for each in stored if each.get("code") == NOTED_HEAD_MISSING]
        return bool(lacking) and details.get("problems", len(stored)) == len(lacking)

    @property
    def findings(self) -> list[dict[str, object]]:
        """What does not fit together, in words."""
        return shown([each for each in _stored(self.event.details) if each.get("code") != NOTED_HEAD_MISSING])

    @property
    def lacks_head(self) -> bool:
        """Whether it was given a noted head, and that was not found."""
        details = self.event.details
        return bool(details.get("expected_head")) and not details.get("expected_head_found")


def _stored(details: Mapping[str, Any]) -> list[dict[str, Any]]:  # Any: what an event of any release stored
    found = details.get("findings")
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def last_verified() -> Verified | None:
    """Return the last verification of the whole chain."""
    event = AuditEvent.objects.filter(action=VERIFIED).order_by("-seq").first()
    return Verified(event) if event else None


def missing_heads() -> list[MissingHead]:
    """Return the noted heads that are missing, by their numbers."""
    missing: dict[int, MissingHead] = {}
    told = AuditEvent.objects.filter(action__in=(VERIFIED, EXPLAINED), details__has_key="expected_head")
    for event in told.order_by("seq"):
        try:
            head = Head.parse(str(event.details["expected_head"]))
        except ValueError:  # changed by hand
            continue
        if event.action == VERIFIED and Verified(event).lacks_head:
            missing[head.seq] = MissingHead(head, event)
        else:
            missing.pop(head.seq, None)
    return [missing[seq] for seq in sorted(missing)]


@transaction.atomic
def explain(*, head: Head, reason: str, actor: Actor) -> AuditEvent:
    """Record why a noted head is not in the history, such as that it was mistyped. `NothingToExplain`."""
    if all(each.head != head for each in missing_heads()):
        raise NothingToExplain
    return record(EXPLAINED, actor=actor, details={"expected_head": str(head), "reason": reason})
