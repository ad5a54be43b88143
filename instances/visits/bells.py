"""The doorbell: a message that names containers, and may be lost or come twice."""

import logging
import math
import uuid
from collections.abc import Collection
from functools import partial

from celery import shared_task
from django.db import transaction
from kombu.exceptions import KombuError, OperationalError

from instances.models import Container
from instances.visits.dispatcher import dispatcher

logger = logging.getLogger(__name__)


# A message costs more than a container in it; yet many workers must be able to share the containers.
MESSAGES = 16
MOST_PER_MESSAGE = 50


@shared_task(name="instances.visit", ignore_result=True)
def visit(container_ids: list[str]) -> None:
    """Put these containers into the worker's queue: they are visited, and whatever is due there is done."""
    dispatcher().ring([uuid.UUID(each) for each in container_ids])


@shared_task(name="credentials.rollouts.tasks.deliver", ignore_result=True)
def deliver(container_ids: list[str]) -> None:
    """Answer a bell of the release before this one; to be removed with the next."""
    visit(container_ids)


def ring_on_commit(container_ids: Collection[uuid.UUID]) -> None:
    """Ring containers once the surrounding transaction is committed.

    Robust: a bell that fails undoes nothing of what is committed.
    """
    transaction.on_commit(partial(ring, list(container_ids)), robust=True)


def ring(container_ids: Collection[uuid.UUID]) -> int:
    """Ring containers; return for how many of them the broker took a message.

    A broker that is away costs the first failure only: nothing is lost, since the reconciler rings again.
    """
    ids = list(container_ids)
    Container.objects.note_bells(ids, rung=True)
    size = min(math.ceil(len(ids) / MESSAGES), MOST_PER_MESSAGE) or 1
    for begin in range(0, len(ids), size):
        named = [str(each) for each in ids[begin : begin + size]]
        try:
            visit.apply_async(args=(named,), ignore_result=True)
        except (KombuError, OperationalError, OSError) as error:
            logger.warning(
                "The broker took no message (%s); the reconciler rings again.", type(error).__name__
            )
            Container.objects.note_bells(ids[begin:], rung=False)
            return begin
    return len(ids)
