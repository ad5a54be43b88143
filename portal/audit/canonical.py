"""The canonical form of an audit event: the text that its hash is made over. Pure: no models, no settings.

It never changes: a chain of many years is verified with it. Another form would get another number, and would
name itself in its text.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime

encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode
"""JSON with sorted keys, without blanks, and in ASCII alone."""


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
