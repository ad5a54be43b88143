"""The portal's side in this process: its rows, what people do, and what the database says just now."""

import uuid
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import psycopg
import time_machine
from django.db import DatabaseError, close_old_connections

from credentials import services
from credentials.models import ClientSecret, TechnicalAccount
from credentials.rollouts.models import Attempt, Push, Rollout
from credentials.rollouts.services import Retried, cancel_rollout, retry_pushes
from credentials.rollouts.starting import start_rollout
from instances.models import Container, HostKey, Installation, Instance
from portal.audit.chain.verification import verify
from portal.audit.trail import Actor
from portal.plaintext import Secret
from portal.sandbox.console import ConsoleAccount, make_secret
from tests.chaos.services import LEASE, Services
from tests.chaos.site import Site
from tests.factories import next_version

ADMIN, HELPDESK = Actor("chaos admin"), Actor("chaos helpdesk")
TOKEN = uuid.uuid4()
OPEN = ("queued", "running", "unknown")


@dataclass(frozen=True)
class PushRow:
    """One push as the database has it."""

    pk: uuid.UUID
    site: str
    instance: str
    rollout: int
    state: str
    code: str
    is_written: bool | None
    attempts: int
    stage: str
    """Of the unfinished attempt, empty if there is none."""

    @property
    def is_open(self) -> bool:
        return self.state in OPEN


@dataclass
class View:
    """The rows of one round at one moment; `owners` are process ids of the holders of leases."""

    pushes: list[PushRow] = field(default_factory=list)
    owners: dict[str, int] = field(default_factory=dict)

    def of(self, site: Site) -> list[PushRow]:
        return [push for push in self.pushes if push.site == site.name]

    def stage(self, site: Site) -> str:
        return next((push.stage for push in self.of(site) if push.stage), "")

    @property
    def is_quiet(self) -> bool:
        return not self.owners and not any(push.is_open for push in self.pushes)


