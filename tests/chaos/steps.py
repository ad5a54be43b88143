"""Many things at once in one thread: generators that yield what they wait for, each wait with an end."""

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")


@dataclass
class Wait:
    """Go on once the condition holds, or when the seconds are over; the yield gives which of the two."""

    condition: Callable[[], object]
    seconds: float


Steps = Generator[Wait, bool, T]


def pause(seconds: float) -> Wait:
    return Wait(lambda: False, seconds)


@dataclass
class Task:
    """One running generator."""

    name: str
    steps: Steps[None]
    is_over: bool = False
    _wait: Wait = field(default_factory=lambda: pause(0))
    _since: float = field(default_factory=time.monotonic)
    _started: bool = False

    def advance(self) -> None:
        """Go on as far as possible without waiting."""
        while not self.is_over:
            met = bool(self._wait.condition())
            if not met and time.monotonic() - self._since < self._wait.seconds:
                return
            self._step(met=met)

    def _step(self, *, met: bool) -> None:
        try:
            self._wait = self.steps.send(met) if self._started else next(self.steps)
        except StopIteration:
            self.is_over = True
        self._started, self._since = True, time.monotonic()
