"""`/healthz` and `/readyz`, asked as probes ask: by any host name, over plain HTTP, signed in nowhere."""

import http.client
import json
import os
import secrets
import signal
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families
from pytest_django.fixtures import Settings

from credentials.keys.keyring import Keyring
from portal.health import metrics, readiness
from portal.plaintext import Secret
from tests.factories import make_account
from tests.services.portal import Portal
from tests.services.postgres_server import PostgresServer, reason_against_postgres
from tests.services.processes import descendants
from tests.services.programs import require, unavailable
from tests.services.redis_server import RedisServer
from tests.services.waiting import wait_until

ALL_OK = {"database": "ok", "migrations": "ok", "broker": "ok", "keys": "ok", "keyring": "ok"}
on_real_rows = pytest.mark.django_db(transaction=True)  # a check looks through a connection of its own


def test_a_live_process_says_so_without_a_database(client: Client) -> None:
    response = client.get("/healthz")
    assert (response.status_code, response.content) == (200, b"ok\n")


@pytest.mark.parametrize("path", ["/healthz", "/metrics"])
def test_probes_are_answered_by_any_name_over_plain_http_and_kept_nowhere(
    settings: Settings, path: str
) -> None:
    settings.ALLOWED_HOSTS, settings.SECURE_SSL_REDIRECT = ["portal.example.com"], True
    response = Client(raise_request_exception=False).get(path, headers={"host": "10.1.2.3:8000"})
    assert response.status_code == 200
    assert response["Cache-Control"] == "no-store"
    assert not response.cookies
    assert Client().head(path).status_code == 200
    assert Client().post(path).status_code == 405


@on_real_rows
def test_a_portal_that_lacks_nothing_is_ready(client: Client) -> None:
    make_account()
    response = client.get("/readyz", headers={"host": "10.1.2.3"})
    assert (response.status_code, response.json()) == (200, ALL_OK)
    assert client.post("/readyz").status_code == 405


