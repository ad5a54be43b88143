"""System check of the audit key: another one would seal new events, and make all older ones look changed."""

import hmac
from collections.abc import Sequence

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import DatabaseError

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
    if head and hmac.compare_digest(head.seal, head.expected_seal()):
        return []
    events = [AuditEvent.objects.order_by(order).first() for order in ("seq", "-seq")]
    known = [event for event in events if event]
    if any(hmac.compare_digest(event.hash, event.digest()) for event in known):
        return []
    return [FOREIGN] if head or known else []


registry.register(registry.Key("audit_key", held=registry.held_text("audit_key"), evidence=evidence))


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
