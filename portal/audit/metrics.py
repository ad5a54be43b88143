"""Figures of the audit trail."""

from collections.abc import Iterator

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily

from portal.audit.models import AuditEvent, AuditHead
from portal.health.metrics import collector, gauge


@collector("audit")
def figures() -> Iterator[Metric]:
    head = AuditHead.objects.filter(pk=1).first()
    if head:  # numbers have no gaps, so the last one is the count
        yield CounterMetricFamily("portal_audit_events", "Audit events recorded.", value=head.seq)
    last = AuditEvent.objects.filter(action="history.verified").order_by("-seq").first()
    at, intact = (last.at.timestamp(), last.details.get("intact") is True) if last else (None, None)
    yield gauge("audit_verified_timestamp_seconds", "When the audit trail was last verified.", at)
    yield gauge("audit_intact", "1 if the last verification found the audit trail intact.", intact)
