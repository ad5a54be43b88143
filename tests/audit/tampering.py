"""What somebody with direct access to the database can do to the audit trail, and tests undo."""

from django.db import connection

from portal.audit.models import AuditEvent


def open_trail() -> None:
    """Drop the triggers that refuse changes; the test's transaction brings them back."""
    postgres = connection.vendor == "postgresql"
    with connection.cursor() as cursor:
        for event in ("update", "delete"):
            table = " ON audit_auditevent" if postgres else ""
            cursor.execute(f"DROP TRIGGER audit_auditevent_no_{event}{table}")


def change(seq: int, **values: object) -> None:
    """Change an event behind the portal's back."""
    open_trail()
    AuditEvent.objects.filter(seq=seq).update(**values)


def remove(*seqs: int) -> None:
    """Remove events behind the portal's back."""
    open_trail()
    AuditEvent.objects.filter(seq__in=seqs).delete()
