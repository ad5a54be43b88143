"""PostgreSQL, Redis, and Adobe's stand-ins, with settings under which a day takes two seconds."""

from types import TracebackType
from typing import Self

from portal.sandbox.console_api import StandInConsole
from portal.sandbox.ims import StandInIMS
from tests.chaos.services import Services

IDLE, ASK_INTERVAL, PAUSE, LEASE = 2, 1, 0.3, 6
SLOW = 10.0
"""Seconds: longer than the portal waits for an answer."""


class RotationServices(Services):
    """Everything below the portal, and Adobe."""

    def __init__(self) -> None:
        super().__init__(small_disks=False)
        self.ims = StandInIMS(slow_seconds=SLOW)
        self.console = StandInConsole(self.ims, slow_seconds=SLOW)

    def __enter__(self) -> Self:
        super().__enter__()
        self.ims.start()
        self.console.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.console.stop()
        self.ims.stop()
        super().__exit__(kind, error, trace)

    def settings(self, redis_port: int, postgres_port: int) -> dict[str, str]:
        return super().settings(redis_port, postgres_port) | {
            "IMS_BASE_URL": self.ims.url,
            "ADOBE_CONSOLE_URL": self.console.url,
            "ROTATION_IDLE": str(IDLE),
            "ROTATION_ASK_INTERVAL": str(ASK_INTERVAL),
            "ROTATION_PAUSE": str(PAUSE),
            "ROTATION_LEASE": str(LEASE),
            "READ_INTERVAL": "0",
        }
