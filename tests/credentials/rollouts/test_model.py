"""A model of everything that can happen to pushes at once, and of what the portal promises whatever happens.

Hypothesis makes up sequences of events: rollouts, retries, cancellations, bells lost and doubled, workers
that are killed or stopped for longer than their lease, broken connections, databases that do not answer,
clocks set back, containers that write late, twice or not at all. After each event the promises are checked
against the rows and against the containers; at the end everything is mended, and every push must end.

The portal's own code runs on the real database: claim, lease, attempts, conversation, verdict, settlement,
reconciler, services. Several workers deliver at once, each a thread with a database connection of its own;
one at a time moves from one stopping point to the next, so a run depends on nothing but the sequence. Only
the containers are simulated, since thousands of steps over SSH would take hours: their sshd and the script,
with its lock, register and journal, behind `ssh.Connection.open`. `model/seams.py` holds all that is
replaced.

In the suite the examples are always the same, so that a failure comes from the change at hand; it is told
as it was found. `make model` searches anew, under a seed that it prints, and makes what it finds as short
as it can:

    make model EXAMPLES=500 SEED=7
"""

import os
import random
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from hypothesis import HealthCheck, Phase, seed
from hypothesis import settings as profile
from hypothesis.stateful import run_state_machine_as_test
from pytest_django.fixtures import Settings

from credentials.rollouts import settlement
from tests.credentials.rollouts.model import seams
from tests.credentials.rollouts.model.machine import Pushes
from tests.credentials.rollouts.model.workers import Worker

WORKERS = 3
EXAMPLES = int(os.environ.get("MODEL_EXAMPLES") or 0)
SEED = int(os.environ.get("MODEL_SEED") or 0) or random.SystemRandom().randrange(10**9)
BOUNDED = profile(
    max_examples=15,
    stateful_step_count=40,
    phases=(Phase.generate,),
    derandomize=True,
    database=None,
    deadline=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
DEEP = profile(BOUNDED, derandomize=False, max_examples=EXAMPLES or 1, phases=(Phase.generate, Phase.shrink))


@pytest.fixture
def _workers(transactional_db: None, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Threads for all examples of a run, and settings under which time passes only in the database."""
    # Looks that become rarer follow from how long ago something was, to the millisecond.
    monkeypatch.setattr(settlement, "PATIENCE", timedelta(days=3650))
    settings.PUSH_RETRY_DELAYS = [150, 600]
    settings.PUSH_LEASE = 1200
    settings.RECONCILE_INTERVAL = 60
    settings.PUSH_LEASE_RENEWAL = 0
    settings.PUSH_SECOND_LOOK = 1
    connection_created.connect(_hurry)
    _hurry(connection=connection)
    Pushes.workers = [Worker(f"worker {number}", seams.in_worker) for number in range(WORKERS)]
    for worker in Pushes.workers:
        worker.start()
    yield
    for worker in Pushes.workers:
        worker.leave()
    connection_created.disconnect(_hurry)


def _hurry(connection: BaseDatabaseWrapper, **_: object) -> None:
    """Do not wait for the disk: no power cut is simulated."""
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA synchronous=OFF")


@pytest.mark.slow
@pytest.mark.one_engine  # `make model` searches on both
@pytest.mark.usefixtures("_workers")
@pytest.mark.timeout(600 + 10 * EXAMPLES)
def test_promises_are_kept_whatever_happens() -> None:
    if EXAMPLES:
        print(f"MODEL_EXAMPLES={EXAMPLES} MODEL_SEED={SEED}")  # noqa: T201  # shown with a failure
        run_state_machine_as_test(seed(SEED)(Pushes), settings=DEEP)
    else:
        run_state_machine_as_test(Pushes, settings=BOUNDED)
