"""A visit: claim the container, do one errand after another over one connection, release it."""

import logging
import os
import socket
import threading
import uuid

from instances import ssh
from instances.visits import errands
from instances.visits.errands import Begun
from instances.visits.lease import Lease, LeaseLost
from instances.visits.line import Line
from portal.processes.logs import bound

logger = logging.getLogger(__name__)
WORKER = f"{socket.gethostname()}:{os.getpid()}"
stopping = threading.Event()
"""Set when the worker shuts down: what runs is finished, and nothing else begins."""


def visit(container_id: uuid.UUID, dialed: ssh.Dial | None = None) -> bool:
    """Do everything that is due on this container; return whether something became due meanwhile.

    False at once if nothing is due, another worker holds the container, or this worker is shutting down.
    `dialed` is a dial to it that is over; without one, the connection is made here. The place in the worker
    was given for the first job. So no job of a higher rank follows: it waits for a place of its own kind.
    """
    lease = Lease(container_id, owner=WORKER)
    line = Line(lease, dialed)
    with bound(container=str(container_id), worker=WORKER):
        try:
            first = begun = _claim(container_id, lease)
            while first and begun:
                begun.job.run(line)
                begun = None if stopping.is_set() else _next(container_id, lease, first.rank)
        except LeaseLost:
            logger.warning("The lease on container %s was lost; its new holder goes on.", container_id)
            return False
        finally:
            line.drop()
            lease.release()
    return lease.was_held and not stopping.is_set() and errands.is_more(container_id)


def _claim(container_id: uuid.UUID, lease: Lease) -> Begun | None:
    """Take the container and begin the first job there; None if somebody else holds it or nothing is due."""
    if stopping.is_set():
        return None
    with lease.taken() as is_ours:
        return errands.begin(container_id, lease) if is_ours else None


def _next(container_id: uuid.UUID, lease: Lease, most: int) -> Begun | None:
    if not errands.is_more(container_id, most):
        return None
    with lease.held():
        return errands.begin(container_id, lease, most)
