"""How much there is in a seeded portal."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """Rows of the three tables that grow: installations with the fleet, the others with every day."""

    installations: int
    attempts: int
    events: int

    def __str__(self) -> str:
        return f"{self.installations:,} installations, {self.attempts:,} attempts, {self.events:,} events"


ONE = Scale(1, 1, 1)
SMALL = Scale(300, 3_000, 3_000)
FULL = Scale(10_000, 1_000_000, 1_000_000)
