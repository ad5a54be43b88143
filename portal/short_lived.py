"""Rows that live for minutes or an hour: they are removed once their time is over, and no backup has them."""

import logging
from collections.abc import Callable
from typing import ClassVar, Self

from django.apps import apps
from django.contrib.sessions.models import Session
from django.db import DatabaseError, models
from django.utils import timezone

logger = logging.getLogger(__name__)


class ShortLived(models.Model):
    """The base of such rows."""

    at_their_end: ClassVar[Callable[[], None] | None] = None
    """What is done with expired rows, where that is more than to remove them; it removes them too."""

    class Meta:
        abstract = True

    @classmethod
    def expired(cls) -> "models.QuerySet[Self]":
        """Return the rows whose time is over."""
        raise NotImplementedError

    @classmethod
    def remove_expired(cls) -> None:
        """Remove these rows. Mostly there is none, and nothing is written."""
        rows = cls.expired()
        if not rows.exists():
            return
        if cls.at_their_end:
            cls.at_their_end()
        else:
            rows.delete()


def short_lived() -> list[type[models.Model]]:
    """Return every model of such rows; Django's sessions are one too."""
    return [Session, *(model for model in apps.get_models() if issubclass(model, ShortLived))]


def remove_expired() -> None:
    """Remove what has outlived its time; the workers and the scheduler do so every few seconds.

    A defect in one kind of rows is logged and does not keep the others; `DatabaseError` is raised.
    """
    for model in short_lived():
        try:
            remove_expired_of(model)
        except DatabaseError:
            raise
        except Exception:
            logger.exception("Expired rows of %s were not removed; it is tried again.", model.__name__)


def remove_expired_of(model: type[models.Model]) -> None:
    """Remove the rows of one model that have outlived their time."""
    if issubclass(model, ShortLived):
        model.remove_expired()
        return
    sessions = Session.objects.filter(expire_date__lt=timezone.now())
    if sessions.exists():
        sessions.delete()
