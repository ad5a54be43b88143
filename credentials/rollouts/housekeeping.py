"""The scheduler's other thread: it does the hourly jobs of all rooms, and beats while somebody reconciles."""

import logging
import threading
from contextlib import suppress
from datetime import timedelta

from django.conf import settings
from django.db import DatabaseError, close_old_connections
from django.db.models.functions import Now

from credentials.rollouts.models import Duty
from credentials.rollouts.reconciler import DUTY
from portal.processes.heartbeat import INTERVAL, beat
from portal.processes.housekeeping import Timetable

logger = logging.getLogger(__name__)


def run(stop: threading.Event) -> None:
    """Do the hourly jobs, and beat while none of them fails and somebody reconciles, until `stop` is set."""
    timetable = Timetable()
    while not stop.is_set():
        try:
            if timetable.run_due() and is_reconciled():
                beat()
        except DatabaseError as error:
            logger.warning("Housekeeping found no database (%s); it tries again.", type(error).__name__)
        except Exception:  # a defect here must not end it: the next hour may be a better one
            logger.exception("Housekeeping failed; it tries again.")
        finally:
            with suppress(DatabaseError):
                close_old_connections()
        stop.wait(INTERVAL)


def is_reconciled() -> bool:
    """Whether the reconciler's duty was done lately, here or in a worker."""
    lately = Now() - timedelta(seconds=settings.RECONCILE_INTERVAL * 3 + 10)
    return Duty.objects.filter(name=DUTY, done__gte=lately).exists()
