"""Fills an empty portal with everything that a page can show, each after what it needs."""

import time
from collections.abc import Callable
from random import Random

from tests.benchmarks.fleet import seed_fleet
from tests.benchmarks.past import seed_past
from tests.benchmarks.rotations import seed_rotations
from tests.benchmarks.scale import Scale
from tests.benchmarks.seen import seed_seen
from tests.benchmarks.told import seed_told
from tests.benchmarks.trail import seed_trail


def fill(scale: Scale, random: Random, *, say: Callable[[str], None] = lambda text: None) -> None:
    """Fill the database at this scale; roles are there already."""
    begin = time.monotonic()
    fleet = seed_fleet(scale, random)
    say(f"{len(fleet.installations):,} installations after {time.monotonic() - begin:.0f} s")
    seed_past(fleet, scale)
    say(f"{scale.attempts:,} attempts after {time.monotonic() - begin:.0f} s")
    seed_seen(fleet, scale.sights)
    say(f"{scale.sights * len(fleet.installations):,} observations after {time.monotonic() - begin:.0f} s")
    seed_rotations(fleet)
    seed_told(fleet, scale)
    seed_trail(fleet, scale)
    say(f"{scale.events:,} events after {time.monotonic() - begin:.0f} s")
