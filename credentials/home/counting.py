"""What the home pages count over the whole inventory. Where that takes long, it is kept for a moment.

Ten thousand installations take a second or two to judge, and everybody's home page asks again by itself. So
what took long is shared for ten times as long as it took: a process spends a tenth of its time on it at most,
however many people look. The page says how old it is. What takes less is counted each time.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from django.utils import timezone

from credentials.coverage.cells import Wanted
from credentials.coverage.tallies import Tally, tallies
from instances.discovery.proposal_list import Wanted as WantedProposals
from instances.discovery.proposal_list import Where, count, places
from instances.discovery.proposals import NOT_SAID_ELSEWHERE

WORTH = 1.0  # seconds
"""What takes less is not kept."""
TIMES = 10
SHOWN = 5
"""The number of places that are named."""
MOST = 20.0  # seconds
"""None is older than this: pages ask again after 30 s."""


@dataclass(frozen=True)
class Proposed:
    """How many proposals wait for a decision and have no line of their own, and what they are about."""

    count: int = 0
    places: Sequence[Where] = ()
    """What most of them are about, `SHOWN` of these."""
    all_places: int = 0


@dataclass(frozen=True)
class Counted:
    """All installations, and what else does not fit the inventory, in numbers; as of a moment."""

    tallies: Sequence[Tally]
    proposals: Proposed
    at: datetime
    is_kept: bool = False
    """Whether somebody else's question was answered by it before."""


class Briefly:
    """Keeps the last count of this process, if it took long."""

    def __init__(self, count: Callable[[], Counted]) -> None:
        self._count = count
        self._lock = threading.Lock()
        self._kept: Counted | None = None
        self._until = 0.0

    def get(self) -> Counted:
        """Return a count that is fresh enough. Who asks while one is under way waits for it."""
        with self._lock:
            begin = time.monotonic()
            if self._kept is None or begin >= self._until:
                found = self._count()
                took = time.monotonic() - begin
                is_worth_it = took >= WORTH
                self._kept = replace(found, is_kept=True) if is_worth_it else None
                self._until = begin + took + min(took * TIMES, MOST)
                return found
            return self._kept

    def forget(self) -> None:
        """Count anew at the next question."""
        with self._lock:
            self._until = 0.0


def count_all() -> Counted:
    """Count everything now."""
    at = timezone.now()
    return Counted(tallies(Wanted()), _proposed(), at)


def _proposed() -> Proposed:
    wanted = WantedProposals(kind=NOT_SAID_ELSEWHERE)
    return Proposed(count(wanted), *places(wanted, SHOWN))


everything = Briefly(count_all)
