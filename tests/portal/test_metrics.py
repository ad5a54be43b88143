"""`/metrics`: who may read it, that every figure is true, and that nothing that fails takes it away."""

import os
import signal
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings as configured
from django.db import DatabaseError, transaction
from django.test import Client
from django.utils import timezone
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as strict_families
from prometheus_client.parser import text_string_to_metric_families
from pytest_django.fixtures import DjangoAssertNumQueries, Settings

from credentials.rollouts.models import Duty, Push, Rollout
from instances.failures import Code
from instances.models import Container
from portal.audit.chain.verification import verify
from portal.audit.models import AuditHead
from portal.audit.services import record_verification
from portal.audit.trail import Actor
from portal.health import metrics, workers
from portal.health.models import Worker
from tests.credentials.rollouts.test_worker import database_url
from tests.factories import finish, make_rollout
from tests.services.portal import Portal
from tests.services.waiting import wait_until

TOKEN = "a-token-of-thirty-two-characters"
on_real_rows = pytest.mark.django_db(transaction=True)  # figures are read through another connection
Read = Callable[..., float | None]


def exposition(client: Client) -> str:
    response = client.get("/metrics")
    assert response.status_code == 200
    return response.content.decode()


@pytest.fixture
def read(client: Client) -> Read:
    """Scrape, and return one sample."""

    def read(name: str, **labels: str) -> float | None:
        found = [
            sample.value
            for family in text_string_to_metric_families(exposition(client))
            for sample in family.samples
            if sample.name == f"portal_{name}" and sample.labels == labels
        ]
        assert len(found) < 2
        return found[0] if found else None

    return read


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("header", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer "}, 401),
        ({"Authorization": f"Bearer {TOKEN}x"}, 401),
        ({"Authorization": f"Basic {TOKEN}"}, 401),
        ({"Authorization": "Bearer \xfc"}, 401),
        ({"Authorization": f"Bearer {TOKEN}"}, 200),
    ],
)
def test_with_a_token_it_is_the_token_that_counts(
    settings: Settings, header: dict[str, str], status: int
) -> None:
    settings.METRICS_TOKEN = TOKEN
    assert Client().get("/metrics", headers=header).status_code == status


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("peer", "header", "status"),
    [
        ("127.0.0.1", {}, 200),
        ("::1", {}, 200),
        ("10.1.2.3", {}, 403),
        ("", {}, 403),
        ("127.0.0.1", {"X-Forwarded-For": "10.1.2.3"}, 403),  # through a proxy on this machine
        ("127.0.0.1", {"X-Forwarded-For": "127.0.0.1"}, 403),
        ("127.0.0.1", {"Forwarded": "for=10.1.2.3"}, 403),
    ],
)
def test_without_a_token_only_this_machine_itself_may_read(
    peer: str, header: dict[str, str], status: int
) -> None:
    assert Client().get("/metrics", headers=header, REMOTE_ADDR=peer).status_code == status


@on_real_rows
def test_pushes_are_counted_by_state_and_code(read: Read) -> None:
    rollout = make_rollout(containers=("web1", "web2", "web3"))
    first, second, _ = rollout.pushes.all()
    finish(first, state="succeeded")
    finish(second, state="failed", code="timed_out")
    assert read("pushes", state="succeeded", code="") == 1
    assert read("pushes", state="failed", code="timed_out") == 1
    assert read("pushes", state="queued", code="") == 1
    assert read("pushes", state="unknown", code="") == 0
    assert read("open_pushes") == 1
    assert read("pushes_needing_attention") == 1
    assert read("rollouts_total") == 1
    assert read("audit_events_total") == AuditHead.objects.get().seq


@on_real_rows
def test_what_waits_too_long_shows(read: Read) -> None:
    assert (read("oldest_due_push_age_seconds"), read("oldest_unknown_push_age_seconds")) == (0, 0)
    queued, unknown = make_rollout(containers=("web1", "web2")).pushes.all()
    hour = timedelta(hours=1)
    Push.objects.filter(pk=queued.pk).update(due=timezone.now() - hour)
    finish(unknown, state="unknown")
    Push.objects.filter(pk=unknown.pk).update(due=timezone.now() + hour)
    assert read("oldest_due_push_age_seconds") == pytest.approx(3600, abs=60)
    assert 0 < (read("oldest_unknown_push_age_seconds") or 0) < 60
    Push.objects.filter(pk=queued.pk).update(due=timezone.now() + hour)
    assert read("oldest_due_push_age_seconds") == 0


@on_real_rows
def test_an_expired_lease_shows(read: Read) -> None:
    make_rollout()
    assert read("expired_leases") == 0
    token, ago = "00000000-0000-0000-0000-000000000001", timezone.now() - timedelta(seconds=1)
    Container.objects.update(lease_token=token, lease_expires=ago)
    assert read("expired_leases") == 1


@on_real_rows
def test_the_reconciler_is_missing_until_it_ran(read: Read) -> None:
    assert read("reconciler_last_run_timestamp_seconds") is None
    now = timezone.now()
    Duty.objects.create(name="reconcile", done=now)
    assert read("reconciler_last_run_timestamp_seconds") == pytest.approx(now.timestamp(), abs=0.001)


@on_real_rows
def test_the_last_verification_of_the_audit_trail_shows(read: Read) -> None:
    assert read("audit_verified_timestamp_seconds") is None
    event = record_verification(result=verify(), actor=Actor("a test"))
    assert read("audit_verified_timestamp_seconds") == pytest.approx(event.at.timestamp(), abs=0.001)
    assert read("audit_intact") == 1


