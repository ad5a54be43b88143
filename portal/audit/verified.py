"""What recorded verifications found, as one result, and the noted heads that were not in the history.

A noted head that is not in the history may be all that is left of what was removed. So it is told until
somebody explains it, and shown as explained from then on. No verification ends that: one without a head says
nothing of it, a higher head may have been noted after the history was changed, and a head with this number
that the portal itself shows always fits a history that was set back.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from django.db import transaction
from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _

from portal.audit.chain.findings import NOTED_HEAD_MISSING, shown
from portal.audit.chain.kept_head import Head
from portal.audit.models import AuditEvent
from portal.audit.trail import Actor, record

VERIFIED = "history.verified"
EXPLAINED = "history.head_explained"


class Result(TextChoices):
    """What a verification showed of the chain. A noted head that is missing is told next to it."""

    INTACT = "intact", _("Intact")
    SEALED = "sealed", _("Intact, except for sealed breaks")
    BROKEN = "broken", _("Not intact")

    @property
    def state(self) -> str:
        """The sign of it, as `status` knows them."""
        return {"intact": "verified", "sealed": "partial"}.get(self.value, "invalid")


class NothingToExplain(Exception):
    """No verification lacked this head, or it was explained since."""


@dataclass(frozen=True)
class MissingHead:
    """A noted head that a verification did not find."""

    head: Head
    event: AuditEvent
    """The last verification that did not find it."""
    found: AuditEvent | None = None
    """A later verification that found just this head, as after the whole database was restored."""
    explained: AuditEvent | None = None
    """Who said why it is missing, after that verification."""

    @property
    def newest(self) -> int:
        """The number of the newest entry when it was compared."""
        try:
            return Head.parse(str(self.event.details.get("head"))).seq
        except ValueError:  # there was no head then
            return self.event.seq - 1


@dataclass(frozen=True)
class Verified:
    """A recorded verification, as two results: the entries among themselves, and the head that was noted.

    Of former releases, `intact` was also false where nothing but a noted head was missing, and the findings
    said so. Now `intact` and the findings are about the chain, and `expected_head_found` about the head.
    """

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
    def result(self) -> Result:
        """The result of the chain, which every page calls by the same word."""
        if not self.fits_together:
            return Result.BROKEN
        return Result.SEALED if self.event.details.get("sealed_breaks") else Result.INTACT

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


def noted_heads() -> list[MissingHead]:
    """Return the noted heads that a verification ever lacked, explained or not, by their numbers."""
    missing: dict[Head, MissingHead] = {}
    told = AuditEvent.objects.filter(action__in=(VERIFIED, EXPLAINED), details__has_key="expected_head")
    for event in told.order_by("seq"):
        try:
            head = Head.parse(str(event.details["expected_head"]))
        except ValueError:  # changed by hand
            continue
        if event.action == VERIFIED and Verified(event).lacks_head:
            missing[head] = MissingHead(head, event)
        elif known := missing.get(head):
            is_found = event.action == VERIFIED
            missing[head] = replace(known, found=event) if is_found else replace(known, explained=event)
    return sorted(missing.values(), key=lambda each: (each.head.seq, each.event.seq))


def missing_heads() -> list[MissingHead]:
    """Return the noted heads that are missing and that nobody has explained, by their numbers."""
    return [each for each in noted_heads() if not each.explained]


@transaction.atomic
def explain(*, head: Head, reason: str, actor: Actor) -> AuditEvent:
    """Record why a noted head is not in the history, such as that it was mistyped. `NothingToExplain`."""
    if all(each.head != head for each in missing_heads()):
        raise NothingToExplain
    return record(EXPLAINED, actor=actor, details={"expected_head": str(head), "reason": reason})
