"""How much there is in a seeded portal."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """Rows of the tables that grow: installations with the fleet, the others with every day.

    `sights`: observations of each installation.
    """

    installations: int
    attempts: int
    events: int
    sights: int = 3

    def __str__(self) -> str:
        seen = f", {self.installations * self.sights:,} observations"
        return (
            f"{self.installations:,} installations, {self.attempts:,} attempts, {self.events:,} events{seen}"
        )


ONE = Scale(1, 1, 1)
SMALL = Scale(300, 3_000, 3_000)
FULL = Scale(10_000, 1_000_000, 1_000_000)
SEEN = Scale(2_000, 10_000, 10_000, sights=500)
SEEN_SMALL = Scale(300, 3_000, 3_000, sights=20)
SEEN_QUICKLY = Scale(400, 3_000, 3_000, sights=30)
