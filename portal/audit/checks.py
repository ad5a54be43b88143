"""System check of the audit key: another one would seal new events, and make all older ones look changed."""

import hmac
from collections.abc import Sequence

from django.core.checks import CheckMessage, Error, Tags, register
from django.db import DatabaseError

from portal.audit.models import AuditEvent


@register(Tags.database)
def matching_audit_key(databases: Sequence[str] | None = None, **_: object) -> list[CheckMessage]:
    """Refuse an audit key that has sealed neither the first nor the last event of the trail.

    One of the two that fails is tampering: that is for `verify_audit` to say, and no reason to stand still.
    """
    if not databases:
        return []
    try:
        events = [AuditEvent.objects.order_by(order).first() for order in ("seq", "-seq")]
    except DatabaseError:
        return []  # the table does not exist before the first migration
    known = [event for event in events if event]
    if not known or any(hmac.compare_digest(event.hash, event.digest()) for event in known):
        return []
    return [
        Error(
            "The audit key is not the one that sealed the audit trail of this database.",
            hint="Restore the audit key (AUDIT_KEY or AUDIT_KEY_FILE) that belongs to it, then start again.",
            id="audit.E001",
        )
    ]
