"""The fleet at a glance: the map in small, by environment."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from django.utils.functional import Promise

from credentials.coverage.states import Cover
from credentials.coverage.tallies import Tally
from instances.models import Instance


@dataclass(frozen=True)
class FleetLine:
    """An environment with how many of its installations are in each state."""

    environment: str
    label: Promise | str
    counts: list[tuple[Cover, int]]
    total: int

    @property
    def done_percent(self) -> int:
        """How much of it is done; 100 only if all of it is."""
        done = next(count for cover, count in self.counts if cover == Cover.DONE)
        return done * 100 // self.total


def fleet_lines(tallies: Iterable[Tally]) -> list[FleetLine]:
    """Return a line for each environment that has installations, production first."""
    found: dict[str, Counter[str]] = {}
    for each in tallies:
        found.setdefault(each.environment, Counter())[each.cover] += each.count
    return [
        FleetLine(
            each.value,
            each.label,
            [(cover, found[each.value][cover]) for cover in Cover],
            found[each.value].total(),
        )
        for each in reversed(Instance.Environment)
        if each.value in found
    ]
