"""Rings again for what is due, and picks up what a vanished worker left. It runs in every worker.

Lost messages, an emptied queue and killed workers are ordinary events: whatever the database says is due,
gets delivered. Two reconcilers at once do no harm; a duty row keeps them from doing the work twice.
"""

import logging
import threading
import uuid
from contextlib import suppress
from datetime import timedelta

from celery.signals import worker_ready, worker_shutting_down
from django.conf import settings
from django.db import DatabaseError, close_old_connections
from django.db.models import F, Q
from django.db.models.functions import Now

from credentials.rollouts.models import Duty
from instances.visits import errands, visit
from instances.visits.bells import ring
from portal.audit.chain import kept_head
from portal.health import workers
from portal.short_lived import remove_expired

logger = logging.getLogger(__name__)
ME = uuid.uuid4()
DUTY = "reconcile"
AT_ONCE = 500


def reconcile() -> int:
    """Ring every container that has due pushes, or an abandoned lease, and no bell on its way.

    Returns how many were rung. A bell counts as lost when nobody claimed its container for a while.
    `AT_ONCE` are rung in one transaction, and the others right after them, unless the broker is away.
    """
    waiting = timedelta(seconds=max(settings.RECONCILE_INTERVAL * 2, 1))
    silent = Q(rung=None) | Q(rung__lt=Now() - waiting) | Q(rung__gt=Now())  # the clock was set back
    due = errands.containers_due().filter(silent)
    longest_first = due.order_by(F("rung").asc(nulls_first=True))  # PostgreSQL by itself has nulls last
    pks = list(longest_first.values_list("pk", flat=True))
    rung = 0
    for begin in range(0, len(pks), AT_ONCE):
        batch = pks[begin : begin + AT_ONCE]
        taken = ring(batch)
        rung += taken
        if taken < len(batch) or visit.stopping.is_set():
            break
    return rung


def on_duty() -> bool:
    """Take or keep the reconciler's duty; False while another worker has it."""
    Duty.objects.get_or_create(name=DUTY)
    term = timedelta(seconds=settings.RECONCILE_INTERVAL * 2 + 5)
    set_back = Q(expires__gt=Now() + term * 2)  # the clock
    mine_or_free = Q(holder=None) | Q(holder=ME) | Q(expires__lt=Now()) | set_back
    return bool(
        Duty.objects.filter(mine_or_free, name=DUTY).update(holder=ME, expires=Now() + term, done=Now())
    )


def run(stop: threading.Event) -> None:
    """Reconcile every `RECONCILE_INTERVAL` seconds until `stop` is set, whatever goes wrong."""
    while not stop.is_set():
        _run_once()
        stop.wait(settings.RECONCILE_INTERVAL)


def _run_once() -> None:
    try:
        workers.beat()
        if on_duty():
            reconcile()
            remove_expired()
        kept_head.keep()
    except DatabaseError as error:
        logger.warning("The reconciler found no database (%s); it tries again.", type(error).__name__)
    except Exception:  # nothing else brings back a lost bell, so no defect may end it
        logger.exception("The reconciler failed; it tries again.")
    finally:
        with suppress(DatabaseError):
            close_old_connections()


@worker_ready.connect
def _start(**_: object) -> None:
    threading.Thread(target=run, args=(visit.stopping,), name="reconciler", daemon=True).start()


@worker_shutting_down.connect
def _stop(**_: object) -> None:
    visit.stopping.set()
