"""What is done again and again: every room registers its own jobs, and the `scheduler` runs them."""

import logging
import time
from collections.abc import Callable

from django.db import DatabaseError

logger = logging.getLogger(__name__)
MINUTE = 60.0  # seconds
HOUR = 3600.0

Job = Callable[[], object]
_jobs: dict[Job, float] = {}
"""Job -> seconds from one time to the next."""


def every(seconds: float) -> Callable[[Job], Job]:
    """Register a job that several processes may do at once, and more often than this."""

    def register(job: Job) -> Job:
        _jobs[job] = seconds
        return job

    return register


def hourly(job: Job) -> Job:
    """Register a job that several processes may do at once, and more often than once an hour."""
    return every(HOUR)(job)


class Timetable:
    """When this process does each job: at once, and then as long after it went well as the job says."""

    def __init__(self) -> None:
        self._due: dict[Job, float] = {}

    def run_due(self) -> bool:
        """Do each job that is due, whatever becomes of the others.

        What failed is logged, and is tried again by the next call. Returns False if anything failed.
        """
        now = time.monotonic()
        done = {job: _is_done(job) for job in _jobs if self._due.get(job, now) <= now}
        self._due |= {job: now + _jobs[job] for job, is_done in done.items() if is_done}
        return all(done.values())


def _is_done(job: Job) -> bool:
    name = f"{job.__module__}.{job.__qualname__}"
    try:
        job()
    except DatabaseError as error:
        text = "The job %s found no database (%s); it is tried again."
        logger.warning(text, name, type(error).__name__)
    except Exception:  # a defect of one job must not keep the others from being done
        logger.exception("The job %s failed; it is tried again.", name)
    else:
        return True
    return False
