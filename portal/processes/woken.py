"""A thread of a worker that works when its bell rings, and at least once in every interval."""

import logging
import threading
from collections.abc import Callable
from contextlib import suppress

from celery import Task
from django.conf import settings
from django.db import DatabaseError, close_old_connections
from kombu.exceptions import KombuError, OperationalError

logger = logging.getLogger(__name__)
Work = Callable[[threading.Event], object]


def ring(task: "Task[[], None]") -> None:
    """Send a worker the message that rings such a bell. A lost one costs a worker's next look."""
    try:
        task.apply_async(ignore_result=True)
    except (KombuError, OperationalError, OSError) as error:
        logger.warning("The broker took no message (%s); a worker looks by itself.", type(error).__name__)


class Woken:
    """One such thread. A bell that is lost costs one `RECONCILE_INTERVAL`; a failure costs one as well."""

    def __init__(self, name: str, work: Work) -> None:
        """`work` does what there is to do; it ends early once the event that it is given is set."""
        self.bell = threading.Event()
        self.stopping = threading.Event()
        self._name, self._work = name, work

    def start(self, **_: object) -> None:
        """Begin; what Celery's signals tell is ignored."""
        threading.Thread(target=self._run, name=self._name, daemon=True).start()

    def stop(self, **_: object) -> None:
        """Begin nothing new."""
        self.stopping.set()
        self.bell.set()

    def _run(self) -> None:
        while not self.stopping.is_set():
            self.bell.clear()
            self._run_once()
            self.bell.wait(settings.RECONCILE_INTERVAL)

    def _run_once(self) -> None:
        try:
            self._work(self.stopping)
        except DatabaseError as error:
            text = "The thread %s found no database (%s); it tries again."
            logger.warning(text, self._name, type(error).__name__)
        except Exception:  # nothing else would do its work until the process starts anew
            logger.exception("The thread %s failed; it tries again.", self._name)
        finally:
            with suppress(DatabaseError):
                close_old_connections()
