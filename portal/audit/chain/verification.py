"""Verifies the audit chain: finds any change, gap or removal."""

import hmac
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Self

from django.db import transaction

from portal.audit.chain import erased_names, kept_head
from portal.audit.chain.audit_keys import REPLACED
from portal.audit.chain.findings import NOTED_HEAD_MISSING, Finding, Params, SealedBreak, Verification
from portal.audit.chain.sealed_breaks import added, beginning, in_force, sealed_breaks
from portal.audit.models import FIRST, AuditEvent, AuditHead, epochs

MOST_FINDINGS = 100
BATCH = 2000  # events


def verify(
    *, expected_head: str = "", progress: Callable[[int], None] | None = None, every: int = BATCH
) -> Verification:
    """Walk the chain from its beginning and return every break, up to about 100.

    `expected_head` is a head noted earlier outside the database (`SEQ:HASH`): the chain must still contain
    it, which also shows a database that was rolled back to an older, consistent copy. The head that the
    portal itself kept outside must be in the chain too. `progress` gets the number of events seen so far
    after every `every` of them.
    """
    walk = Walk.begin(expected_head)
    while walk.batch(every):  # events never change, so nobody has to be locked out for most of the way
        if progress:
            progress(walk.events)
    return walk.finish(every)


@dataclass
class Walk:
    """A walk along the chain: how far it is, and what it has found. It can be interrupted and resumed."""

    expected_head: str = ""
    is_thorough: bool = False
    """Go on to the end after the first hundred findings, to know how far a break reaches."""
    previous: str = FIRST
    seq: int = 0
    events: int = 0
    noted: bool = False
    last_at: datetime | None = None
    findings: list[Finding] = field(default_factory=list)
    problems: int = 0
    first_problem: int | None = None
    last_problem: int = 0
    passed: int = 0
    """Sealed breaks that lie behind."""
    digest: str = ""
    """Over the rows of the sealed break that it is in, up to here."""
    sealed: list[SealedBreak] = field(default_factory=sealed_breaks)

    def __post_init__(self) -> None:
        self._ahead = in_force(self.sealed)[self.passed :]
        self._keys = epochs()

    @classmethod
    def begin(cls, expected_head: str = "", *, is_thorough: bool = False) -> Self:
        """Start before the first event."""
        noted = expected_head == f"0:{FIRST}"  # noted before the first event
        walk = cls(expected_head, is_thorough, noted=noted)
        walk.seq = min([0, *(each.first - 1 for each in walk._ahead)])
        for event in AuditEvent.objects.filter(seq__lt=1).order_by("seq")[:MOST_FINDINGS]:
            if not any(each.first <= event.seq <= each.last for each in walk._ahead):
                walk._found(event.seq, "before_beginning")
        return walk

    @classmethod
    def resume(cls, left: dict[str, Any]) -> Self:  # Any: plain JSON values
        """Go on where a walk was interrupted; a walk that a former release began starts anew."""
        try:
            findings = [Finding(**finding) for finding in left["findings"]]
        except TypeError:
            return cls.begin(left["expected_head"])
        at = left["last_at"] and datetime.fromisoformat(left["last_at"])
        return cls(**{**left, "findings": findings, "last_at": at})

    def leave(self) -> dict[str, Any]:  # Any: plain JSON values
        """Return what `resume` needs, as plain JSON values."""
        left = {**asdict(self), "last_at": self.last_at and self.last_at.isoformat()}
        del left["sealed"]
        return left

    def batch(self, size: int = BATCH) -> bool:
        """Check the next events; False once there are none, or more findings than anybody reads."""
        events = list(AuditEvent.objects.filter(seq__gt=self.seq).order_by("seq")[:size])
        for event in events:
            if event.action == REPLACED:  # maybe just now, since the walk began
                self._keys = epochs()
            while self._ahead and event.seq > self._ahead[0].last:
                self._pass(self._ahead[0])
            if self._ahead and event.seq >= self._ahead[0].first:
                self._enter(self._ahead[0])
                self.digest = added(self.digest, event, self._keys.at(self._ahead[0].seq).key)
            elif event.seq > 0:
                self._check(event)
            self._step(event)
        return len(events) == size and self._goes_on

    def finish(self, size: int = BATCH) -> Verification:
        """Check what is left, with the head locked so that nothing is added, and then the head itself."""
        with transaction.atomic():
            head = AuditHead.objects.select_for_update().filter(pk=1).first()
            while self.batch(size):
                pass
            for epoch, last in self._keys.unheld:
                params: Params = {"last": last, "key": epoch.fingerprint}
                self.findings.append(Finding(max(epoch.first, 1), "key_not_held", params, last))
            if self._goes_on:
                self._check_head(head)
            outside = self._outside()
        erasures = erased_names.problems()
        result = Verification(
            self.events,
            str(head or ""),
            self.last_at,
            [*self.findings, *erasures, *outside],
            sealed_breaks=self.sealed,
            expected_head=self.expected_head,
            has_expected_head=self.noted,
        )
        kept = kept_head.keep() if result.is_intact else kept_head.compare()
        result.kept_head = str(kept.kept.head) if kept.kept else ""
        return result

    @property
    def _goes_on(self) -> bool:
        return self.is_thorough or self.problems < MOST_FINDINGS

    def _found(self, seq: int, code: str, *, until: int | None = None, **params: str | int) -> None:
        self.problems += 1
        self.first_problem = seq if self.first_problem is None else min(seq, self.first_problem)
        self.last_problem = max(self.last_problem, seq, until or seq)
        if not self.is_thorough or len(self.findings) < MOST_FINDINGS:
            self.findings.append(Finding(seq, code, params, until))

    def _step(self, event: AuditEvent) -> None:
        self.seq = event.seq
        if event.seq > 0:
            self.previous = event.hash
            self.events, self.last_at = self.events + 1, event.at
            self.noted = self.noted or f"{event.seq}:{event.hash}" == self.expected_head

    def _check(self, event: AuditEvent) -> None:
        if not self._is_missing_before(event.seq, until=event.seq) and event.prev_hash != self.previous:
            self._found(event.seq, "not_continued")
        key = self._keys.at(event.seq).key
        if key and not event.is_sealed_with(key):  # `finish` tells of a key that is not here
            self._found(event.seq, "changed")

    def _is_missing_before(self, seq: int, *, until: int) -> bool:
        """Whether there is a gap before `seq`; what follows, up to `until`, has nothing to continue."""
        following = max(self.seq, 0) + 1
        if seq <= following:
            return False
        self._found(following, "missing", until=until, first=following, last=seq - 1)
        return True

    def _enter(self, sealed: SealedBreak) -> None:
        if not self.digest:
            self._is_missing_before(sealed.first, until=sealed.last)
            self.digest = beginning(sealed.first, sealed.last, self._keys.at(sealed.seq).key)

    def _pass(self, sealed: SealedBreak) -> None:
        """Compare a sealed break with what it was when it was sealed, once its last row was read."""
        self._enter(sealed)
        if not hmac.compare_digest(self.digest, sealed.digest):
            code = "sealed_event_changed" if sealed.first == sealed.last else "sealed_events_changed"
            params = {"first": sealed.first, "last": sealed.last, "by": sealed.seq}
            self._found(sealed.first, code, until=sealed.last, **params)
        self.seq = max(self.seq, sealed.last)
        self.passed, self.digest = self.passed + 1, ""
        del self._ahead[0]

    def _check_head(self, head: AuditHead | None) -> None:
        if head is None:
            self._found(self.seq, "head_removed")
            return
        if not hmac.compare_digest(head.seal, head.expected_seal(self._keys.at(head.seq).key)):
            self._found(head.seq, "head_changed")
        if head.seq < self.seq:
            self._found(head.seq + 1, "after_end", until=self.seq, count=self.seq - head.seq)
        elif head.seq > self.seq or head.hash != self.previous:
            self._found(self.seq + 1, "newest_missing", until=head.seq, last=head.seq)

    def _outside(self) -> list[Finding]:
        """Return what does not fit the heads that are known outside the database."""
        findings = []
        if self._goes_on and self.expected_head and not self.noted:
            noted = kept_head.Head.parse(self.expected_head)
            findings.append(Finding(noted.seq, NOTED_HEAD_MISSING, {"head": str(noted)}))
        kept = kept_head.compare()
        if kept.found:
            seq = kept.kept.head.seq if kept.kept else self.seq
            findings.append(Finding(seq, kept.found.code, kept.found.params))
        return findings
