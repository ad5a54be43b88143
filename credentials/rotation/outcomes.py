"""What one step of a rotation comes to, if it does not go on at once."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from credentials.rotation.waits import Wait


@dataclass(frozen=True)
class Waits:
    """It waits, and is looked at again after `pause` at the latest."""

    wait: Wait
    params: Mapping[str, object] = field(default_factory=dict)
    pause: timedelta | None = None
    """None: the usual pause of `ROTATION_PAUSE` seconds."""
