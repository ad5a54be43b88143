"""System check of the audit key: a wrong one would seal new events, and make all older ones look changed."""

from collections.abc import Sequence

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import DatabaseError

from portal.audit.chain import audit_keys
from portal.audit.chain.key_replacement import replace_audit_key
from portal.audit.models import AuditEvent, AuditHead
from portal.keys import registry
from portal.keys.known import has_table

FOREIGN = "The audit key is not the one that sealed the audit trail of this database."


def evidence() -> list[str]:
    """Return why the audit key cannot be this database's: it sealed neither end of the trail, nor its head.

    If only some of the three fail, that is tampering: `verify_audit` says so, and the portal goes on.
    """
    if not has_table(AuditHead):
        return []
    head = AuditHead.objects.filter(pk=1).first()
    if head and head.sealed_with:
        return []
    events = [AuditEvent.objects.order_by(order).first() for order in ("seq", "-seq")]
    known = [event for event in events if event]
    if any(event.is_sealed_with(key) for event in known for key in audit_keys.held()):
        return []
    return [FOREIGN] if head or known else []


registry.register(
    registry.Key(
        audit_keys.NAME,
        held=registry.held_text(audit_keys.NAME),
        evidence=evidence,
        takes_over=replace_audit_key,
    )
)


@register(Tags.database)
def matching_audit_key(databases: Sequence[str] | None = None, **_: object) -> list[CheckMessage]:
    """Refuse an audit key that did not seal the audit trail."""
    if not databases or not settings.AUDIT_KEY:
        return []  # portal.keys says that it is missing
    try:
        texts = evidence()
    except DatabaseError:
        return []  # asked again before the first write: portal.keys.gate
    return [
        Error(
            text,
            hint="Restore the audit key (AUDIT_KEY or AUDIT_KEY_FILE) that belongs to it, then start again.",
            id="audit.E001",
        )
        for text in texts
    ]
