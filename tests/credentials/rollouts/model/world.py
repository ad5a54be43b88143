"""The world around the portal: rows to begin with, containers, bells, workers, and a clock to be moved."""

import uuid
from contextlib import suppress
from datetime import timedelta

from django.db import connection, models, transaction
from django.db.models import F

from credentials import services
from credentials.models import (
    Assignment,
    ClientSecret,
    DesiredVersion,
    DesiredVersionChange,
    GoalChange,
    TechnicalAccount,
)
from credentials.rollouts.models import (
    Attempt,
    CandidateDigest,
    Duty,
    ProvenDigest,
    ProvenWrite,
    Push,
    Rollout,
    UntoldEnd,
)
from credentials.rollouts.versions import enter
from instances.discovery.models import Observation
from instances.models import Container, ExpectedHostKey, HostKey, Installation, Instance
from instances.visits import bells, visit
from portal.audit.append_only import protect_all, unprotect_all
from portal.audit.chain import kept_head
from portal.audit.models import FIRST, AuditEvent, AuditHead, seal
from portal.audit.trail import Actor
from portal.notices.models import Note
from portal.plaintext import Secret
from tests.credentials.rollouts.model.container import Process, Site
from tests.credentials.rollouts.model.workers import Until, Worker

PERSON = Actor("alice")
LAYOUT = {"one": ["shop", "mail"], "two": ["shop", "mail"]}
"""Containers and what is installed on them."""
ACCOUNTS = ("triggers", "analytics")
TABLES: list[type[models.Model]] = [
    CandidateDigest, ProvenDigest, ProvenWrite, Observation,
    DesiredVersion, DesiredVersionChange, GoalChange,
    Note, UntoldEnd, Attempt, Push, Rollout, Duty, Assignment, ClientSecret, TechnicalAccount, Installation,
    HostKey, ExpectedHostKey, Container, Instance, AuditEvent,
]  # fmt: skip
Key = tuple[str, str]


class World:
    """Everything that one run of the model acts on."""

    def __init__(self, workers: list[Worker]) -> None:
        self.workers = workers
        self.sites: dict[str, Site] = {}
        self.bells: list[str] = []
        self.broker_is_away = False
        self.seconds = 0
        self.set_back = 0
        self.versions: dict[str, uuid.UUID] = {}
        """Secret text as it is sent -> the version that it is."""

    def make(self, *, deterministic: bool, punctual: bool, shared_key: bool = False) -> None:
        """Empty the database, then fill it: every instance uses the first account."""
        _empty_database()
        visit.stopping.clear()
        instances = {name: Instance.objects.create(name=name) for name in ("mail", "shop")}
        for name, installed in LAYOUT.items():
            site = Site(
                name,
                installed,
                deterministic=deterministic,
                punctual=punctual,
                clock=lambda: self.seconds,
                key="shared" if shared_key else "",
            )
            self.sites[name] = site
            row = Container.objects.create(name=name, address=f"{name}.example")
            approve(row, site)
            Installation.objects.bulk_create(
                Installation(instance=instances[each], container=row) for each in installed
            )
        for name in ACCOUNTS:
            account = TechnicalAccount.objects.create(
                name=name,
                state="active",
                organization_id="0A1B2C3D4E5F60718293A4B5@AdobeOrg",
                client_id=f"client-{name}",
                technical_account_id=f"{name}@techacct.adobe.com",
            )
            self.new_secret(account)
        first = TechnicalAccount.objects.get(name=ACCOUNTS[0])
        services.assign(account=first, instances=instances.values(), actor=PERSON)

    def new_secret(self, account: TechnicalAccount) -> None:
        """Enter a secret, if there is room for another one, as the page does."""
        text = f"p8e-secret-{account.name}-{len(self.versions) + 1:04}"
        with suppress(services.AccountError):
            version, _is_new = enter(account=account, plaintext=Secret(text), actor=PERSON)
            self.versions[text] = version.pk

    def site_at(self, host: str) -> Site:
        return self.sites[host.removesuffix(".example")]

    @property
    def pending(self) -> list[Process]:
        """What goes on on the containers without any worker."""
        return [process for site in self.sites.values() for process in site.pending]

    def idle(self) -> Worker | None:
        return next((worker for worker in self.workers if worker.is_idle), None)

    def busy(self) -> list[Worker]:
        return [worker for worker in self.workers if not worker.is_idle]

    def answer(self, worker: Worker, container_id: str, until: Until) -> None:
        """Let a worker take a bell, as the task does."""

        def work() -> None:
            if visit.visit(uuid.UUID(container_id)):
                bells.ring([uuid.UUID(container_id)])

        worker.container_id = container_id
        worker.begin(work, until)

    def pass_time(self, seconds: int) -> None:
        """Move the clock: for the database that is to move every moment in it the other way."""
        self.seconds += max(seconds, 0)
        self.set_back += max(-seconds, 0)
        by = timedelta(seconds=seconds)
        with transaction.atomic():
            Container.objects.filter(lease_expires__isnull=False).update(
                lease_expires=F("lease_expires") - by
            )
            Container.objects.filter(rung__isnull=False).update(rung=F("rung") - by)
            Push.objects.update(due=F("due") - by, put_off=F("put_off") - by)
            Push.objects.exclude(unknown_since=None).update(unknown_since=F("unknown_since") - by)


def approve(row: Container, site: Site) -> None:
    """Let an admin approve the key that the container shows now."""
    key = site.host_key
    HostKey.objects.filter(container=row).exclude(fingerprint=key.fingerprint).update(state="revoked")
    HostKey.objects.update_or_create(
        container=row,
        fingerprint=key.fingerprint,
        defaults={"type": key.type, "base64": key.base64, "state": "approved"},
    )


def _empty_database() -> None:
    """Empty what the model fills, append-only tables too, and lay the audit chain anew."""
    with transaction.atomic(), connection.cursor() as cursor:
        unprotect_all(connection)
        tables = [model._meta.db_table for model in TABLES]
        if connection.vendor == "postgresql":  # rows of equal rank come in the order in which they lie
            cursor.execute(f"TRUNCATE {', '.join(tables)} CASCADE")
        else:
            for table in tables:
                cursor.execute(f"DELETE FROM {table}")
        protect_all(connection)
    kept_head.path().unlink(missing_ok=True)  # the history begins anew, and on purpose
    AuditHead.objects.update_or_create(
        pk=1, defaults={"seq": 0, "hash": FIRST, "seal": seal(f"head|0|{FIRST}")}
    )
