"""Figures of the audit trail."""

from collections.abc import Iterator

from django.db import connection
from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily

from portal.audit.append_only import unprotected
from portal.audit.chain import kept_head
from portal.audit.chain.sealed_breaks import sealed_breaks
from portal.audit.models import AuditEvent, AuditHead
from portal.audit.verified import last_verified, missing_heads
from portal.health.metrics import collector, gauge


@collector("audit")
def figures() -> Iterator[Metric]:
    head = AuditHead.objects.filter(pk=1).first()
    if head:  # numbers have no gaps, so the last one is the count
        yield CounterMetricFamily("portal_audit_events", "Audit events recorded.", value=head.seq)
    last = last_verified()
    at = last.event.at.timestamp() if last else None
    intact = last.fits_together and not missing_heads() if last else None
    yield gauge("audit_verified_timestamp_seconds", "When the audit trail was last verified.", at)
    yield gauge(
        "audit_intact",
        "1 if the last verification found the audit trail intact, and no noted head is missing unexplained.",
        intact,
    )
    saved = AuditEvent.objects.filter(action="portal.backed_up").order_by("-seq").first()
    saved_at = saved.at.timestamp() if saved else None
    yield gauge("backup_timestamp_seconds", "When the `backup` command last saved the database.", saved_at)
    yield gauge(
        "audit_sealed_breaks",
        "Breaks of the audit trail that somebody sealed.",
        len(sealed_breaks()),
    )
    yield gauge(
        "audit_kept_head_in_chain",
        "1 if the head kept outside the database is in the chain; missing before any was kept.",
        _kept_head_in_chain(),
    )
    yield gauge(
        "append_only_protected",
        "1 if no trigger of an append-only table is missing, disabled or changed.",
        not unprotected(connection),
    )


def _kept_head_in_chain() -> bool | None:
    comparison = kept_head.compare()
    return not comparison.problem if comparison.problem or comparison.kept else None
