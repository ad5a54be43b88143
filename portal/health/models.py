"""The workers that are at work."""

from datetime import timedelta
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models.functions import Now


class WorkerQuerySet(models.QuerySet["Worker"]):
    def at_work(self) -> Self:
        """Workers that were seen within the last three heartbeats."""
        return self.filter(seen__gte=Now() - timedelta(seconds=settings.RECONCILE_INTERVAL * 3 + 5))


class Worker(models.Model):
    """One worker process, as its last heartbeat told."""

    name = models.CharField(max_length=100, primary_key=True)
    started = models.DateTimeField(db_default=Now())
    seen = models.DateTimeField(db_default=Now())
    concurrency = models.PositiveIntegerField()

    objects = WorkerQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        default_permissions = ()

    def __str__(self) -> str:
        return self.name
