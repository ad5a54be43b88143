"""Seals a break of the chain. Only the command line does it: `seal_audit_break`."""

from collections.abc import Callable

from django.db import transaction

from portal.audit.chain import kept_head
from portal.audit.chain.sealed_breaks import ACTION, digest_of
from portal.audit.chain.verification import Walk
from portal.audit.models import AuditEvent, AuditHead, epochs
from portal.audit.trail import Actor, Details, record

SHOWN_FINDINGS = 20
NEVER = 2**63
"""After every event."""


class NothingToSeal(Exception):
    """The chain has no break that is not sealed yet."""


class ChangedMeanwhile(Exception):
    """The break is not the one that was looked at."""


def examine(progress: Callable[[int], None] | None = None) -> Walk:
    """Walk the whole chain to its end, to find out how far its breaks reach; return the walk."""
    walk = Walk.begin(is_thorough=True)
    while walk.batch():
        if progress:
            progress(walk.events)
    walk.finish()
    if not walk.problems:
        raise NothingToSeal
    return walk


def seal_break(*, reason: str, actor: Actor, looked_at: Walk) -> AuditEvent:
    """Record what is broken, as it is now, and go on from there; the head is made anew if it was lost."""
    walk = Walk.begin(is_thorough=True)
    while walk.batch():
        pass
    with transaction.atomic():
        walk.finish()
        if not walk.problems:
            raise NothingToSeal
        if walk.findings != looked_at.findings or walk.problems != looked_at.problems:
            raise ChangedMeanwhile
        kept = kept_head.compare()
        end = _last_number(walk, kept)
        first, last = span(walk, end)
        key = _key_in_use()
        details: Details = {
            "reason": reason,
            "first": first,
            "last": last,
            "problems": walk.problems,
            "findings": [each.stored() for each in walk.findings[:SHOWN_FINDINGS]],
            "digest": digest_of(first, last, key),
            **kept_head.given_up(kept),
        }
        _make_head(end, walk.previous, key)
        event = record(ACTION, actor=actor, details=details)
    kept_head.keep()
    return event


def span(walk: Walk, end: int) -> tuple[int, int]:
    """Return the first and the last event to be sealed."""
    first = min(walk.first_problem or 0, end)
    return first, end if end > walk.seq else max(first, min(walk.last_problem, end))


def _last_number(walk: Walk, kept: kept_head.Comparison) -> int:
    """Return the highest number known to have been given to an event: none is used twice."""
    head = AuditHead.objects.filter(pk=1).first()
    known = [walk.seq]
    if head and head.sealed_with:
        known.append(head.seq)
    if kept.kept and not kept.given_up_by:
        known.append(kept.kept.head.seq)
    return max(known)


def _key_in_use() -> str:
    """Return the audit key of the newest epoch. The head usually tells which one it is, but may be lost."""
    return epochs().at(NEVER).key


def _make_head(seq: int, last_hash: str, key: str) -> None:
    head = AuditHead(pk=1, seq=seq, hash=last_hash)
    head.seal = head.expected_seal(key)
    head.save()
