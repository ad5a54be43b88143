"""An upgrade from the release that took a rewritten file for a proof: what was false is found and told."""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

import pytest
from django.apps.registry import Apps
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection, transaction
from django.db.migrations.executor import MigrationExecutor

from credentials.rollouts.models import Attempt, ProvenDigest, ProvenWrite, Push
from credentials.rollouts.services import held_versions
from instances.models import Installation
from portal.audit.append_only import make_way, unprotected
from portal.audit.chain.verification import verify
from portal.audit.models import AuditEvent
from portal.audit.trail import Actor, record

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

BEFORE, AFTER = ("rollouts", "0006_put_off"), ("rollouts", "0008_proofs_of_the_past")
VERSIONS = ("credentials", "0002_secrets_per_key")
EMPTY, V1, V2, OTHER = "", "1" * 64, "2" * 64, "3" * 64
LEAKED = "p8e-a-secret-that-a-container-sent-0001"
START = datetime(2026, 11, 1, tzinfo=UTC)


class Past:
    """Rows as the former release wrote them."""

    def __init__(self, apps: Apps) -> None:
        self.models = {
            name: apps.get_model(app, name)
            for app, names in {
                "instances": ("Instance", "Container", "Installation"),
                "credentials": ("TechnicalAccount", "ClientSecret"),
                "rollouts": ("Rollout", "Push", "Attempt", "ProvenWrite"),
            }.items()
            for name in names
        }
        self.account = self.make("TechnicalAccount", name="Triggers", state="active", client_id="client")
        self.secrets = {
            number: self.secret(number, "current" if number == 2 else "previous") for number in (1, 2)
        }
        self.number = 0

    def make(self, model: str, **values: object) -> Any:  # Any: a model of a migration
        return self.models[model].objects.create(**values)

    def secret(self, version: int, state: str) -> Any:
        return self.make(
            "ClientSecret",
            account=self.account,
            version=version,
            client_id="client",
            ciphertext=f"v1.key.{version}",
            fingerprint=f"fingerprint{version}",
            state=state,
            entered_by_name="alice",
        )

    def installation(self, name: str) -> Any:
        container = self.make("Container", name=name, address=f"{name}.example")
        return self.make(
            "Installation", container=container, instance=self.make("Instance", name=f"i-{name}")
        )

    def push(
        self,
        where: Any,
        version: int,
        before: str,
        after: str,
        *,
        state: str = "succeeded",
        code: str = "",
        kind: str = "push",
    ) -> Any:
        """One push with one attempt that ended so, and what the former release remembered of it."""
        self.number += 1
        self.models["Push"].objects.filter(installation=where).update(replaced=True)
        rollout = self.make(
            "Rollout",
            number=self.number,
            fence=self.number,
            secret=self.secrets[version],
            reason="rotation",
            requested_by_name="alice",
        )
        push = self.make(
            "Push", rollout=rollout, installation=where, container=where.container, state=state, code=code
        )
        started = START + timedelta(hours=self.number)
        self.make(
            "Attempt",
            push=push,
            number=1,
            kind=kind,
            cause="rollout",
            secret_version=version,
            secret_fingerprint=f"fingerprint{version}",
            lease_token=uuid.uuid4(),
            worker="w",
            started=started,
            finished=started,
            stage="done",
            verdict=state,
            code=code,
            exit_codes={"config": 0} if kind == "push" else {},
            before_digest=before,
            after_digest=after,
            output="as it was",
        )
        seen = {"observed_digest": after, "observed_client_id": "client"}
        self.models["Installation"].objects.filter(pk=where.pk).update(**seen)
        self.models["ProvenWrite"].objects.update_or_create(
            installation=where,
            defaults={"secret": self.secrets[version], "fence": self.number, "digest": after},
        )
        return push


