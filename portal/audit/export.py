"""The history as CSV, safe to open in a spreadsheet, and as JSON lines; streamed in batches."""

import csv
import json
from collections.abc import Iterator
from datetime import UTC, datetime

from django.db.models import QuerySet
from django.utils import timezone

from portal.audit.chain import canonical
from portal.audit.models import AuditEvent

BYTE_ORDER_MARK = "\ufeff"  # without it, Excel reads UTF-8 as the local code page
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\0", "\uff1d", "\uff0b", "\uff0d", "\uff20")
COLUMNS = (
    "number",
    "time_utc",
    "who",
    "address",
    "action",
    "kind",
    "id",
    "what",
    "details",
    "request",
    "previous_hash",
    "hash",
    "form",
    "text",
    "seal",
)


def file_name(name: str, kind: str, *, is_narrowed: bool, as_of: datetime | None = None) -> str:
    """Return the name of a list as a file: its earlier moment, whether narrowed, and when it was made."""
    past = f"-as-of-{_stamp(as_of)}" if as_of else ""
    narrowed = "-narrowed" if is_narrowed else ""
    return f"{name}{past}{narrowed}-{_stamp(timezone.now())}.{kind}"


def _stamp(at: datetime) -> str:
    return f"{timezone.localtime(at):%Y%m%d-%H%M%S%z}"


class Echo:
    """A file that hands back what is written, which is what csv.writer needs to stream."""

    def write(self, text: str) -> str:
        return text


def stream(events: QuerySet[AuditEvent], *, batch: int = 1000) -> Iterator[str]:
    """Yield the events, oldest first, as CSV lines; every cell is quoted."""
    writer = csv.writer(Echo(), quoting=csv.QUOTE_ALL)
    yield BYTE_ORDER_MARK + str(writer.writerow(COLUMNS))
    for rows in _batches(events, batch):
        yield "".join(str(writer.writerow([safe(cell) for cell in _cells(event)])) for event in rows)


def stream_json(events: QuerySet[AuditEvent], *, batch: int = 1000) -> Iterator[str]:
    """Yield the events, oldest first, as lines of JSON, from which the hashes can be recomputed."""
    for rows in _batches(events, batch):
        yield "".join(f"{canonical.encode(event.exported())}\n" for event in rows)


def _batches(events: QuerySet[AuditEvent], size: int) -> Iterator[list[AuditEvent]]:
    """Read by number: memory stays flat, and no transaction stays open while a client is slow."""
    last = 0
    while rows := list(events.filter(seq__gt=last).order_by("seq")[:size]):
        yield rows
        last = rows[-1].seq


def _cells(event: AuditEvent) -> tuple[str, ...]:
    return (
        str(event.seq),
        event.at.astimezone(UTC).isoformat(),
        event.actor_name,
        event.ip,
        event.action,
        event.target_type,
        event.target_id,
        event.target_name,
        json.dumps(event.details, ensure_ascii=False, sort_keys=True),
        event.request_id,
        event.prev_hash,
        event.hash,
        str(event.form or 1),
        event.text_or_nothing,
        event.seal or "",
    )


def safe(cell: str) -> str:
    """Return a cell that no spreadsheet takes for a formula (OWASP ASVS 5.0, 1.2.10)."""
    cell = cell.replace("\0", "")
    return f"'{cell}" if cell.startswith(FORMULA_STARTS) else cell
