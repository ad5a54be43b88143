"""The part of the chain around some entries: from the signed head before them to the one after them."""

import hmac
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from django.db.models import Exists, OuterRef, QuerySet
from django.utils.translation import gettext as _

from portal.audit.chain.findings import SealedBreak
from portal.audit.chain.sealed_breaks import digest_of, in_force, sealed_breaks
from portal.audit.models import FIRST, AuditEvent, SignedHead, epochs

BATCH = 1000  # entries


class BrokenHistory(Exception):
    """The chain has a break here that nobody sealed, so nobody outside could follow it: no pack is made."""

    def __init__(self, seq: int) -> None:
        super().__init__(_("The history does not verify at entry %s.") % seq)
        self.seq = seq


@dataclass(frozen=True)
class Entry:
    """An entry that verifies, and the text that its hash was made over: it is made once."""

    event: AuditEvent
    text: str


@dataclass(frozen=True)
class Passed:
    """A sealed break that the chain goes on behind, and the hash from which it does."""

    sealed: SealedBreak
    hash: str

    @property
    def first(self) -> int:
        """The first number of the break; what is before the beginning of the chain has no place in it."""
        return max(self.sealed.first, 1)


Step = Entry | Passed


@dataclass(frozen=True)
class Segment:
    """From a signed head, or from the beginning of the history, to a signed head."""

    seq: int
    hash: str
    """Where it begins: the hash that its first entry continues."""
    heads: list[SignedHead]
    """In order, up to its end; the first is where it begins, unless that is where the history begins."""
    breaks: Sequence[SealedBreak] = ()
    """The sealed breaks in it, in order; the entries that seal them are in it as well."""

    @property
    def end(self) -> SignedHead:
        return self.heads[-1]

    @property
    def length(self) -> int:
        return self.end.seq - self.seq

    def walk(self) -> Iterator[list[Step]]:
        """Yield its entries in batches, each verified as the portal does. Raises `BrokenHistory`."""
        keys = epochs()
        for each in self.breaks:
            digest = digest_of(each.first, each.last, keys.at(each.seq).key)
            if not hmac.compare_digest(digest, each.digest):  # changed again after it was sealed
                raise BrokenHistory(each.first)
        ahead = list(self.breaks)
        seq, previous = self.seq, self.hash
        while seq < self.end.seq:
            steps: list[Step] = []
            if ahead and max(ahead[0].first, 1) <= seq + 1:
                sealed = ahead.pop(0)
                seq, previous = max(sealed.last, seq), _hash_behind(sealed, previous)
                steps.append(Passed(sealed, previous))
            until = ahead[0].first - 1 if ahead else self.end.seq
            rows = AuditEvent.objects.filter(seq__gt=seq, seq__lte=until).order_by("seq")[:BATCH]
            for event in rows:
                seq += 1
                text = event.verified_text(keys.at(seq).key)
                if event.seq != seq or event.prev_hash != previous or text is None:
                    raise BrokenHistory(seq)
                previous = event.hash
                steps.append(Entry(event, text))
            if not steps:
                raise BrokenHistory(seq + 1)
            yield steps


def _hash_behind(sealed: SealedBreak, before: str) -> str:
    """Return the hash that the first entry behind a break continues: of the last row that is left in it."""
    rows = AuditEvent.objects.filter(seq__gte=max(sealed.first, 1), seq__lte=sealed.last)
    return rows.order_by("-seq").values_list("hash", flat=True).first() or before


def rows_in(sealed: SealedBreak) -> Iterator[list[AuditEvent]]:
    """Yield the rows that are left in a sealed break, in batches, as they are."""
    after = sealed.first - 1
    left = AuditEvent.objects.filter(seq__lte=sealed.last).order_by("seq")
    while rows := list(left.filter(seq__gt=after)[:BATCH]):
        yield rows
        after = rows[-1].seq


def around(first: int, last: int) -> Segment:
    """Return the shortest segment that contains these numbers; a head at or after `last` must be signed.

    It never ends within a sealed break, and contains the entries that seal those in it.
    """
    begin, end, breaks = _bounds(first, last)
    if end is None:  # never so after `sign_head`
        raise BrokenHistory(last)
    between = _in_chain().filter(seq__gte=begin.seq if begin else 0, seq__lte=end.seq).order_by("seq")
    # A head within a break says nothing: the chain does not lead there.
    heads = [head for head in between if not any(each.first <= head.seq <= each.last for each in breaks)]
    return Segment(begin.seq if begin else 0, begin.hash if begin else FIRST, heads, breaks)


def length_around(first: int, last: int) -> int:
    """Return how many entries the segment around these numbers has, if the newest one is signed now."""
    begin, end, breaks = _bounds(first, last)
    newest = max([last, *(each.seq for each in breaks)])
    return (end.seq if end else newest) - (begin.seq if begin else 0)


def _bounds(first: int, last: int) -> tuple[SignedHead | None, SignedHead | None, list[SealedBreak]]:
    """Return the signed heads around these numbers, and the sealed breaks between them."""
    known, breaks = _in_chain(), in_force(sealed_breaks())
    while True:
        begin = known.filter(seq__lt=first).order_by("-seq").first()
        end = known.filter(seq__gte=last).order_by("seq").first()
        limits = (begin.seq if begin else 0, end.seq if end else None)
        within = [each for each in breaks if _touches(each, *limits)]
        wider = (
            min([first, *(each.first for each in within)]),
            max([last, *(each.seq for each in within)]),
        )
        if wider == (first, last):
            return begin, end, within
        first, last = wider


def _touches(sealed: SealedBreak, begin: int, end: int | None) -> bool:
    return sealed.last > begin and (end is None or max(sealed.first, 1) <= end)


def _in_chain() -> QuerySet[SignedHead]:
    """Return the heads that are still in the history; after a restore there may be others."""
    same = AuditEvent.objects.filter(seq=OuterRef("seq"), hash=OuterRef("hash"))
    return SignedHead.objects.filter(Exists(same))
