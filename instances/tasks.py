"""The tasks that Celery finds here: the bell of *Scan all* with its thread, and the bells of visits."""

from celery import shared_task
from celery.signals import worker_ready, worker_shutting_down

from instances.reaching.key_scans import scanner
from instances.visits import bells  # noqa: F401  # its tasks
from portal.processes import woken


@shared_task(name="instances.scan_host_keys", ignore_result=True)
def scan_host_keys() -> None:
    """Wake the scanner of this worker."""
    scanner.bell.set()


def ring() -> None:
    """Tell a worker that containers wait to be scanned."""
    woken.ring(scan_host_keys)


worker_ready.connect(scanner.start)
worker_shutting_down.connect(scanner.stop)
