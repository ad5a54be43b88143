"""*Scan all*: the host keys of every container that has no approved one, scanned by the workers.

The rows are the work. A worker that looks for work takes a row by compare-and-set; a row that a vanished
worker took is taken again. Connections are made by threads that need no database, so that one connection to
it is enough.
"""

import logging
import threading
from collections.abc import Collection
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, IntegrityError, transaction
from django.db.models import Count, Q, QuerySet
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from instances import ssh
from instances.failures import Code, explain
from instances.models import Container, KeyScan
from instances.reaching import host_keys, jump_hosts
from portal.audit.trail import Actor, record
from portal.processes.woken import Woken

logger = logging.getLogger(__name__)

AT_ONCE = 24
ABANDONED = timedelta(seconds=90)
"""A scan takes 12 seconds; a worker that has not stored its outcome after this time never will."""
PORTAL_KEY, INTERNAL = "portal_key", "internal"
State = KeyScan.State


def without_key() -> QuerySet[Container]:
    """Return the containers in use that have no approved host key."""
    return host_keys.without_approved(Container.objects.in_use())


def start(*, actor: Actor) -> bool:
    """Ask for a scan of every container without an approved key; False if one is under way already.

    What the last one brought is forgotten, but for the keys themselves.
    """
    try:
        with transaction.atomic():
            if is_under_way():
                return False
            KeyScan.objects.all().delete()
            rows = [
                KeyScan(container=container, asked_by=actor.name, person=actor.user)
                for container in without_key().only("pk")
            ]
            KeyScan.objects.bulk_create(rows, batch_size=500)
            record("host_key.scan_requested", actor=actor, details={"containers": len(rows)})
    except IntegrityError:  # somebody else asked at the same moment
        return False
    return True


def stop(*, actor: Actor) -> int:
    """Take back what nobody has begun; return for how many containers. What is under way ends by itself."""
    with transaction.atomic():
        count = KeyScan.objects.filter(state=State.WAITING).update(state=State.STOPPED)
        if count:
            record("host_key.scan_stopped", actor=actor, details={"containers": count})
    return count


def is_under_way() -> bool:
    """Whether a scan of all waits or works."""
    return KeyScan.objects.filter(state__in=KeyScan.OPEN).exists()


def counts() -> dict[str, int]:
    """Return how many containers of the last scan of all are in which state."""
    return dict(KeyScan.objects.order_by().values_list("state").annotate(count=Count("*")))


def is_nobody_working() -> bool:
    """Whether containers wait and none was taken for a while: the worker may not run."""
    late = Now() - timedelta(seconds=max(30, settings.RECONCILE_INTERVAL * 3))
    lately = Q(taken__gte=late) | Q(state=State.WAITING, asked__gte=late)
    return is_under_way() and not KeyScan.objects.filter(lately).exists()


def why_failed(scan: KeyScan) -> str:
    """Return why a container could not be scanned, or not to the end, in words."""
    if scan.code == PORTAL_KEY:
        return _("The jump host asks for the portal's SSH key, which cannot be used: see Portal's SSH key.")
    if scan.code not in Code.values:
        return _("There was an error in the portal. Its log has the details.")
    text = f"{Code(scan.code).label}. {explain(scan.code).cause}"
    if scan.state == State.DONE:
        text = _("The server could not be asked for its other key types; what was seen is kept. %s") % text
    via = jump_hosts.in_words(scan.container)
    return text + " " + _("The connection goes through the jump host %s.") % via if via else text


def work(stopping: threading.Event) -> None:
    """Scan what waits until nothing does, or until `stopping` is set; then give back what was not begun."""
    flying: dict[Future[Any], KeyScan] = {}  # Any: whatever `host_keys.ask` returns
    pool = ThreadPoolExecutor(AT_ONCE, "key-scan")
    try:
        while not stopping.is_set():
            for scan in _take(AT_ONCE - len(flying), flying.values()):
                flying[pool.submit(host_keys.ask, scan.container)] = scan
            if not flying:
                return
            done, _others = wait(flying, timeout=1, return_when=FIRST_COMPLETED)
            for future in done:
                _store(flying[future], future)
                del flying[future]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        if flying:
            left = KeyScan.objects.filter(pk__in=[scan.pk for scan in flying.values()], state=State.RUNNING)
            left.update(state=State.WAITING, taken=None)


def _take(number: int, flying: Collection[KeyScan]) -> list[KeyScan]:
    """Take rows that wait, or that somebody took and vanished, few at once behind one jump host."""
    vanished = Q(taken__lt=Now() - ABANDONED) | Q(taken__gt=Now() + ABANDONED)  # the clock was set back
    open_rows = KeyScan.objects.filter(Q(state=State.WAITING) | Q(vanished, state=State.RUNNING))
    rows = open_rows.select_related("container__jump_host", "person").order_by("pk")
    taken: list[KeyScan] = []
    for scan in _spread(rows, flying):
        if len(taken) == number:
            break
        same = KeyScan.objects.filter(pk=scan.pk, state=scan.state, taken=scan.taken)
        if same.update(state=State.RUNNING, taken=Now()):
            taken.append(scan)
    return taken


def _spread(rows: QuerySet[KeyScan], flying: Collection[KeyScan]) -> list[KeyScan]:
    """Return rows so that no jump host gets more connections at once than pushes may make through it."""
    used: dict[UUID | None, int] = {}
    for scan in flying:
        used[scan.container.jump_host_id] = used.get(scan.container.jump_host_id, 0) + 1
    full = [host for host, count in used.items() if host and count >= settings.PUSHES_PER_JUMP_HOST]
    found: list[KeyScan] = []
    for scan in rows.exclude(container__jump_host__in=full)[: AT_ONCE * 4]:
        host = scan.container.jump_host_id
        if host and used.get(host, 0) >= settings.PUSHES_PER_JUMP_HOST:
            continue
        used[host] = used.get(host, 0) + 1
        found.append(scan)
    return found


def _store(scan: KeyScan, future: Future[Any]) -> None:  # Any: as `work` has it
    try:
        shown = future.result()
        host_keys.store_scan(container=scan.container, shown=shown, actor=Actor(scan.asked_by, scan.person))
    except ssh.SSHError as error:
        _end(scan, State.FAILED, error.code)
    except (OSError, ssh.UnusableKey):
        _end(scan, State.FAILED, PORTAL_KEY)
    except Container.DoesNotExist:
        pass  # removed since, and this row with it
    except DatabaseError:
        raise
    except Exception:
        logger.exception("A scan of host keys failed.")
        _end(scan, State.FAILED, INTERNAL)
    else:
        _end(scan, State.DONE, shown.error.code if shown.error else "")


def _end(scan: KeyScan, state: str, code: str = "") -> None:
    KeyScan.objects.filter(pk=scan.pk, state=State.RUNNING).update(state=state, code=code)


scanner = Woken("key-scanner", work)
