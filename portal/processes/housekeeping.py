"""What is done once an hour: every room registers its own jobs, and the `scheduler` runs them."""

import logging
import time
from collections.abc import Callable

from django.db import DatabaseError

logger = logging.getLogger(__name__)
HOUR = 3600.0  # seconds

Job = Callable[[], object]
_jobs: list[Job] = []


def hourly(job: Job) -> Job:
    """Register a job that several processes may do at once, and more often than once an hour."""
    _jobs.append(job)
    return job


class Timetable:
    """When this process does each job: at once, and an hour after it went well."""

    def __init__(self) -> None:
        self._due: dict[Job, float] = {}

    def run_due(self) -> bool:
        """Do each job that is due, whatever becomes of the others.

        What failed is logged, and is tried again by the next call. Returns False if anything failed.
        """
        now = time.monotonic()
        done = {job: _is_done(job) for job in _jobs if self._due.get(job, now) <= now}
        self._due |= {job: now + HOUR for job, is_done in done.items() if is_done}
        return all(done.values())


def _is_done(job: Job) -> bool:
    name = f"{job.__module__}.{job.__qualname__}"
    try:
        job()
    except DatabaseError as error:
        text = "The hourly job %s found no database (%s); it is tried again."
        logger.warning(text, name, type(error).__name__)
    except Exception:  # a defect of one job must not keep the others from being done
        logger.exception("The hourly job %s failed; it is tried again.", name)
    else:
        return True
    return False
