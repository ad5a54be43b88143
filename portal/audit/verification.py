"""Verifies the audit chain: any change, gap or removal shows."""

import hmac
from collections.abc import Callable

from django.db import transaction

from portal.audit.models import FIRST, AuditEvent, AuditHead, Finding, Verification

MOST_FINDINGS = 100


def verify(
    *, expected_head: str = "", progress: Callable[[int], None] | None = None, every: int = 2000
) -> Verification:
    """Walk the chain from its beginning and return every break, up to 100.

    `expected_head` is a head noted earlier outside the database (`SEQ:HASH`): the chain must still contain
    it, which also shows a database that was rolled back to an older, consistent copy.
    """
    result = Verification()
    previous, expected_seq, noted = FIRST, 1, False
    with transaction.atomic():  # one snapshot of head and events, also while others append
        head = AuditHead.objects.get(pk=1)
        for event in AuditEvent.objects.filter(seq__lte=head.seq).order_by("seq").iterator(chunk_size=every):
            result.findings += _breaks(event, previous, expected_seq)
            previous, expected_seq = event.hash, event.seq + 1
            result.events, result.last_at = result.events + 1, event.at
            noted = noted or f"{event.seq}:{event.hash}" == expected_head
            if progress and result.events % every == 0:
                progress(result.events)
            if len(result.findings) >= MOST_FINDINGS:
                break
        else:
            result.findings += _head_breaks(head, previous, expected_seq)
    if expected_head and not noted:
        result.findings.append(Finding(head.seq, f"the noted head {expected_head} is not in the chain"))
    result.head = str(head)
    return result


def _breaks(event: AuditEvent, previous: str, expected_seq: int) -> list[Finding]:
    findings = []
    if event.seq != expected_seq:
        findings.append(Finding(expected_seq, f"events {expected_seq} to {event.seq - 1} are missing"))
    elif event.prev_hash != previous:
        findings.append(Finding(event.seq, "does not continue the event before it"))
    if not hmac.compare_digest(event.hash, event.digest()):
        findings.append(Finding(event.seq, "was changed after it was recorded"))
    return findings


def _head_breaks(head: AuditHead, previous: str, expected_seq: int) -> list[Finding]:
    findings = []
    if head.seq != expected_seq - 1 or head.hash != previous:
        findings.append(Finding(expected_seq, f"the newest events, up to {head.seq}, are missing or changed"))
    if not hmac.compare_digest(head.seal, head.expected_seal()):
        findings.append(Finding(head.seq, "the end of the chain was changed by hand"))
    newer = AuditEvent.objects.filter(seq__gt=head.seq).count()
    if newer:
        findings.append(Finding(head.seq + 1, f"{newer} events stand after the end of the chain"))
    return findings
