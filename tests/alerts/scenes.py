"""How each alert comes about: what really happens to the portal, and how it is mended.

A scene is a function that brings the cause about, yields, and takes it away. `also` names what cannot be
avoided beside its alerts: a portal without a worker, say, has neither workers nor a reconciler.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

import psycopg
from psycopg.sql import SQL, Identifier, Literal

from tests.alerts.scale import Scale
from tests.alerts.site import Site
from tests.services.waiting import wait_until

PATIENCE = 120.0  # seconds for a state that is certain to come
OTHER = "0123456789abcdef0123456789abcdef"
NOBODY_WORKS = ("PortalNoWorkers", "PortalReconcilerStale")


@dataclass(frozen=True)
class Scene:
    """One cause, and the alerts that it must bring about."""

    cause: str
    alerts: tuple[str, ...]
    play: Callable[[Site], AbstractContextManager[None]]
    also: tuple[str, ...] = ()
    lasting: tuple[str, ...] = ()
    """Those of its alerts that look back over a day, and so outlast their cause."""


@dataclass
class Stage:
    """A portal and the scenes that happen to it, one after the other."""

    name: str
    scale: Scale
    prepare: Callable[[Site], None]
    scrape_seconds: int = 1
    scenes: list[Scene] = field(default_factory=list)

    def scene(
        self, cause: str, *alerts: str, also: tuple[str, ...] = (), lasting: tuple[str, ...] = ()
    ) -> Callable[[Callable[[Site], Iterator[None]]], None]:
        """Add a scene."""

        def add(play: Callable[[Site], Iterator[None]]) -> None:
            self.scenes.append(Scene(cause, alerts, contextmanager(play), also, lasting))

        return add


def complete(site: Site) -> None:
    """A portal that is well and was cared for."""
    site.routine()
    site.start_web()
    site.start_worker()


def without_worker(site: Site) -> None:
    site.routine()
    site.start_web()


def without_care(site: Site) -> None:
    site.start_web()
    site.start_worker()


def with_a_copy(site: Site) -> None:
    """A portal that is well, and a copy of its database as it is now."""
    site.routine()
    site.postgres.execute(SQL("CREATE DATABASE older TEMPLATE portal"))
    site.start_web()
    site.start_worker()


# Six seconds for a scrape where the database is away: the web server answers after five. Ages that are
# compared must stay well above that.
services = Stage("services", Scale(minutes=15), complete, scrape_seconds=6)
pushes = Stage("pushes", Scale(), without_worker, scrape_seconds=2)
care = Stage("care", Scale(minutes=15, hours=1500), without_care, scrape_seconds=6)
history = Stage("history", Scale(days=1500), with_a_copy, scrape_seconds=2)
STAGES = (services, pushes, care, history)


# A restart of the web server may take longer than what is left of five minutes.
@services.scene(
    "the only worker is frozen; the web server is restarted meanwhile",
    *NOBODY_WORKS,
    also=("PortalNotScraped",),
)
def _(site: Site) -> Iterator[None]:
    site.send("worker", signal.SIGSTOP)

    def pending() -> str:
        found = site.prometheus.alerts().get("PortalNoWorkers")
        return found.active_at if found else ""

    since = wait_until(pending, within=PATIENCE, what="PortalNoWorkers to be pending")
    site.stop("web")
    site.start_web()
    yield
    assert pending() == since, "the restart of the web server began the alert anew"
    site.send("worker", signal.SIGCONT)


@services.scene("Redis is away", "PortalBrokerAway")
def _(site: Site) -> Iterator[None]:
    site.redis.stop()
    yield
    site.redis.start()


@services.scene(
    "a table is missing, so a group of figures is", "PortalMetricMissing", also=("PortalFiguresMissing",)
)
def _(site: Site) -> Iterator[None]:
    site.execute("ALTER TABLE instances_otherportal RENAME TO gone")
    yield
    site.execute("ALTER TABLE gone RENAME TO instances_otherportal")


# What the web server no longer says is taken for old, and then for missing.
SILENT = ("PortalReconcilerStale", "PortalReconcilerNeverRan", "PortalMetricMissing")


@services.scene("the web server is stopped", "PortalNotScraped", also=SILENT)
def _(site: Site) -> Iterator[None]:
    site.stop("web")
    yield
    site.start_web()


@services.scene("PostgreSQL is stopped", "PortalFiguresMissing", also=SILENT)
def _(site: Site) -> Iterator[None]:
    site.postgres.stop()
    yield
    site.postgres.start()


@pushes.scene("a fresh database, and no worker", "PortalReconcilerNeverRan", also=("PortalNoWorkers",))
def _(site: Site) -> Iterator[None]:
    yield
    site.stock()
    site.start_worker()


@pushes.scene("a push is due, and the worker is stopped", "PortalPushesWait", also=NOBODY_WORKS)
def _(site: Site) -> Iterator[None]:
    site.stop("worker")
    site.portal.manage("rollout", "Triggers", "--unconfirmed")
    yield
    site.start_worker()
    wait_for_push(site, "succeeded")


@pushes.scene("a worker is killed in the middle of a push", "PortalLeasesExpired", also=NOBODY_WORKS)
def _(site: Site) -> Iterator[None]:
    begin_push(site)
    site.kill("worker")
    yield
    site.container.set_gates()
    site.start_worker()
    wait_for_push(site, "succeeded")


@pushes.scene(
    "a container dies in the middle of a push", "PortalUnknownNotSettled", also=("PortalPushesNeedAttention",)
)
def _(site: Site) -> Iterator[None]:
    begin_push(site)
    site.server.stop()
    site.container.set_gates()
    wait_for_push(site, "unknown")
    yield
    site.server.start()
    wait_until(lambda: last_push(site) != "unknown", within=PATIENCE, what="the push to be settled")
    if last_push(site) == "failed":
        retry(site)


@pushes.scene("a container refuses the login, so a push fails", "PortalPushesNeedAttention")
def _(site: Site) -> Iterator[None]:
    site.server.faults.refuse_login = True
    site.portal.manage("rollout", "Triggers", "--unconfirmed")
    wait_for_push(site, "failed")
    yield
    site.server.faults.refuse_login = False
    retry(site)


@pushes.scene(
    "another portal pushed to a container", "PortalAnotherPortal", also=("PortalPushesNeedAttention",)
)
def _(site: Site) -> Iterator[None]:
    fence = site.container.install_root / "nl6/var/campaign-portal/prod1.fence"
    fence.write_text(f"5 1\n{OTHER}\n")
    site.portal.manage("rollout", "Triggers", "--unconfirmed")
    wait_for_push(site, "failed")
    yield
    site.shell(TAKE_OVER)
    retry(site)


@care.scene(
    "a fresh database is neither saved nor verified", "PortalNeverBackedUp", "PortalAuditNeverVerified"
)
def _(site: Site) -> Iterator[None]:
    yield
    site.routine()


@care.scene("backup and verify_audit run no more", "PortalBackupOld", "PortalAuditNotVerified")
def _(site: Site) -> Iterator[None]:
    yield
    site.routine()


@care.scene("a lock holds every scrape up", "PortalScrapeSlow")
def _(site: Site) -> Iterator[None]:
    site.routine()
    with held_up(site, "instances_otherportal", seconds=2.5):
        yield


@history.scene("a trigger is dropped", "PortalAppendOnlyUnprotected")
def _(site: Site) -> Iterator[None]:
    site.execute("DROP TRIGGER audit_auditevent_no_update ON audit_auditevent")
    yield
    site.portal.manage("migrate", "--verbosity", "0")


@history.scene("an event is changed, and verify_audit finds it", "PortalAuditBroken")
def _(site: Site) -> Iterator[None]:
    site.shell(CHANGE.format(request_id="changed"))
    site.portal.manage("verify_audit", "--record", fails=True)
    yield
    site.shell(CHANGE.format(request_id=""))
    site.portal.manage("verify_audit", "--record")


@history.scene(
    "an event is changed, and somebody seals the break",
    "PortalAuditBreakSealed",
    lasting=("PortalAuditBreakSealed",),
)
def _(site: Site) -> Iterator[None]:
    site.shell(CHANGE.format(request_id="changed"))
    site.portal.manage("seal_audit_break", "--reason", "a rehearsal", "--yes")
    yield


@history.scene(
    "an older database is put in place",
    "PortalAuditWentBack",
    "PortalAuditSetBack",
    lasting=("PortalAuditWentBack",),
)
def _(site: Site) -> Iterator[None]:
    site.postgres.execute(SQL("ALTER DATABASE portal ALLOW_CONNECTIONS false"))
    site.postgres.execute(
        SQL("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'portal'")
    )
    wait_until(lambda: renames(site, "portal", "newer"), within=PATIENCE, what="everybody to be disconnected")
    assert renames(site, "older", "portal")
    yield
    site.portal.manage("accept_audit_head", "--reason", "a rehearsal")


CHANGE = """
from django.db import connection
from portal.audit.append_only import writable
from portal.audit.models import AuditEvent
with connection.schema_editor() as editor, writable(editor, "audit_auditevent"):
    AuditEvent.objects.filter(seq=1).update(request_id={request_id!r})
