"""Sealed breaks: the break stays visible for ever, and the history can be trusted again from there on.

Sealing changes nothing in the broken part. It records an event with a keyed digest over that part exactly as
it is, so that any later change in it is a new finding.
"""

from collections.abc import Iterable, Iterator

from portal.audit.chain.audit_keys import seal
from portal.audit.chain.findings import SealedBreak, shown
from portal.audit.models import AuditEvent, epochs

ACTION = "history.break_sealed"
BATCH = 2000  # events


def sealed_breaks() -> list[SealedBreak]:
    """Return every sealed break, oldest first. The audit key vouches for each: a forged one is left out."""
    events = list(AuditEvent.objects.filter(action=ACTION).order_by("seq"))
    keys = epochs() if events else None
    return [_read(event) for event in events if keys and event.is_sealed_with(keys.at(event.seq).key)]


def in_force(breaks: Iterable[SealedBreak]) -> list[SealedBreak]:
    """Return the sealed breaks that a verification accepts, in the order of the chain.

    A break that was changed after it was sealed can be sealed again: the newer seal covers the older one.
    """
    chosen: list[SealedBreak] = []
    for each in sorted(breaks, key=lambda one: -one.seq):
        if all(each.last < other.first or other.last < each.first for other in chosen):
            chosen.append(each)
    return sorted(chosen, key=lambda one: one.first)


def beginning(first: int, last: int, key: str) -> str:
    """Return the digest of a part of the chain, under an audit key, before its first row was added."""
    return seal(f"sealed break|{first}|{last}", key)


def added(digest: str, event: AuditEvent, key: str) -> str:
    """Return the digest with one more row. Step by step, so that a verification can be interrupted."""
    return seal(f"{digest}|{event.as_it_is()}", key)


def digest_of(first: int, last: int, key: str) -> str:
    """Return the digest over a part of the chain as it is now, under the audit key in use."""
    digest = beginning(first, last, key)
    for event in _rows(first, last):
        digest = added(digest, event, key)
    return digest


def _rows(first: int, last: int) -> Iterator[AuditEvent]:
    after = first - 1
    while rows := list(AuditEvent.objects.filter(seq__gt=after, seq__lte=last).order_by("seq")[:BATCH]):
        yield from rows
        after = rows[-1].seq


def _read(event: AuditEvent) -> SealedBreak:
    details = event.details
    return SealedBreak(
        seq=event.seq,
        at=event.at,
        who=event.actor_name,
        reason=str(details["reason"]),
        first=int(details["first"]),
        last=int(details["last"]),
        digest=str(details["digest"]),
        problems=int(details["problems"]),
        findings=shown(details["findings"]),
    )
