"""Settings, keys and files under which the portal must not start."""

import os
import secrets
import stat
import sys
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from pytest_django.fixtures import Settings

from credentials.keys.checks import matching_keyring
from portal.checks import safe_settings
from tests.factories import make_account
from tests.services.portal import ROOT, Portal
from tests.services.processes import Process

REFUSED = 3


def errors() -> set[str]:
    return {str(error.id) for error in safe_settings()}


@pytest.fixture
def _usual_umask() -> Iterator[None]:
    former = os.umask(0o022)
    yield
    os.umask(former)


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("ALLOWED_HOSTS", ["*"], "portal.E008"),
        ("ALLOWED_HOSTS", ["*.example.com"], "portal.E008"),
        ("TRUSTED_PROXY_HOPS", -1, "portal.E023"),
        ("METRICS_TOKEN", "short", "portal.E010"),
        ("IMS_BASE_URL", "http://ims.example.com", "portal.E007"),
        ("IMS_BASE_URL", "http://127.0.0.1.example.com", "portal.E007"),
        ("IMS_BASE_URL", "ftp://127.0.0.1", "portal.E007"),
    ],
)
def test_an_unsafe_setting_is_refused(settings: Settings, name: str, value: object, error: str) -> None:
    assert error not in errors()
    setattr(settings, name, value)
    assert error in errors()


def test_a_stand_in_for_adobe_without_tls_is_for_this_machine_alone(settings: Settings) -> None:
    settings.IMS_BASE_URL = "http://127.0.0.1:9"
    assert "portal.E007" not in errors()
    settings.HTTPS, settings.ALLOWED_HOSTS = True, ["portal.example.com"]
    assert "portal.E007" in errors()


def test_a_database_file_that_others_can_read_is_refused(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = tmp_path / "portal.sqlite3"
    sqlite = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(database)}
    monkeypatch.setitem(settings.DATABASES, "default", sqlite)
    database.touch(0o600)
    assert "portal.E004" not in errors()
    database.chmod(0o640)
    assert "portal.E004" in errors()


def test_start_listens_to_other_machines_only_behind_tls(settings: Settings) -> None:
    settings.HTTPS = False
    with pytest.raises(CommandError, match="TLS"):
        call_command("start", address="0.0.0.0")


@pytest.mark.django_db
def test_another_fingerprint_key_stops_the_start(settings: Settings) -> None:
    make_account()
    assert matching_keyring(databases=["default"]) == []
    settings.FINGERPRINT_KEY = "another key, which is long enough for one"
    assert [error.id for error in matching_keyring(databases=["default"])] == ["credentials.E003"]


@pytest.fixture
def portal_with_a_secret(tmp_path: Path, _usual_umask: None) -> Portal:
    home = tmp_path / "home"
    home.mkdir(mode=0o755)  # as an admin or an earlier command may have made it
    portal = Portal(home, {"BROKER_URL": "filesystem://localhost"})
    portal.prepare()
    ids = ["--organization", f"{'0A' * 12}@AdobeOrg", "--client-id", "0a" * 16]
    ids += ["--technical-account", f"{'0A' * 12}@techacct.adobe.com", "--secret-file", "-", "--no-check"]
    portal.manage("add_account", "Triggers", *ids, stdin="p8e-" + "Canary0-" * 4)
    return portal


def wrong_key() -> str:
    return urlsafe_b64encode(secrets.token_bytes(32)).decode()


def test_neither_worker_nor_web_server_starts_with_a_wrong_key(portal_with_a_secret: Portal) -> None:
    portal = portal_with_a_secret
    portal.environment["KEYRING"] = wrong_key()
    worker = ["celery", "-A", "portal", "worker", "--pool", "threads", "--concurrency", "1"]
    web = ["portal.webserver", "--bind", f"127.0.0.1:{portal.port}"]
    for command in (worker, web):
        argv = [sys.executable, "-m", *command]
        with Process(argv, log=portal.home / "refused.log", env=portal.environment, cwd=ROOT) as process:
            assert process.wait_for_exit(within=60) == REFUSED
            assert "cannot be decrypted" in process.output()


@pytest.mark.slow
def test_keys_may_move_into_files_of_their_own(portal_with_a_secret: Portal, tmp_path: Path) -> None:
    portal = portal_with_a_secret
    (portal.home / "keys").rename(tmp_path / "secrets")  # each file ends with a line break, as files do
    for name in ("SECRET_KEY", "KEYRING", "FINGERPRINT_KEY", "AUDIT_KEY"):
        portal.environment[f"{name}_FILE"] = str(tmp_path / "secrets" / name.lower())
    portal.manage("check", "--database", "default")
    portal.manage("verify_audit")


def test_what_a_run_writes_is_for_nobody_else(portal_with_a_secret: Portal) -> None:
    portal = portal_with_a_secret
    with portal.worker(), portal.web():
        pass
    ours = [path for path in portal.home.rglob("*") if not path.is_relative_to(portal.home / "static")]
    written = [path for path in ours if path.is_file() and path.suffix != ".log"]  # the test opens those
    assert {path.name for path in written} >= {"portal.sqlite3", "keyring"}
    assert [str(path) for path in written if stat.S_IMODE(path.stat().st_mode) & 0o077] == []
