"""What is promised: how long after the end of a fault the last outcome may take."""

from dataclasses import dataclass

from tests.chaos.services import COMMAND_LIMIT, CONNECT, INTERVAL, LEASE, READY, RETRY_DELAYS

BELL = max(2 * INTERVAL, 1) + INTERVAL
"""A bell counts as lost after two intervals, and the reconciler looks once in each."""
RETRY = 1.2 * max(RETRY_DELAYS)
LOOK = 5.0
"""Pause between two looks."""
START = 15.0
"""A worker's start, where all of them were struck."""
BROKER = 30.0
"""Celery's own way back to a broker that was away."""
REPORT = 5 + COMMAND_LIMIT + 5 + 35 + 15
NEGOTIATE, LOGIN, CHANNEL, SEND = 20.0, 15.0, 10.0, 10.0
HANG = CONNECT + NEGOTIATE + LOGIN + CHANNEL + READY + 2 * SEND + REPORT
"""The sum of all deadlines of an attempt: none can last longer."""
LEAST_SHARE = 45.0
PROMISED = LEASE + BELL + RETRY + LOOK


@dataclass(frozen=True)
class Bounds:
    """`calm` is how long this machine takes, just now, for a rollout to which nothing happens."""

    calm: float = 10.0

    @property
    def base(self) -> float:
        """The promise, and the deed itself: a try, a look and another try at this machine's speed.

        Generous, for others may begin to use the machine: the figures show what it really took.
        """
        return PROMISED + max(3 * self.calm, LEAST_SHARE)

    def of(self, fault: str, *, lasting: bool) -> float:
        """Seconds from the end of a fault to the outcome, at most."""
        if lasting:
            return self.base + max(NEGOTIATE, LOGIN, READY, REPORT)
        if fault.startswith("worker"):
            return self.base + START
        if fault.startswith("redis"):
            return self.base + BROKER
        return self.base
