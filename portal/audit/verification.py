"""Verifies the audit chain: any change, gap or removal shows."""

import hmac
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Self

from django.db import transaction

from portal.audit.models import FIRST, AuditEvent, AuditHead, Finding, Verification

MOST_FINDINGS = 100
BATCH = 2000  # events


def verify(
    *, expected_head: str = "", progress: Callable[[int], None] | None = None, every: int = BATCH
) -> Verification:
    """Walk the chain from its beginning and return every break, up to about 100.

    `expected_head` is a head noted earlier outside the database (`SEQ:HASH`): the chain must still contain
    it, which also shows a database that was rolled back to an older, consistent copy. `progress` gets the
    number of events seen so far after every `every` of them.
    """
    walk = Walk.begin(expected_head)
    while walk.batch(every):  # events never change, so nobody has to be locked out for most of the way
        if progress:
            progress(walk.events)
    return walk.finish(every)


@dataclass
class Walk:
    """A walk along the chain: where it stands, and what it found so far. It can be left and gone on with."""

    expected_head: str = ""
    previous: str = FIRST
    seq: int = 0
    events: int = 0
    noted: bool = False
    last_at: datetime | None = None
    findings: list[Finding] = field(default_factory=list)

    @classmethod
    def begin(cls, expected_head: str = "") -> Self:
        """Stand before the first event."""
        walk = cls(expected_head, noted=expected_head == f"0:{FIRST}")  # noted before the first event
        for event in AuditEvent.objects.filter(seq__lt=1).order_by("seq")[:MOST_FINDINGS]:
            walk.findings.append(Finding(event.seq, "stands before the beginning of the chain"))
        return walk

    @classmethod
    def resume(cls, left: dict[str, Any]) -> Self:  # Any: plain JSON values
        """Go on where a walk was left."""
        findings = [Finding(**finding) for finding in left["findings"]]
        at = left["last_at"] and datetime.fromisoformat(left["last_at"])
        return cls(**{**left, "findings": findings, "last_at": at})

    def leave(self) -> dict[str, Any]:  # Any: plain JSON values
        """Return what `resume` needs, as plain JSON values."""
        return {**asdict(self), "last_at": self.last_at and self.last_at.isoformat()}

    def batch(self, size: int = BATCH) -> bool:
        """Check the next events; False once there are none, or more findings than anybody reads."""
        events = list(AuditEvent.objects.filter(seq__gt=self.seq).order_by("seq")[:size])
        for event in events:
            self.findings += self._breaks(event)
            self._step(event)
        return len(events) == size and len(self.findings) < MOST_FINDINGS

    def finish(self, size: int = BATCH) -> Verification:
        """Check what is left, with the head locked so that nothing is added, and then the head itself."""
        with transaction.atomic():
            head = AuditHead.objects.select_for_update().filter(pk=1).first()
            self.batch(size)
            if len(self.findings) < MOST_FINDINGS:
                self.findings += self._head_breaks(head)
                if self.expected_head and not self.noted:
                    problem = f"the noted head {self.expected_head} is not in the chain"
                    self.findings.append(Finding(self.seq, problem))
        return Verification(self.events, str(head or ""), self.last_at, self.findings)

    def _step(self, event: AuditEvent) -> None:
        self.previous, self.seq = event.hash, event.seq
        self.events, self.last_at = self.events + 1, event.at
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
