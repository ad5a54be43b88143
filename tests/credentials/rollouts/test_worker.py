"""Real Celery workers over real Redis that are killed, stopped, or robbed of their messages.

The workers share the tests' database, so each test looks at the rows and at the container's file.
"""

import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection

from credentials import services
from credentials.models import TechnicalAccount
from credentials.rollouts.models import Attempt, Push
from instances.models import Container, Instance
from portal.audit.models import AuditEvent
from portal.audit.trail import Actor
from tests.credentials.rollouts.conftest import FIRST, MakeSite, Site, Start
from tests.services.portal import Portal
from tests.services.processes import Process
from tests.services.redis_server import RedisServer

LEASE, INTERVAL, PATIENCE = 3, 0.5, 60  # seconds
QUEUE = "portal:bell"
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(240)]


def database_url() -> str:
    """The database of this test, as another process has to be told."""
    name = str(connection.settings_dict["NAME"])
    if connection.vendor == "sqlite":
        Path(name).chmod(0o600)  # the portal does not start on a database that others can read
        return f"sqlite:///{name}"
    return f"{os.environ['DATABASE_URL'].rpartition('/')[0]}/{name}"


@pytest.fixture
def portal(redis_server: RedisServer, tmp_path: Path) -> Portal:
    """Commands and workers on the tests' database and keys, and on an empty Redis."""
    redis_server.flush()
    (tmp_path / "portal").mkdir()
    return Portal(
        tmp_path / "portal",
        {
            "PORTAL_HOME": str(settings.PORTAL_HOME),
            "DATABASE_URL": database_url(),
            "SSH_KEY_PATH": str(settings.SSH_KEY_PATH),
            "BROKER_URL": redis_server.url(),
            "HTTPS": "False",
            "PUSH_LEASE": str(LEASE),
            "PUSH_LEASE_RENEWAL": "0.5",
            "RECONCILE_INTERVAL": str(INTERVAL),
        },
    )


@pytest.fixture
def assigned(account: TechnicalAccount, actor: Actor) -> Callable[[], TechnicalAccount]:
    """Make every instance use the account."""

    def assign() -> TechnicalAccount:
        services.assign(account=account, instances=Instance.objects.all(), actor=actor)
        return account

    return assign


def running(site: Site, action: str = "setimsoauth") -> bool:
    """Whether the container's nlserver is at work on this action."""
    events = [line["event"] for line in site.container.invocations(action)]
    return events.count("started") > events.count("ended")


def wait_for_end(worker: Process, *, within: float) -> None:
    """Wait until no push is open, and none is held."""

    def over() -> bool:
        return not Push.objects.open().exists() and not Container.objects.exclude(lease_token=None).exists()

    worker.wait_for(over, within=within, what="the end of every push")


def end_events() -> list[str]:
    return list(AuditEvent.objects.filter(action__startswith="push.").values_list("action", flat=True))


@pytest.mark.parametrize(
    ("fault", "action", "attempts"),
    [
        # the values had not been sent: pushed again
        pytest.param(
            "@pdump:slow=2*1", "pdump", [("push", "worker_lost"), ("push", "")], marks=pytest.mark.slow
        ),
        # they had, and nlserver went on without us: found by looking, and not sent twice
        ("slow=5*1", "setimsoauth", [("push", "no_report"), ("look", "")]),
    ],
)
def test_a_killed_worker_is_replaced_within_its_lease(
    portal: Portal,
    make_site: MakeSite,
    assigned: Callable[[], TechnicalAccount],
    fault: str,
    action: str,
    attempts: list[tuple[str, str]],
) -> None:
    site = make_site(faults=(fault,))
    assigned()
    with portal.worker("first") as first:
        portal.manage("rollout", "Triggers", "--unconfirmed")
        first.wait_for(lambda: running(site, action), within=120, what=f"{action} to run")
        first.kill()
    killed = time.monotonic()
    assert Push.objects.get().state == "running"
    with portal.worker("second") as second:
        wait_for_end(second, within=LEASE + PATIENCE)
    push = Push.objects.get()
    assert [(each.kind, each.code) for each in push.attempts.order_by("number")] == attempts
    assert (push.state, site.secret()) == ("succeeded", FIRST)
    assert [line["event"] for line in site.container.invocations()] == ["started", "ended"]
    assert not Attempt.objects.filter(finished=None).exists()
    assert time.monotonic() - killed < LEASE + PATIENCE


def test_an_emptied_redis_loses_no_push(
    portal: Portal,
    redis_server: RedisServer,
    make_site: MakeSite,
    assigned: Callable[[], TechnicalAccount],
) -> None:
    site = make_site()
    assigned()
    portal.manage("rollout", "Triggers", "--unconfirmed")
    with redis_server.client() as redis:
        assert redis.llen(QUEUE) == 1
    redis_server.flush()
    with portal.worker() as worker:
        wait_for_end(worker, within=120)
    assert (Push.objects.get().state, site.secret()) == ("succeeded", FIRST)


def test_a_redis_that_is_emptied_under_a_running_worker_loses_no_push(
    portal: Portal, redis_server: RedisServer, make_site: MakeSite, start: Start
) -> None:
    first, second = make_site("mkt-1"), make_site("mkt-2", instances=("prod2",))
    with portal.worker() as worker:
        start(first)  # its bell rings in the tests' own queue, where nobody listens
        wait_for_end(worker, within=120)
        redis_server.flush()
        start(second)
        wait_for_end(worker, within=120)
    assert (first.secret("prod1"), second.secret("prod2")) == (FIRST, FIRST)


def test_a_worker_that_is_told_to_stop_ends_its_push_and_leaves_the_rest_to_the_next(
    portal: Portal, make_site: MakeSite, assigned: Callable[[], TechnicalAccount]
) -> None:
    site = make_site(instances=("prod1", "prod2"), faults=("slow=5*1",))
    assigned()
    # On a busy machine the command takes longer to end than a push.
    with portal.worker("first") as first, ThreadPoolExecutor(1) as others:
        started = others.submit(portal.manage, "rollout", "Triggers", "--unconfirmed")
        first.wait_for(lambda: running(site), within=120, what="the first push to run")
        first.send(signal.SIGTERM)
        assert first.wait_for_exit(within=120) == 0
        started.result()
    done, left = Push.objects.get(state="succeeded"), Push.objects.get(state="queued")
    assert site.secret(done.installation.instance.name) == FIRST
    assert site.secret(left.installation.instance.name) != FIRST
    assert left.attempts.count() == 0
    assert Container.objects.get().lease_token is None  # the next one need not wait for it to expire
    with portal.worker("second") as second:
        wait_for_end(second, within=120)
    assert {site.secret("prod1"), site.secret("prod2")} == {FIRST}
    assert end_events() == ["push.succeeded"] * 2