@pytest.fixture(autouse=True)
def _nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reason is logged once a minute, and tests are faster than that."""
    monkeypatch.setattr(readiness, "_said", {})


def failed(client: Client) -> set[str]:
    response = client.get("/readyz")
    states = response.json()
    assert response.status_code == (503 if "failed" in states.values() else 200)
    assert states.keys() == ALL_OK.keys()
    assert set(states.values()) <= {"ok", "failed"}
    return {name for name, state in states.items() if state == "failed"}


@on_real_rows
def test_a_key_ring_that_does_not_open_the_secrets_is_not_ready(
    client: Client, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    make_account()
    settings.KEYRING = urlsafe_b64encode(secrets.token_bytes(32)).decode()
    assert failed(client) == {"keys", "keyring"}
    assert "lacks keys that stored secrets need" in str([vars(each).get("reason") for each in caplog.records])


@on_real_rows
def test_an_unreadable_key_ring_is_not_ready(client: Client, settings: Settings) -> None:
    settings.KEYRING = "no key"
    assert failed(client) == {"keys", "keyring"}


@on_real_rows
def test_no_secret_is_decrypted_for_a_probe(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = make_account()
    damaged = (secret.ciphertext or "")[:-8] + "AAAAAAA="  # a start would find it
    type(secret).objects.filter(pk=secret.pk).update(ciphertext=damaged)
    opened: list[str] = []
    monkeypatch.setattr(Keyring, "decrypt", lambda *_: opened.append("decrypted"))
    monkeypatch.setattr(Secret, "reveal", lambda *_: opened.append("revealed"))
    assert client.get("/readyz").json() == ALL_OK
    assert opened == []


@on_real_rows
def test_a_missing_migration_is_not_ready(client: Client) -> None:
    row = MigrationRecorder.Migration.objects.get(app="health", name="0001_initial")
    row.delete()
    try:
        assert failed(client) == {"migrations"}
    finally:
        row.save(force_insert=True)


@on_real_rows
def test_a_queue_folder_that_is_gone_is_not_ready(client: Client, settings: Settings, tmp_path: Path) -> None:
    settings.QUEUE = tmp_path / "gone"
    assert failed(client) == {"broker"}


BUSY = 15
"""Seconds that a busy machine may add; who really waits for a frozen database waits twenty and more."""


def ask(portal: Portal, path: str) -> tuple[int, str, float]:
    """Ask a running web server as a probe does; return status, body and how long it took."""
    started = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", portal.port, timeout=30)
    connection.request("GET", path, headers={"Host": "10.1.2.3"})
    response = connection.getresponse()
    body = response.read().decode()
    connection.close()
    return response.status, body, time.monotonic() - started


def not_ready(portal: Portal) -> set[str]:
    status, body, seconds = ask(portal, "/readyz")
    states: dict[str, str] = json.loads(body)
    missing = {name for name, state in states.items() if state == "failed"}
    assert status == (503 if missing else 200)
    assert seconds < readiness.PATIENCE + BUSY
    assert not any(word in body for word in ("127.0.0.1", "Error", "timeout"))
    return missing


def wait_until_ready(portal: Portal) -> None:
    wait_until(lambda: not not_ready(portal), within=60, what="ready again")


@contextmanager
def frozen(pid: int | None) -> Iterator[None]:
    """A server that takes connections and never answers, as behind a firewall that drops everything."""
    assert pid
    family = [pid, *descendants(pid)]
    for each in family:
        os.kill(each, signal.SIGSTOP)
    try:
        yield
    finally:
        for each in family:
            os.kill(each, signal.SIGCONT)


@pytest.fixture
def servers() -> Iterator[tuple[PostgresServer, RedisServer]]:
    """Servers of this test's own, for it stops them."""
    if reason := reason_against_postgres():
        unavailable(reason)
    with PostgresServer() as postgres, RedisServer(program=require("redis-server")) as redis:
        yield postgres, redis


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_running_portal_says_what_it_lacks_and_never_hangs(
    tmp_path: Path, servers: tuple[PostgresServer, RedisServer]
) -> None:
    postgres, redis = servers
    urls = {"DATABASE_URL": postgres.create_database("portal"), "BROKER_URL": redis.url()}
    production = {"ALLOWED_HOSTS": "portal.example.com", "ALLOW_LOOPBACK_TARGETS": "False"}
    production |= {"TARGET_NETWORKS": "10.0.0.0/8", "TRUSTED_PROXY_HOPS": "1"}
    portal = Portal(tmp_path, {**urls, **production})
    portal.prepare()
    with portal.web():
        ask(portal, "/healthz")  # the socket listens before a process serves
        assert not_ready(portal) == set()
        assert up(portal) == 1
        with frozen(redis.pid):
            assert [not_ready(portal) for _ in range(2)] == [{"broker"}] * 2
        wait_until_ready(portal)
        redis.stop()
        assert not_ready(portal) == {"broker"}
        redis.start()
        wait_until_ready(portal)
        with frozen(postgres.pid):
            assert not_ready(portal) == {"database", "migrations", "keys", "keyring"}
            assert up(portal) == 0
            status, _, seconds = ask(portal, "/healthz")
            assert (status, seconds < 20) == (200, True)  # who waited for the database would wait for ever
        wait_until_ready(portal)
        postgres.stop()
        assert {"database", "migrations"} <= not_ready(portal)
        assert up(portal) == 0
        postgres.start()
        wait_until_ready(portal)
        wait_until(lambda: up(portal) == 1, within=60, what="figures again")


def up(portal: Portal) -> float | None:
    status, body, seconds = ask(portal, "/metrics")
    assert status == 200
    assert seconds < metrics.PATIENCE + BUSY
    [value] = [
        sample.value
        for family in text_string_to_metric_families(body)
        for sample in family.samples
        if sample.name == "portal_up"
    ]
    return value


def test_a_head_request_leaves_its_connection_usable(tmp_path: Path) -> None:
    portal = Portal(tmp_path, {"BROKER_URL": "filesystem://localhost"})
    portal.prepare()
    with portal.web():
        connection = http.client.HTTPConnection("127.0.0.1", portal.port, timeout=30)
        for path in ("/healthz", "/readyz", "/metrics"):
            for method in ("HEAD", "GET"):
                connection.request(method, path)
                response = connection.getresponse()
                assert (response.status, bool(response.read())) == (200, method == "GET")
        connection.close()