@on_real_rows
def test_a_rollout_lasts_until_its_last_outcome(read: Read) -> None:
    rollout = make_rollout(containers=("web1", "web2"))
    first, second = rollout.pushes.all()
    finish(first, state="succeeded")
    assert read("rollout_seconds", quantile="1") is None
    finish(second, state="failed", code="timed_out")
    now = timezone.now()
    Rollout.objects.update(requested=now - timedelta(seconds=100))
    Push.objects.filter(pk=first.pk).update(finished=now - timedelta(seconds=50))
    Push.objects.filter(pk=second.pk).update(finished=now - timedelta(seconds=20))
    for quantile in ("0.5", "0.95", "1"):
        assert read("rollout_seconds", quantile=quantile) == pytest.approx(80)


@on_real_rows
def test_a_collector_that_fails_takes_no_other_with_it(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> Iterable[Metric]:
        raise DatabaseError("no such table, on db.example.com")

    assert read("up") == 1
    monkeypatch.setitem(metrics._collectors, "delays", fails)
    assert read("up") == 0
    assert read("collector_up", collector="delays") == 0
    assert read("collector_up", collector="pushes") == 1
    assert read("open_pushes") == 0
    assert read("oldest_due_push_age_seconds") is None


@on_real_rows
def test_labels_are_few_and_name_nothing(client: Client) -> None:
    rollout = make_rollout(containers=("secret-host-1", "secret-host-2"))
    for push in rollout.pushes.all():
        finish(push, state="failed", code="timed_out")
    text = exposition(client)
    known = {"state": {*Push.State.values}, "code": {"", *Code.values}, "quantile": {"0.5", "0.95", "1"}}
    known["collector"] = {*metrics._collectors}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if family.name != "portal_build_info":
                assert all(value in known[name] for name, value in sample.labels.items())
    assert "secret-host" not in text


@on_real_rows
def test_the_strict_format_is_valid_too(client: Client) -> None:
    make_rollout()
    accept = {"Accept": "application/openmetrics-text; version=1.0.0; charset=utf-8"}
    response = client.get("/metrics", headers=accept)
    assert response["Content-Type"].startswith("application/openmetrics-text")
    families = strict_families(response.content.decode())  # type: ignore[no-untyped-call]  # the library's
    names = {family.name for family in families}
    assert {"portal_up", "portal_pushes", "portal_audit_events"} <= names


@pytest.mark.django_db
def test_the_number_of_queries_does_not_grow(django_assert_max_num_queries: DjangoAssertNumQueries) -> None:
    for name in ("web1", "web2", "web3"):
        make_rollout(account=name, instance=name, containers=(name,))
    with django_assert_max_num_queries(38):  # two for each append-only table
        assert all(metrics._gather().works.values())


@pytest.mark.django_db
def test_only_a_worker_beats_and_it_begins_anew_after_a_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    workers.beat()
    assert not Worker.objects.exists()
    old = timezone.now() - timedelta(days=1)
    Worker.objects.create(name="host:1", started=old, seen=old, concurrency=1)
    Worker.objects.create(name="host:2", started=old, seen=old, concurrency=1)
    monkeypatch.setattr(workers, "me", workers._Me("host:1", 16))
    workers.beat()
    [worker] = Worker.objects.all()  # the other one vanished long ago
    assert (worker.name, worker.concurrency) == ("host:1", 16)
    assert worker.started > old
    workers.beat()
    assert Worker.objects.get().started == worker.started
    assert Worker.objects.get().seen >= worker.seen


def is_stopped_between_writes(pid: int) -> bool:
    """Stop a process; let it go on if that was in the middle of a write, which holds up everybody else."""
    os.kill(pid, signal.SIGSTOP)
    try:
        with transaction.atomic():
            Worker.objects.filter(name="nobody").update(concurrency=1)
    except DatabaseError:
        os.kill(pid, signal.SIGCONT)
        return False
    return True


@on_real_rows
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_workers_are_seen_until_they_leave_or_vanish(read: Read, tmp_path: Path, settings: Settings) -> None:
    settings.RECONCILE_INTERVAL = 1
    (tmp_path / "portal").mkdir()
    environment = {
        "PORTAL_HOME": str(configured.PORTAL_HOME),
        "DATABASE_URL": database_url(),
        "BROKER_URL": "filesystem://localhost",
        "HTTPS": "False",
    }
    portal = Portal(tmp_path / "portal", environment)
    with portal.worker("first") as first, portal.worker("second") as second:
        second.wait_for(lambda: read("workers") == 2, within=20, what="both workers to be seen")
        assert read("worker_slots") == 16
        portal.manage("worker_alive")
        second.wait_for(
            lambda: read("reconciler_last_run_timestamp_seconds"), within=20, what="a first reconciling"
        )
        first.send(signal.SIGTERM)
        second.wait_for(lambda: Worker.objects.count() == 1, within=20, what="the first one to leave")
        wait_until(
            lambda: is_stopped_between_writes(second.pid), within=60, what="a worker that writes nothing"
        )
        second.wait_for(lambda: read("workers") == 0, within=120, what="the second one to vanish")
        portal.manage("worker_alive", fails=True)
        os.kill(second.pid, signal.SIGCONT)
        second.wait_for(lambda: read("workers") == 1, within=20, what="the second one to be back")
