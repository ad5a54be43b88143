"""The canonical form of an audit event: the text that its hash is made over. Pure: no models, no settings.

A form never changes: a chain of many years is verified with it. `form` in the row says which one it is.

Form 1 (an empty column) is what the first releases wrote; its hash is a keyed one, and only the portal can
recompute it. Form 2 names itself in its text, has no fractions of numbers, and its hash can be recomputed by
anybody who has an export: `docs/audit-form.md` says how. A keyed seal vouches for that hash.

In form 2 the text has salted hashes for the names of people. `names` of a row says where, by JSON
pointers (RFC 6901) into the content: `{"/actor_name": {"salt": …}}`, or `{"commitment": …, "erased_by": …}`
after the name was erased.
"""

import hashlib
import json
from collections.abc import Mapping
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode
"""JSON with sorted keys, without blanks, and in ASCII alone."""

NEWEST = 2
"""The form of new events."""

Names = Mapping[str, Mapping[str, Any]]  # Any: plain JSON values
"""Where names of people are, and what is known of each."""


def form_1(
    *,
    seq: int,
    at: datetime,
    actor_id: int | None,
    actor_name: str,
    ip: str,
    action: str,
    target_type: str,
    target_id: str,
    target_name: str,
    details: Mapping[str, object],
    request_id: str,
    prev_hash: str,
) -> dict[str, object]:
    """Return the content of an event in form 1, to be encoded; `at` in UTC, the actor by number and name."""
    return {
        "seq": seq,
        "at": at.astimezone(UTC).isoformat(),
        "actor": actor_id,
        "actor_name": actor_name,
        "ip": ip,
        "action": action,
        "target": [target_type, target_id, target_name],
        "details": details,
        "request_id": request_id,
        "prev_hash": prev_hash,
    }


def readable(
    *,
    seq: int,
    at: datetime,
    actor_id: int | None,
    actor_name: str,
    ip: str,
    action: str,
    target_type: str,
    target_id: str,
    target_name: str,
    details: Mapping[str, object],
    request_id: str,
) -> dict[str, object]:
    """Return the content of an event as form 2 has it, but with the names of people in clear."""
    return {
        "form": 2,
        "seq": seq,
        "at": at.astimezone(UTC).isoformat(timespec="microseconds"),
        "actor": actor_id,
        "actor_name": actor_name,
        "ip": ip,
        "action": action,
        "target_type": target_type,
        "target_id": target_id,
        "target_name": target_name,
        "details": details,
        "request_id": request_id,
    }


def form_2(content: Mapping[str, object], names: Names) -> dict[str, object]:
    """Return the content of an event in form 2, to be encoded: `readable` with commitments for its names.

    Which places were replaced is part of it. `KeyError`, `IndexError`, `TypeError` or `ValueError` if `names`
    does not fit the content.
    """
    committed: dict[str, Any] = {**content, "names": sorted(names)}
    if any(pointer.startswith("/details/") for pointer in names):
        committed["details"] = deepcopy(committed["details"])
    for pointer, known in names.items():
        holder, key = _place(committed, pointer)
        holder[key] = known["commitment"] if "commitment" in known else commitment(known["salt"], holder[key])
    return committed


def hash_2(text: str, prev_hash: str) -> str:
    """Return the hash of an event in form 2, from its text and from the hash of the event before it."""
    digest = hashlib.sha256(text.encode("ascii")).hexdigest()
    return hashlib.sha256(f"{prev_hash}|{digest}".encode("ascii")).hexdigest()


def commitment(salt: str, name: str) -> str:
    """Return what the text has instead of a name: SHA-256 of the salt (as hexadecimal text) and the name."""
    return hashlib.sha256(f"{salt}{name}".encode()).hexdigest()


def value_at(content: Any, pointer: str) -> Any:  # Any: plain JSON values
    """Return the value at a JSON pointer."""
    holder, key = _place(content, pointer)
    return holder[key]


def put_at(content: Any, pointer: str, value: object) -> None:  # Any: plain JSON values
    """Replace the value at a JSON pointer."""
    holder, key = _place(content, pointer)
    holder[key] = value


def _place(content: Any, pointer: str) -> tuple[Any, Any]:
    *way, last = (part.replace("~1", "/").replace("~0", "~") for part in pointer.removeprefix("/").split("/"))
    for part in way:
        content = content[_key(content, part)]
    key = _key(content, last)
    content[key]  # a place that does not exist is no place for a name
    return content, key


def _key(content: Any, part: str) -> Any:
    return int(part) if isinstance(content, list) else part
