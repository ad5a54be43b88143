"""Cells of the map as data: for CSV, JSON and the command."""

from credentials.coverage.cells import Cell, Version
from portal.audit.export import safe

COLUMNS = (
    "instance", "container", "environment", "role", "account", "state", "need", "holds", "fingerprint", "how",
    "desires", "goal", "certainty", "seen_since", "seen_last", "holds_of",
)  # fmt: skip


def as_dict(cell: Cell) -> dict[str, object]:
    """Return a cell by the names of `COLUMNS`; versions by number, moments in ISO 8601, None for nothing."""
    return {
        "instance": cell.instance,
        "container": cell.container,
        "environment": cell.environment,
        "role": cell.role,
        "account": cell.account,
        "state": str(cell.cover),
        "need": str(cell.need) or None,
        "holds": _number(cell.held),
        "fingerprint": cell.held.fingerprint if cell.held else None,
        "how": str(cell.how) or None,
        "desires": _number(cell.desired),
        "goal": _number(cell.goal),
        "certainty": cell.certainty,
        "seen_since": cell.since.isoformat() if cell.since else None,
        "seen_last": cell.seen.isoformat() if cell.seen else None,
        "holds_of": cell.held.account if cell.held else None,
    }


def _number(version: Version | None) -> int | None:
    return version.number if version else None


def as_row(cell: Cell) -> tuple[str, ...]:
    """Return a cell as texts in the order of `COLUMNS`, safe to open in a spreadsheet."""
    facts = as_dict(cell)
    return tuple(safe("" if facts[name] is None else str(facts[name])) for name in COLUMNS)
