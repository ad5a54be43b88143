"""What of the past sights is kept only for a while: those that say what both of their neighbours say."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _

from instances.discovery.models import Observation, Reading
from portal import retention
from portal.audit.append_only import removable_keys


def equal_readings(before: datetime, most: int) -> Sequence[Any]:
    """Return readings that found what the ones before and after them found, and that no sight refers to."""
    return removable_keys(Reading, before=("asked", before), most=most)


def equal_sights(before: datetime, most: int) -> Sequence[Any]:
    """Return sights that differ from the ones before and after them in when the file was written, only."""
    return removable_keys(Observation, before=("last_seen", before), most=most)


def _remove(model: type[models.Model], keys: Sequence[Any]) -> int:
    removed, _of_each = model._default_manager.filter(pk__in=keys).delete()  # noqa: SLF001
    return removed


retention.register(
    retention.Kind(
        "readings",
        _("Readings that found nothing new"),
        "KEEP_READINGS_DAYS",
        equal_readings,
        partial(_remove, Reading),
    )
)
retention.register(
    retention.Kind(
        "sights",
        _("Observations of a file that was written again with the same content"),
        "KEEP_SIGHTS_DAYS",
        equal_sights,
        partial(_remove, Observation),
    )
)
