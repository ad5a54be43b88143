"""The tasks that Celery finds here: the bell of *Scan all* with its thread, and the bells of visits."""

import logging

from celery import shared_task
from celery.signals import worker_ready, worker_shutting_down
from kombu.exceptions import KombuError, OperationalError

from instances.reaching.key_scans import scanner
from instances.visits import bells  # noqa: F401  # its tasks

logger = logging.getLogger(__name__)


@shared_task(name="instances.scan_host_keys", ignore_result=True)
def scan_host_keys() -> None:
    """Wake the scanner of this worker."""
    scanner.bell.set()


def ring() -> None:
    """Tell a worker that containers wait to be scanned. A lost message costs a worker's next look."""
    try:
        scan_host_keys.apply_async(ignore_result=True)
    except (KombuError, OperationalError, OSError) as error:
        logger.warning("The broker took no message (%s); a worker looks by itself.", type(error).__name__)


@worker_ready.connect
def _start(**_: object) -> None:
    scanner.start()


@worker_shutting_down.connect
def _stop(**_: object) -> None:
    scanner.stop()