class Desk:
    """What the suite knows and does as the portal's people."""

    def __init__(self, running: Services, sites: Sequence[Site]) -> None:
        self.services = running
        self.sites = sites
        self.secrets: dict[int, Secret] = {}
        self.rollouts: list[Rollout] = []
        self.console = ConsoleAccount()
        self.account = TechnicalAccount.objects.create(
            name="Chaos",
            state="active",
            organization_id=self.console.organization_id,
            client_id=self.console.client_id,
            technical_account_id=self.console.technical_account_id,
        )
        self.rows = {site.name: self._stock(site) for site in sites}
        services.assign(account=self.account, instances=Instance.objects.all(), actor=ADMIN)

    def _stock(self, site: Site) -> Container:
        row = Container.objects.create(
            name=site.name,
            address=site.proxy.host,
            port=site.proxy.port,
            login=site.login,
            install_root=str(site.container.install_root),
        )
        key = site.sshd.host_keys[0]
        HostKey.objects.create(
            container=row, type=key.type, base64=key.base64, fingerprint=key.fingerprint, state="approved"
        )
        for instance in site.instances:
            Installation.objects.create(instance=Instance.objects.create(name=instance), container=row)
        return row

    def new_rollout(self) -> Rollout:
        """Enter a new secret and start its rollout to every installation."""
        secret = make_secret()
        version = next_version(self.account, secret, actor=ADMIN)
        # The web server's clock is stepped with the database's: fences are made from it.
        stepped = datetime.now(UTC) + timedelta(seconds=self.services.clock.seconds)
        with time_machine.travel(stepped, tick=True):
            rollout = start_rollout(
                version=ClientSecret.objects.get(pk=version.pk),
                installations=Installation.objects.all(),
                reason="rotation",
                actor=ADMIN,
            )
        self.secrets[rollout.number] = secret
        self.rollouts.append(rollout)
        return rollout

    def cancel(self) -> int:
        return cancel_rollout(rollout=self.rollouts[-1], actor=ADMIN)

    def retry(self, states: Iterable[str] = ("failed", "unknown")) -> Retried:
        """Retry what stands on the helpdesk's page."""
        waiting = Push.objects.needing_attention().filter(state__in=list(states))
        return retry_pushes(push_ids=list(waiting.values_list("pk", flat=True)), actor=HELPDESK)

    def look(self, rollouts: Sequence[Rollout]) -> View | None:
        """Return what the database says, None while it does not answer."""
        try:
            return self._look(rollouts)
        except DatabaseError:
            with suppress(DatabaseError):
                close_old_connections()
            return None

    def _look(self, rollouts: Sequence[Rollout]) -> View:
        attempts: dict[uuid.UUID, list[str]] = {}
        for push, stage, finished in Attempt.objects.filter(push__rollout__in=rollouts).values_list(
            "push", "stage", "finished"
        ):
            attempts.setdefault(push, []).append("" if finished else stage)
        names = ("pk", "container__name", "installation__instance__name", "rollout__number")
        pushes = Push.objects.filter(rollout__in=rollouts).order_by("rollout__number", "pk")
        view = View()
        for pk, site, instance, rollout, state, code, written in pushes.values_list(
            *names, "state", "code", "is_written"
        ):
            stages = attempts.get(pk, [])
            stage = next((each for each in stages if each), "")
            view.pushes.append(PushRow(pk, site, instance, rollout, state, code, written, len(stages), stage))
        held = Container.objects.exclude(lease_token=None)
        for name, owner in held.values_list("name", "lease_owner"):
            view.owners[name] = int(owner.rpartition(":")[2] or 0)
        return view

    def reserve(self, site: Site) -> None:
        """Hold or keep a container like a busy worker, so that its pushes stay in the queue."""
        with suppress(DatabaseError):
            pk, lease = self.rows[site.name].pk, timedelta(seconds=LEASE)
            if not Container.objects.renew(pk, token=TOKEN, lease=lease):
                Container.objects.claim(pk, token=TOKEN, owner="chaos:0", lease=lease)

    def unreserve(self, site: Site) -> None:
        with suppress(DatabaseError):
            Container.objects.release(self.rows[site.name].pk, token=TOKEN)

    def longest_attempt(self, rollouts: Sequence[Rollout]) -> float:
        """Seconds of the longest attempt that its worker ended itself, on that worker's own clock."""
        found = Attempt.objects.filter(push__rollout__in=rollouts).exclude(seconds=None)
        return max((each or 0.0 for each in found.values_list("seconds", flat=True)), default=0.0)

    def longest_abandoned(self, rollouts: Sequence[Rollout]) -> float:
        """Seconds from the start of an attempt whose worker vanished to its end by somebody else, at most.

        On the database's clock: it must not have been stepped.
        """
        found = Attempt.objects.filter(push__rollout__in=rollouts, seconds=None).exclude(finished=None)
        times = [
            finished - started for started, finished in found.values_list("started", "finished") if finished
        ]
        return max((each.total_seconds() for each in times), default=0.0)

    def is_chain_whole(self) -> bool:
        return not verify().findings


class RowLock:
    """Holds a container's row as a slow database would: nobody can renew its lease until `release`.

    Rows that refer to it can be made meanwhile: a person's new rollout comes from this same thread.
    """

    def __init__(self, running: Services, row: Container) -> None:
        self._services = running
        self._connection = running.connect()
        self._connection.autocommit = False
        self._connection.execute(
            "SELECT 1 FROM instances_container WHERE id = %s FOR NO KEY UPDATE", [row.pk]
        )
        self._pid = self._connection.info.backend_pid

    def blocks(self) -> bool:
        """Whether somebody waits for it."""
        try:
            with self._services.connect() as connection:
                found = connection.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE %s = ANY(pg_blocking_pids(pid))", [self._pid]
                ).fetchone()
        except psycopg.Error:
            return False
        return bool(found and found[0])

    def release(self) -> None:
        with suppress(psycopg.Error):
            self._connection.rollback()
        self._connection.close()