def upgrade(write: Callable[[Past], None]) -> None:
    """Go back to the former release, let it write, and come forward again."""
    with transaction.atomic():
        make_way(connection)
    executor = MigrationExecutor(connection)
    executor.migrate([BEFORE, VERSIONS])
    executor = MigrationExecutor(connection)
    with patch("portal.no_secrets.has_secret", return_value=False):  # that release did not look
        write(Past(executor.loader.project_state([BEFORE, VERSIONS]).apps))
    with transaction.atomic():
        record("rollout.requested", actor=Actor("alice"), details={})
    call_command("migrate", verbosity=0)


def proofs() -> dict[str, str]:
    rows = Push.objects.values_list("container__name", "rollout__number", "attempts__proof")
    return {f"{name} {number}": proof for name, number, proof in rows}


@pytest.mark.slow
def test_a_false_success_of_the_past_is_found_and_nothing_else_is_lost() -> None:
    def write(past: Past) -> None:
        honest, liar, shared, lost = (
            past.installation(name) for name in ("honest", "liar", "shared", "lost")
        )
        past.push(honest, 1, EMPTY, V1)
        past.push(honest, 2, V1, V2)
        past.push(liar, 1, EMPTY, OTHER)
        past.push(liar, 2, OTHER, OTHER)  # rewritten, and still the first secret
        past.push(shared, 2, V2, V2)  # unchanged, but known from the honest one
        past.push(lost, 2, EMPTY, "4" * 64, kind="look")

    upgrade(write)
    assert proofs() == {
        "honest 1": "changed",
        "honest 2": "changed",
        "liar 3": "changed",
        "liar 4": "",
        "shared 5": "recognized",
        "lost 6": "",
    }
    unproven = Push.objects.unproven()
    assert {push.container.name for push in unproven} == {"liar", "lost"}
    held = {
        Installation.objects.get(pk=pk).container.name: secret.version
        for pk, secret in held_versions(Installation.objects.all()).items()
    }
    assert held == {"honest": 2, "shared": 2, "liar": 1}
    assert set(ProvenDigest.objects.values_list("digest", "secret__version")) == {
        (V1, 1),
        (V2, 2),
        (OTHER, 1),
    }
    assert Attempt.objects.filter(output="as it was").count() == 6
    event = AuditEvent.objects.get(action="portal.proofs_derived")
    assert event.details == {"scrubbed": 0, "unproven": 2, "proven": 4}
    assert verify().is_intact
    assert not unprotected(connection)
    with pytest.raises(Exception, match="append-only"), transaction.atomic():
        Attempt.objects.update(proof="changed")


@pytest.mark.slow
def test_a_digest_that_two_versions_claim_proves_neither() -> None:
    def write(past: Past) -> None:
        one, other = past.installation("one"), past.installation("other")
        past.push(one, 1, EMPTY, V1)
        past.push(other, 2, EMPTY, V1)

    upgrade(write)
    assert not ProvenDigest.objects.exists()
    assert not ProvenWrite.objects.exists()
    assert Push.objects.unproven().count() == 2


@pytest.mark.slow
def test_what_is_no_digest_is_removed_and_counted() -> None:
    def write(past: Past) -> None:
        where = past.installation("leaky")
        past.push(where, 1, "empty", f"{LEAKED}")
        past.push(where, 2, LEAKED, f"{V2},{LEAKED}", state="failed", code="not_applied")
        past.push(past.installation("two"), 2, V1, f"{V1},{V2}", state="failed", code="not_applied")

    upgrade(write)
    assert AuditEvent.objects.get(action="portal.proofs_derived").details["scrubbed"] == 5
    values = [*Attempt.objects.values_list("before_digest", "after_digest")]
    assert LEAKED not in str(values)
    assert ("", "") in values
    assert (V1, f"{V1},{V2}") in values
    assert set(Installation.objects.values_list("observed_digest", flat=True)) == {""}
    assert verify().is_intact


@pytest.mark.slow
def test_an_upgrade_of_an_empty_portal_says_nothing() -> None:
    upgrade(lambda past: None)
    assert not AuditEvent.objects.filter(action="portal.proofs_derived").exists()
    assert not User.objects.exists()
