"""The doorbell: a message that carries a container's id, and may be lost or come twice."""

import logging
import uuid
from collections.abc import Collection
from functools import partial

from celery import shared_task
from django.db import transaction
from django.db.models.functions import Now
from kombu.exceptions import KombuError, OperationalError

from credentials.rollouts import delivery
from instances.models import Container
from portal.logs import bound

logger = logging.getLogger(__name__)


@shared_task(ignore_result=True)
def deliver(container_id: str) -> None:
    """Deliver whatever is due on this container."""
    with bound(container=container_id, worker=delivery.WORKER):
        if delivery.deliver(uuid.UUID(container_id)):
            ring([uuid.UUID(container_id)])


def ring_on_commit(container_ids: Collection[uuid.UUID]) -> None:
    """Ring containers once the surrounding transaction is committed.

    Robust: what is committed stands, whether its bell rings or not.
    """
    transaction.on_commit(partial(ring, list(container_ids)), robust=True)


def ring(container_ids: Collection[uuid.UUID]) -> int:
    """Ring containers; return how many messages the broker took.

    A broker that is away costs the first failure only: nothing is lost, since the reconciler rings again.
    """
    Container.objects.filter(pk__in=container_ids).update(rung=Now())
    for count, container_id in enumerate(container_ids):
        try:
            deliver.apply_async(args=(str(container_id),), ignore_result=True)
        except (KombuError, OperationalError, OSError) as error:
            logger.warning(
                "The broker took no message (%s); the reconciler rings again.", type(error).__name__
            )
            Container.objects.filter(pk__in=list(container_ids)[count:]).update(rung=None)
            return count
    return len(container_ids)
