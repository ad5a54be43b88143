"""A sign of life for health checks: a file in PORTAL_HOME that a healthy process touches every few seconds.

A worker's own timer touches it; the timer stops while the worker has no broker, or hangs.
"""

from pathlib import Path
from typing import Any

from celery import bootsteps
from django.conf import settings

INTERVAL = 5.0  # seconds


def beat() -> None:
    """Show that this process lives."""
    (Path(settings.PORTAL_HOME) / "heartbeat").touch(mode=0o600)


class Heartbeat(bootsteps.StartStopStep):
    """The part of a Celery worker that beats."""

    requires = ("celery.worker.components:Timer",)

    def start(self, parent: Any) -> None:  # Any: Celery's worker
        parent.timer.call_repeatedly(INTERVAL, beat)
