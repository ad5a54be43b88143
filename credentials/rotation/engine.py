"""Moves rotations on: a worker takes one by its lease, and takes step after step until it has to wait."""

import logging
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from celery import shared_task
from celery.signals import worker_ready, worker_shutting_down
from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.db.models.functions import Now
from django.utils import timezone

from credentials.rotation import notices
from credentials.rotation.actions import Action, settle_lost
from credentials.rotation.models import Rotation, lease
from credentials.rotation.outcomes import Waits
from credentials.rotation.steps import STEPS
from credentials.rotation.waits import Wait
from portal.processes import woken
from portal.processes.woken import Woken

logger = logging.getLogger(__name__)
Decided = tuple[str, str, str, bool]
AT_ONCE = 4
MOST_STEPS = 40
"""In one go; then others have their turn."""


class LeaseLost(Exception):
    """Another worker has the rotation."""


def work(stopping: threading.Event) -> None:
    """Take step after step of every rotation that is due, until none is or `stopping` is set.

    Several at once, so that none waits for another one's Adobe.
    """
    due = list(Rotation.objects.due().order_by("due").values_list("pk", flat=True))
    if len(due) < 2:
        for pk in due:
            _take(pk, stopping)
        return
    with ThreadPoolExecutor(AT_ONCE, "rotation") as pool:
        for future in [pool.submit(_take_in_thread, pk, stopping) for pk in due]:
            future.result()


def _take_in_thread(pk: uuid.UUID, stopping: threading.Event) -> None:
    try:
        _take(pk, stopping)
    finally:
        connection.close()


def _take(pk: uuid.UUID, stopping: threading.Event) -> None:
    token = uuid.uuid4()
    if not stopping.is_set() and Rotation.objects.claim(pk, token):
        _advance_and_let_go(pk, token)


def _advance_and_let_go(pk: uuid.UUID, token: uuid.UUID) -> None:
    said: dict[str, object] = {}
    try:
        advance(pk, token)
    except LeaseLost:
        logger.warning("Another worker took a rotation over.")
    except DatabaseError:
        raise
    except Exception:  # a defect in one rotation must not keep the others
        logger.exception("A step of a rotation failed; it is tried again.")
        said = {"wait": Wait.PORTAL_ERROR, "params": {}, "tried": timezone.now()}
    finally:
        later = {"due": Now() + timedelta(seconds=settings.ROTATION_PAUSE * 2), "put_off": Now()}
        mine = Rotation.objects.filter(pk=pk, lease_token=token)
        mine.update(lease_token=None, lease_expires=None, **later, **said)


def advance(pk: uuid.UUID, token: uuid.UUID) -> None:
    """Take the steps of a rotation that is held under `token`, until it waits, and let go of it then."""
    for _step in range(MOST_STEPS):
        with transaction.atomic():
            rotation = _held(pk, token)
            settle_lost(rotation)
            outcome = STEPS[rotation.state](rotation)
            if isinstance(outcome, Waits):
                _let_go(rotation, outcome)
                return
            if isinstance(outcome, Action):
                outcome.intend(rotation)
            rotation.save()
            before = _decided(rotation)
        if isinstance(outcome, Action) and _do(outcome, pk, token, before):
            return
    with transaction.atomic():
        _let_go(_held(pk, token), Waits(Wait.BEGINNING))


def _do(action: Action, pk: uuid.UUID, token: uuid.UUID, before: Decided) -> bool:
    """Do what a step wants done outside the database; return whether the rotation has to wait then."""
    action.run()
    with transaction.atomic():
        rotation = _held(pk, token)
        waits = action.keep(rotation)
        # What a person decided meanwhile comes first, whatever became of the call.
        if waits and _decided(rotation) == before:
            _let_go(rotation, waits)
            return True
        rotation.save()
    return False


def _decided(rotation: Rotation) -> Decided:
    """Return what people may change while a call is made."""
    return rotation.state, rotation.hold, rotation.way, rotation.takes_back


def _held(pk: uuid.UUID, token: uuid.UUID) -> Rotation:
    """Lock a rotation and renew its lease; `LeaseLost` if somebody else has it, or it has ended."""
    held = Rotation.objects.open().filter(pk=pk, lease_token=token)
    if not held.update(lease_expires=Now() + lease()):
        raise LeaseLost
    related = ("account", "old", "new", "canary__instance", "canary__container", "acts_for")
    return held.select_for_update(of=("self",)).select_related(*related).get()


def _let_go(rotation: Rotation, waits: Waits) -> None:
    usual = timedelta(seconds=settings.ROTATION_PAUSE)
    pause = usual if waits.pause is None else max(timedelta(seconds=1), waits.pause)
    former, rotation.wait, rotation.params = rotation.wait, waits.wait, dict(waits.params)
    notices.note_wait(rotation, former)
    rotation.lease_token = rotation.lease_expires = None
    rotation.tried = timezone.now()
    rotation.save()
    Rotation.objects.filter(pk=rotation.pk).update(due=Now() + pause, put_off=Now())


@shared_task(name="credentials.move_rotations", ignore_result=True)
def move_rotations() -> None:
    """Wake the thread of this worker that moves rotations on."""
    moving.bell.set()


def ring() -> None:
    """Tell a worker that a rotation has something to do."""
    woken.ring(move_rotations)


moving = Woken("rotations", work)
worker_ready.connect(moving.start)
worker_shutting_down.connect(moving.stop)
