"""The right to deliver to one container: one holder at a time, and a holder that lost it writes nothing."""

import logging
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from django.conf import settings
from django.db import OperationalError, transaction

from instances.models import Container
from portal.processes import database

logger = logging.getLogger(__name__)


class LeaseLost(Exception):
    """Somebody else holds the container now; nothing may be written any more."""


@dataclass
class Lease:
    """A claim on one container, renewed by every write that is made under it."""

    container_id: uuid.UUID
    owner: str
    token: uuid.UUID = field(default_factory=uuid.uuid4)
    renewed: float = field(default_factory=time.monotonic)
    was_held: bool = False

    @contextmanager
    def taken(self) -> Iterator[bool]:
        """Run a transaction that begins by claiming the container. False: another holder has it."""
        with transaction.atomic():
            claimed = Container.objects.claim(
                self.container_id, token=self.token, owner=self.owner, lease=_length()
            )
            yield claimed
        self.was_held = claimed
        self.renewed = time.monotonic()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Run a transaction that commits only if the lease is still ours; `LeaseLost` otherwise.

        The renewal locks the container's row, so nobody can take the lease before our commit.
        """
        with transaction.atomic():
            if not Container.objects.renew(self.container_id, token=self.token, lease=_length()):
                raise LeaseLost
            yield
        self.renewed = time.monotonic()

    def tick(self) -> None:
        """Renew if it is time; called about once a second while something remote is awaited.

        The database may be away for half of the lease: until the lease ends, the container is ours.
        """
        age = time.monotonic() - self.renewed
        if age < settings.PUSH_LEASE_RENEWAL:
            return
        try:
            with self.held():
                pass
        except OperationalError as error:
            if age > settings.PUSH_LEASE / 2:
                raise
            logger.warning("The lease could not be renewed (%s); trying again.", type(error).__name__)
        database.rest()

    def release(self) -> None:
        """Give the container back, if it was taken and is still ours."""
        if self.was_held:
            Container.objects.release(self.container_id, token=self.token)


def _length() -> timedelta:
    return timedelta(seconds=settings.PUSH_LEASE)
