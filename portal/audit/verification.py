"""Verifies the audit chain: any change, gap or removal shows."""

import hmac
from collections.abc import Callable
from dataclasses import dataclass, field

from django.db import transaction

from portal.audit.models import FIRST, AuditEvent, AuditHead, Finding, Verification

MOST_FINDINGS = 100


def verify(
    *, expected_head: str = "", progress: Callable[[int], None] | None = None, every: int = 2000
) -> Verification:
    """Walk the chain from its beginning and return every break, up to about 100.

    `expected_head` is a head noted earlier outside the database (`SEQ:HASH`): the chain must still contain
    it, which also shows a database that was rolled back to an older, consistent copy. `progress` gets the
    number of events seen so far after every `every` of them.
    """
    walk = _Walk(expected_head)
    for event in AuditEvent.objects.filter(seq__lt=1).order_by("seq")[:MOST_FINDINGS]:
        walk.result.findings.append(Finding(event.seq, "stands before the beginning of the chain"))
    while walk.batch(every):  # events never change, so nobody has to be locked out for most of the way
        if progress:
            progress(walk.result.events)
    with transaction.atomic():
        head = AuditHead.objects.select_for_update().filter(pk=1).first()
        walk.batch(every)
        walk.finish(head)
    return walk.result


@dataclass
class _Walk:
    expected_head: str
    result: Verification = field(default_factory=Verification)
    previous: str = FIRST
    seq: int = 0
    noted: bool = False

    def batch(self, size: int) -> bool:
        """Check the next events; False once there are none, or more findings than anybody reads."""
        events = list(AuditEvent.objects.filter(seq__gt=self.seq).order_by("seq")[:size])
        for event in events:
            self.result.findings += self._breaks(event)
            self._step(event)
        return len(events) == size and len(self.result.findings) < MOST_FINDINGS

    def _step(self, event: AuditEvent) -> None:
        self.previous, self.seq = event.hash, event.seq
        self.result.events, self.result.last_at = self.result.events + 1, event.at
        self.noted = self.noted or f"{event.seq}:{event.hash}" == self.expected_head

    def _breaks(self, event: AuditEvent) -> list[Finding]:
        findings = []
        if event.seq != self.seq + 1:
            findings.append(Finding(self.seq + 1, f"events {self.seq + 1} to {event.seq - 1} are missing"))
        elif event.prev_hash != self.previous:
            findings.append(Finding(event.seq, "does not continue the event before it"))
        if not hmac.compare_digest(event.hash, event.digest()):
            findings.append(Finding(event.seq, "was changed after it was recorded"))
        return findings

    def finish(self, head: AuditHead | None) -> None:
        """Compare the end of the walk with the head, which the caller has locked."""
        findings = self.result.findings
        self.result.head = str(head or "")
        if len(findings) < MOST_FINDINGS:
            findings += self._head_breaks(head)
            if self.expected_head and not self.noted:
                findings.append(Finding(self.seq, f"the noted head {self.expected_head} is not in the chain"))

    def _head_breaks(self, head: AuditHead | None) -> list[Finding]:
        if head is None:
            return [Finding(self.seq, "the end of the chain was removed")]
        findings = []
        if not hmac.compare_digest(head.seal, head.expected_seal()):
            findings.append(Finding(head.seq, "the end of the chain was changed by hand"))
        if head.seq < self.seq:
            findings.append(
                Finding(head.seq + 1, f"{self.seq - head.seq} events stand after the end of the chain")
            )
        elif head.seq > self.seq or head.hash != self.previous:
            findings.append(
                Finding(self.seq + 1, f"the newest events, up to {head.seq}, are missing or changed")
            )
        return findings
