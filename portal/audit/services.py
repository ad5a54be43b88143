"""Records in the history who read, exported or verified it."""

from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from portal.audit.chain.findings import Verification
from portal.audit.models import AuditEvent, AuditHead
from portal.audit.names import PersonName
from portal.audit.trail import Actor, Details, record
from portal.audit.verified import VERIFIED

SHOWN_FINDINGS = 20


READING = "history.read"
READING_COUNTS = timedelta(hours=1)
"""How long one recorded reading covers further ones by the same person."""


@transaction.atomic
def record_reading(*, filters: dict[str, str], actor: Actor) -> None:
    """Record that a person reads the history: once an hour, with the filters of the first page they open."""
    if _has_read(actor):
        return
    AuditHead.objects.select_for_update().get(pk=1)  # two pages opened at once are one reading too
    if not _has_read(actor):
        record(READING, actor=actor, details={"filters": _recorded(filters)})


def _has_read(actor: Actor) -> bool:
    """Whether a reading of this person was recorded within the last hour."""
    last = AuditEvent.objects.filter(actor=actor.user, action=READING).order_by("-seq").first()
    return last is not None and abs(timezone.now() - last.at) < READING_COUNTS


@transaction.atomic
def record_export(
    *,
    filters: dict[str, str],
    objects: int | None = None,
    last: int | None = None,
    as_json: bool = False,
    actor: Actor,
) -> AuditEvent:
    """Record that a person exports this number of events, up to the one with the number `last`."""
    details: Details = {
        "filters": _recorded(filters),
        "objects": objects,
        "last": last,
        "format": "json" if as_json else "csv",
    }
    return record("history.exported", actor=actor, details=details)


def _recorded(filters: dict[str, str]) -> dict[str, str]:
    return {name: PersonName(typed) if name == "who" else typed for name, typed in filters.items()}


@transaction.atomic
def record_verification(*, result: Verification, actor: Actor) -> AuditEvent:
    """Record what a verification showed of the chain, and next to it of a noted head, if one was given."""
    found = result.in_chain
    details: Details = {
        "intact": not found,
        "events": result.events,
        "head": result.head,
        "problems": len(found),
        "findings": [each.stored() for each in found[:SHOWN_FINDINGS]],
        "sealed_breaks": len(result.sealed_breaks),
        "kept_head": result.kept_head,
        "expected_head_found": None,
    }
    if result.expected_head:
        details |= {"expected_head": result.expected_head, "expected_head_found": result.has_expected_head}
    return record(VERIFIED, actor=actor, details=details)
