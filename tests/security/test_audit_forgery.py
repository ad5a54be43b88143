"""What somebody with a database connection could do to the audit trail beyond changing and deleting."""

import json
from datetime import UTC, datetime

import pytest
from django.core.checks import CheckMessage
from django.db import DatabaseError, connection, transaction
from django.test import Client
from pytest_django.fixtures import Settings

from portal.audit.chain.verification import verify
from portal.audit.checks import matching_audit_key
from portal.audit.export import safe
from portal.audit.models import AuditEvent
from portal.audit.trail import Actor, record
from tests.factories import finish, make_rollout

pytestmark = pytest.mark.django_db
SOMEBODY = Actor("somebody")
CANARY = "p8e-Canary0Canary0Canary0Canary0Cana"


@pytest.fixture(autouse=True)
def _three_events() -> None:
    for number in range(3):
        record("push.failed", actor=SOMEBODY, details={"number": number})


def key_errors() -> list[CheckMessage]:
    return matching_audit_key(databases=["default"])


@pytest.mark.parametrize("seq", [0, -1])
def test_an_event_forged_before_the_beginning_is_found(seq: int) -> None:
    forged = AuditEvent(
        seq=seq, at=datetime(2020, 1, 1, tzinfo=UTC), actor_name="alice", action="push.retried"
    )
    forged.prev_hash = forged.hash = "0" * 64
    forged.save(force_insert=True)
    assert [(finding.seq, finding.problem) for finding in verify().findings] == [
        (seq, "comes before the beginning of the chain")
    ]


def overwrite(table: str, key: str, column: str) -> None:
    """Write the rows of a table over themselves with another value, in the way each database has for that."""
    if connection.vendor == "postgresql":
        columns, values = "", "*"
        ending = f"ON CONFLICT ({key}) DO UPDATE SET {column} = 'forged'"
    else:
        with connection.cursor() as cursor:
            names = [each.name for each in connection.introspection.get_table_description(cursor, table)]
        columns, ending = f"({', '.join(names)})", ""
        values = ", ".join("'forged'" if name == column else name for name in names)
    verb = "INSERT INTO" if ending else "REPLACE INTO"
    with connection.cursor() as cursor:
        cursor.execute(f"{verb} {table} {columns} SELECT {values} FROM {table} {ending}")


def test_an_event_cannot_be_replaced_by_another_with_its_number() -> None:
    before = AuditEvent.objects.get(seq=2).hash
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        overwrite("audit_auditevent", "seq", "actor_name")
    assert AuditEvent.objects.get(seq=2).hash == before


def test_a_finished_attempt_cannot_be_replaced_by_another_with_its_number() -> None:
    push = make_rollout().pushes.get()
    finish(push, state="failed", code="timed_out")
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        overwrite("rollouts_attempt", "id", "code")
    assert push.attempts.get().code == "timed_out"


def test_another_audit_key_stops_the_start(settings: Settings) -> None:
    assert key_errors() == []
    settings.AUDIT_KEY = "another key, which is long enough for one"
    assert [error.id for error in key_errors()] == ["audit.E001"]


def test_an_empty_trail_needs_no_particular_audit_key() -> None:
    with transaction.atomic():
        for event in ("insert", "update", "delete"):
            on = " ON audit_auditevent" if connection.vendor == "postgresql" else ""
            connection.cursor().execute(f"DROP TRIGGER IF EXISTS audit_auditevent_no_{event}{on}")
        AuditEvent.objects.all()._raw_delete("default")
        assert key_errors() == []


def test_a_search_for_a_secret_is_recorded_without_it(as_auditor: Client) -> None:
    as_auditor.get("/history/", {"text": CANARY}, follow=True)
    event = AuditEvent.objects.get(action="history.read")
    assert CANARY not in json.dumps(event.details)
    assert verify().is_intact


@pytest.mark.parametrize("cell", ["\n=1+1", "\uff1d1+1", "\uff0b1", "\uff0d1", "\uff20A1"])
def test_exported_cells_are_no_formulas_in_other_writings_either(cell: str) -> None:
    assert safe(cell) == f"'{cell}"
