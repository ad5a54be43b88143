"""Noting that something happened: a row of the outbox, in the transaction of what it tells."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from django.db import connection

from portal.notices.kinds import Told, is_registered
from portal.notices.models import Note
from portal.plaintext import cut_out, has_secret

LONGEST_TEXT = 250
MOST_ENTRIES = 30
NOTED_AT_ONCE = 500  # rows in one statement


def note(
    kind: str, *, subject: str = "", details: Mapping[str, object] | None = None, link: str = ""
) -> None:
    """Have people told that something happened, if the caller's transaction is committed.

    `subject` is the name of what it happened to, `details` hold codes, counts and names as plain JSON values,
    never a secret nor the output of a server, `link` is the path of a page. One INSERT; what becomes of it
    later raises nothing here. `LookupError` for a kind that nobody registered, `RuntimeError` outside of a
    transaction.
    """
    note_all(kind, [Told(subject, details or {}, link)])


def note_all(kind: str, things: Iterable[Told]) -> None:
    """Do the same for several things of one kind, with few statements."""
    if not is_registered(kind):
        raise LookupError(f"no room registered the kind of notice {kind}")
    if not connection.in_atomic_block:
        raise RuntimeError("a notice is written in the transaction of what it tells")
    Note.objects.bulk_create([_row(kind, each) for each in things], batch_size=NOTED_AT_ONCE)


def _row(kind: str, thing: Told) -> Note:
    details = _safe(thing.details)
    if has_secret(json.dumps(details)):  # the last net would refuse the statement, and so the caller's change
        details = {}
    return Note(kind=kind, subject=_safe(thing.subject), details=details, link=thing.link[:LONGEST_TEXT])


def _safe(value: Any) -> Any:  # Any: whatever JSON holds
    """Return plain values without client secrets, short enough for a message."""
    if isinstance(value, str):
        return cut_out(value)[:LONGEST_TEXT]
    if isinstance(value, Mapping):
        pairs = list(value.items())[:MOST_ENTRIES]
        return {_safe(str(key)): _safe(each) for key, each in pairs}
    if isinstance(value, list | tuple):
        return [_safe(each) for each in value[:MOST_ENTRIES]]
    return value
