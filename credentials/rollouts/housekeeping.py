"""What has to be done once an hour, beside the reconciler: it runs in the `scheduler`."""

import logging
import threading
import time
from contextlib import suppress
from datetime import timedelta

from django.conf import settings
from django.core.management import call_command
from django.db import DatabaseError, close_old_connections
from django.db.models.functions import Now

from credentials.rollouts.models import Duty
from credentials.rollouts.reconciler import DUTY
from portal.heartbeat import INTERVAL, beat

logger = logging.getLogger(__name__)
HOUR = 3600.0


def run(stop: threading.Event) -> None:
    """Tidy up at once and every hour, and beat while somebody reconciles, until `stop` is set."""
    due = time.monotonic()
    while not stop.is_set():
        try:
            if time.monotonic() >= due:
                tidy()
                due = time.monotonic() + HOUR
            if is_reconciled():
                beat()
        except DatabaseError as error:
            logger.warning("Housekeeping found no database (%s); it tries again.", type(error).__name__)
        except Exception:  # a defect here must not end it: the next hour may be a better one
            logger.exception("Housekeeping failed; it tries again.")
        finally:
            with suppress(DatabaseError):
                close_old_connections()
        stop.wait(INTERVAL)


def tidy() -> None:
    """Remove expired sessions."""
    call_command("clearsessions")


def is_reconciled() -> bool:
    """Whether the reconciler's duty was done lately, here or in a worker."""
    lately = Now() - timedelta(seconds=settings.RECONCILE_INTERVAL * 3 + 10)
    return Duty.objects.filter(name=DUTY, done__gte=lately).exists()