"""
TAKE_OVER = """
from django.db import transaction
from instances.models import OtherPortal
from instances.other_portals import take_over
from portal.audit.trail import Actor
other = OtherPortal.objects.get()
with transaction.atomic():
    take_over(installation=other.installation, last=other.last, actor=Actor("a rehearsal"))
"""
LAST_PUSH = """
SELECT p.state FROM rollouts_push p JOIN rollouts_rollout r ON r.id = p.rollout_id
ORDER BY r.number DESC LIMIT 1
"""


def last_push(site: Site) -> str:
    return str(site.value(LAST_PUSH))


def wait_for_push(site: Site, state: str) -> None:
    wait_until(lambda: last_push(site) == state, within=PATIENCE, what=f"the push to be {state}")


def begin_push(site: Site) -> None:
    """Start a rollout, and come back while nlserver waits in the middle of it."""
    seen = len(waiting(site))
    site.container.set_gates("setimsoauth")
    site.portal.manage("rollout", "Triggers", "--unconfirmed")
    wait_until(lambda: len(waiting(site)) > seen, within=PATIENCE, what="nlserver to be called")


def waiting(site: Site) -> list[dict[str, object]]:
    return [call for call in site.container.invocations() if call["event"] == "waiting"]


def retry(site: Site) -> None:
    """Retry the last rollout, as a person does once the cause is gone."""
    site.portal.manage("retry", str(site.value("SELECT max(number) FROM rollouts_rollout")))
    wait_for_push(site, "succeeded")


def renames(site: Site, old: str, new: str) -> bool:
    """Rename a database, and make it usable; false while somebody is still connected to it."""
    try:
        site.postgres.execute(SQL("ALTER DATABASE {} RENAME TO {}").format(Identifier(old), Identifier(new)))
    except psycopg.errors.ObjectInUse:
        return False
    site.postgres.execute(SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(Identifier(new)))
    return True


@contextmanager
def held_up(site: Site, table: str, *, seconds: float) -> Iterator[None]:
    """Lock a table, and let go for a moment whenever somebody has waited so long for it."""
    stop = threading.Event()

    def hold() -> None:
        waits = SQL("SELECT count(*) FROM pg_locks WHERE NOT granted AND now() - waitstart > interval {}")
        with (
            psycopg.connect(site.postgres.url()) as holder,
            psycopg.connect(site.postgres.url(), autocommit=True) as watcher,
        ):
            while not stop.is_set():
                with holder.transaction():
                    holder.execute(SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(Identifier(table)))
                    while not stop.wait(0.05):
                        row = watcher.execute(waits.format(Literal(f"{seconds} s"))).fetchone()
                        if row and row[0]:
                            break

    thread = threading.Thread(target=hold, name="lock")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(PATIENCE)
