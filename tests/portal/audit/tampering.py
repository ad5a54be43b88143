"""What somebody with direct access to the database can do to the audit trail, and tests undo."""

from django.db import connection

from portal.audit.models import AuditEvent, AuditHead


def open_trail() -> None:
    """Drop the triggers that refuse changes; the end of the test brings them back."""
    postgres = connection.vendor == "postgresql"
    with connection.cursor() as cursor:
        for event in ("insert", "update", "delete"):
            table = " ON audit_auditevent" if postgres else ""
            cursor.execute(f"DROP TRIGGER IF EXISTS audit_auditevent_no_{event}{table}")


def change(seq: int, **values: object) -> None:
    """Change an event behind the portal's back."""
    open_trail()
    AuditEvent.objects.filter(seq=seq).update(**values)


def remove(*seqs: int) -> None:
    """Remove events behind the portal's back."""
    open_trail()
    AuditEvent.objects.filter(seq__in=seqs).delete()


def set_back(to: int) -> None:
    """Put the database back to when it had this many events, as an older copy would: it fits together."""
    open_trail()
    AuditEvent.objects.filter(seq__gt=to).delete()
    head = AuditHead(pk=1, seq=to, hash=AuditEvent.objects.get(seq=to).hash)
    head.seal = head.expected_seal()
    head.save()
