"""Reading the history is itself history: who read, exported or verified what."""

from django.db import transaction

from portal.audit.models import Actor, AuditEvent, Verification, record

SHOWN_FINDINGS = 20


@transaction.atomic
def record_reading(*, filters: dict[str, str], actor: Actor) -> None:
    """Record that a person looked at the history through these filters."""
    record("history.read", actor=actor, details={"filters": filters})


@transaction.atomic
def record_export(*, filters: dict[str, str], actor: Actor) -> AuditEvent:
    """Record that a person exports the events before this one; return this one."""
    return record("history.exported", actor=actor, details={"filters": filters})


@transaction.atomic
def record_verification(*, result: Verification, actor: Actor) -> AuditEvent:
    """Record what a verification of the chain showed."""
    details: dict[str, object] = {
        "intact": result.is_intact,
        "events": result.events,
        "head": result.head,
        "problems": len(result.findings),
        "findings": [each.as_dict() for each in result.findings[:SHOWN_FINDINGS]],
        "sealed_breaks": len(result.sealed_breaks),
        "kept_head": result.kept_head,
    }
    if result.expected_head:
        details |= {"expected_head": result.expected_head, "expected_head_found": result.has_expected_head}
    return record("history.verified", actor=actor, details=details)
