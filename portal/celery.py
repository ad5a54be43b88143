"""The Celery application: a doorbell, nothing more. See docs/decisions/0001-database-is-the-truth.md."""

import gc
import logging
import os

from celery import Celery
from celery.signals import (
    celeryd_after_setup,
    celeryd_init,
    setup_logging,
    worker_ready,
    worker_shutting_down,
)
from kombu.transport import TRANSPORT_ALIASES

from portal.processes.heartbeat import Heartbeat
from portal.processes.logs import nothing_but_json

logger = logging.getLogger(__name__)

TRANSPORT_ALIASES["filesystem"] = "portal.processes.file_broker:Transport"
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
app = Celery("portal")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.steps["worker"].add(Heartbeat)


@setup_logging.connect
def keep_our_logging(**_: object) -> None:
    """Keep the portal's LOGGING: Celery configures logging only where nothing is connected to this signal."""


@celeryd_init.connect
def log_all_that_is_said(**_: object) -> None:
    """Let also what Celery says past every log be log lines: `worker: Warm shutdown`, say."""
    from celery.apps import worker  # only a worker has it

    nothing_but_json()
    worker.safe_say = lambda text, *_stream: logger.info("%s", text)  # type: ignore[attr-defined]


@celeryd_after_setup.connect
def refuse_unsafe_worker(**_: object) -> None:
    """Stop a worker before it takes its first message, as the web server stops before its first request.

    One that may start gets its connections as workers need them.
    """
    from portal.processes.database import (
        hurry,
        prepare_statements,
    )  # both need Django set up, which celery has done now
    from portal.startup import refuse_unsafe_service

    os.umask(0o077)  # the file queue makes files of its own
    prepare_statements()
    worker_shutting_down.connect(hurry)
    refuse_unsafe_service(needed_keys=["ssh_key"])


@worker_ready.connect
def collect_garbage_less_often(**_: object) -> None:
    """Leave what stays for good out of collections: measured, 4 to 9 % of the processor time of a push."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(5_000, 20, 20)
