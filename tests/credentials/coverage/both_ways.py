"""The map as of a moment, asked both ways: judged one installation after the other, and counted."""

from collections import Counter
from datetime import datetime

from credentials.coverage import past
from credentials.coverage.cells import Cell, Wanted
from credentials.coverage.past_tallies import instances_as_of, tallies_as_of


def cells_as_of(wanted: Wanted, moment: datetime) -> list[Cell]:
    """Return the wanted cells as of a moment, after the database was seen to count the same."""
    cells, found = past.cells_as_of(wanted, moment), tallies_as_of(wanted, moment)
    counted: Counter[tuple[object, ...]] = Counter()
    for each in found:
        tally = each.tally
        counted[
            tally.environment,
            tally.account_id,
            tally.account,
            tally.held,
            tally.how,
            tally.cover,
            tally.need,
            each.certainty,
        ] += tally.count
    assert counted == Counter(
        (
            cell.environment,
            cell.account_id,
            cell.account,
            cell.held,
            cell.how,
            cell.cover,
            cell.need,
            cell.certainty,
        )
        for cell in cells
    )
    instances = list(dict.fromkeys(cell.instance_id for cell in cells))
    listed = instances_as_of(wanted, moment, found)
    assert (len(listed), listed[:]) == (len(instances), instances)
    some = instances[:2]
    assert past.cells_as_of(wanted, moment, instances=some) == [
        cell for cell in cells if cell.instance_id in some
    ]
    return cells
