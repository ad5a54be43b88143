"""What a message keeps of the notes that it tells: their number, the first few, and counts of details."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from django.utils.dateparse import parse_datetime

from portal.notices.kinds import Batch, Kind, Told
from portal.notices.models import Message, Note

FIRST = 10
"""This number of notes is named in a message; the others are counted."""
MOST_VALUES = 12
OTHERS = "others"


def content_of(kind: Kind, notes: Sequence[Note]) -> dict[str, object]:
    """Return what a message stores of notes."""
    first = [
        {"subject": each.subject, "details": each.details, "link": each.link, "at": each.at.isoformat()}
        for each in notes[:FIRST]
    ]
    return {"first": first, "tally": {name: _tally(name, notes) for name in kind.counted}}


def _tally(detail: str, notes: Sequence[Note]) -> dict[str, int]:
    """Count the values of a detail, the rarest ones together."""
    counts = Counter(
        str(each.details[detail]) for each in notes if each.details.get(detail) not in (None, "")
    )
    tally = dict(counts.most_common(MOST_VALUES))
    if rest := counts.total() - sum(tally.values()):
        tally[OTHERS] = tally.get(OTHERS, 0) + rest
    return tally


def batch_of(message: Message) -> Batch:
    """Return what a message tells."""
    stored: Mapping[str, Any] = message.content  # Any: plain JSON values
    first = [
        Told(each["subject"], each["details"], each["link"], parse_datetime(each["at"]))
        for each in stored.get("first", [])
    ]
    return Batch(message.count, first, stored.get("tally", {}))
