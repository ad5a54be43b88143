"""Which maintenance windows are open: those of every environment, as of a moment."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from django.utils import timezone

from credentials.rotation import windows
from credentials.rotation.models import MaintenanceWindow
from credentials.rotation.windows import Windows
from instances.models import Instance

Environment = Instance.Environment


@dataclass(frozen=True)
class Openings:
    """The windows of every environment as of a moment; one without any is always open."""

    now: datetime
    windows: Mapping[str, Windows] = field(default_factory=dict)

    def of(self, environment: str) -> Windows:
        return self.windows.get(environment, ())

    def is_open(self, environment: str) -> bool:
        """Whether rotations may push to an environment now."""
        return windows.is_open(self.of(environment), self.now)

    @cached_property
    def closed(self) -> list[str]:
        """The environments that no rotation may push to now."""
        return [each for each in Environment.values if not self.is_open(each)]

    def next(self, environments: Collection[str]) -> tuple[str, datetime | None]:
        """Return which of these, none of them open, opens first, and when; None: none of them ever does."""
        known = [(windows.opens(self.of(each), self.now), each) for each in environments]
        until, found = min(known, key=lambda each: (each[0] is None, each[0] or self.now, each[1]))
        return found, until


def openings(now: datetime | None = None) -> Openings:
    """Return the windows as they are stored; one statement."""
    found = defaultdict(list)
    for row in MaintenanceWindow.objects.all():
        found[row.environment].append(row.window)
    return Openings(now or timezone.now(), dict(found))
