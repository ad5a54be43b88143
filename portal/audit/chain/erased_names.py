"""Erased names in the chain: an event must account for each, and each such event for all of its names.

The canonical text has a commitment where the name was, so the chain verifies after a name was erased. What
the chain cannot show is who erased it. So the event of an erasure keeps how many names it erased, and a
digest over their places and commitments.
"""

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from django.db import transaction
from django.db.models import TextField
from django.db.models.functions import Cast

from portal.audit.chain.canonical import value_at
from portal.audit.chain.findings import Finding
from portal.audit.models import UNREADABLE, AuditEvent, AuditHead, epochs

ACTION = "user.name_erased"


@dataclass
class Erased:
    """Names that one event erased, in the order of the chain."""

    first: int = 0
    """The first event that lost a name."""
    count: int = 0
    digest: str = ""

    def add(self, seq: int, pointer: str, commitment: str) -> None:
        self.first = self.first or seq
        self.count += 1
        text = f"{self.digest}|{seq}|{pointer}|{commitment}"
        self.digest = hashlib.sha256(text.encode()).hexdigest()


def replacement(erased_by: int) -> str:
    """Return what is shown for a name that the event of this number erased."""
    return f"erased-{erased_by}"


def problems() -> list[Finding]:
    """Return each erased name that no event accounts for, and each event whose names are not those it erased.

    Reads without a lock first: erasures are rare. A problem counts only if it is there with the head locked.
    """
    if not _problems():
        return []
    with transaction.atomic():
        list(AuditHead.objects.select_for_update().filter(pk=1))
        return _problems()


def _problems() -> list[Finding]:
    keys = epochs()
    acts = {
        event.seq: event
        for event in AuditEvent.objects.filter(action=ACTION)
        if event.is_sealed_with(keys.at(event.seq).key)
    }
    erased: dict[int, Erased] = {}
    for seq, by, pointer, commitment in _erased():
        erased.setdefault(by, Erased()).add(seq, pointer, commitment)
    unaccounted = [Finding(each.first, "name_taken_out") for by, each in erased.items() if by not in acts]
    changed = [
        Finding(seq, "erasure_changed")
        for seq, act in acts.items()
        if _differs(act, erased.get(seq, Erased()))
    ]
    return sorted([*unaccounted, *changed], key=lambda each: each.seq)


def _differs(act: AuditEvent, erased: Erased) -> bool:
    return (act.details.get("names"), act.details.get("digest")) != (erased.count, erased.digest)


def _erased() -> Iterator[tuple[int, int, str, str]]:
    """Yield event, erasing event, place and commitment of each erased name, in the order of the chain.

    A row that shows anything but the replacement there counts as erased by nobody (0). One that makes no
    sense is left to the walk along the chain, which finds that it was changed.
    """
    as_text = Cast("names", TextField())
    events = AuditEvent.objects.filter(form=2).alias(as_text=as_text).filter(as_text__contains="erased_by")
    for event in events.order_by("seq").iterator():
        with suppress(*UNREADABLE):
            yield from _erased_of(event)


def _erased_of(event: AuditEvent) -> list[tuple[int, int, str, str]]:
    found = []
    for pointer, known in sorted((event.names or {}).items()):
        if "erased_by" in known or "commitment" in known:
            by = known.get("erased_by")
            is_so = isinstance(by, int) and value_at(event.readable, pointer) == replacement(by)
            found.append((event.seq, by if is_so else 0, pointer, str(known.get("commitment"))))
    return found
