"""A row for every worker: written by its heartbeat, removed when it leaves, forgotten when it vanished."""

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from celery.signals import celeryd_after_setup, worker_shutdown
from django.conf import settings
from django.db import DatabaseError
from django.db.models import Sum
from django.db.models.functions import Now
from prometheus_client import Metric

from portal.health.metrics import collector, gauge
from portal.health.models import Worker

FORGET = timedelta(hours=1)


@dataclass
class _Me:
    """This process, if it is a worker."""

    name: str = ""
    concurrency: int = 0
    has_begun: bool = False


me = _Me()


@celeryd_after_setup.connect
def _become_a_worker(**_: object) -> None:
    me.name = f"{socket.gethostname()}:{os.getpid()}"
    me.concurrency = settings.PUSHES_PER_WORKER


def beat() -> None:
    """Say that this worker is there; the reconciler's thread calls it in every round."""
    if not me.name:
        return
    if not me.has_begun:  # a restarted container may have the same host name and process id as before
        Worker.objects.filter(name=me.name).delete()
        Worker.objects.create(name=me.name, concurrency=me.concurrency)
        me.has_begun = True
    elif not Worker.objects.filter(name=me.name).update(seen=Now()):
        Worker.objects.create(name=me.name, concurrency=me.concurrency)
    Worker.objects.filter(seen__lt=Now() - FORGET).delete()


@worker_shutdown.connect
def _leave(**_: object) -> None:
    with suppress(DatabaseError):  # then it is forgotten later
        Worker.objects.filter(name=me.name).delete()


@collector("workers")
def figures() -> Iterator[Metric]:
    workers = Worker.objects.at_work()
    slots = workers.aggregate(slots=Sum("concurrency"))["slots"] or 0
    yield gauge("workers", "Workers that were seen within three heartbeats.", workers.count())
    yield gauge("worker_slots", "Containers that these workers can push to at once.", slots)
