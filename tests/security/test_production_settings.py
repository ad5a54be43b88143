"""Production names what it needs: no silent default, no misspelled setting, no value that cannot be meant."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from portal import checks
from portal.environment import Environment, env
from tests.services.portal import ROOT

ENOUGH = {
    "ALLOWED_HOSTS": "portal.example.com",
    "BROKER_URL": "filesystem://localhost",
    "DATABASE_URL": "sqlite:////tmp/nowhere/portal.sqlite3",
    "TARGET_NETWORKS": "10.0.0.0/8",
    "TRUSTED_PROXY_HOPS": "1",
}


def found(settings: Settings) -> list[str]:
    """What the checks say, apart from the tests' own database, whose mode is that of the shell."""
    return [
        f"{each.id} {each.msg} {each.hint}" for each in checks.safe_settings() if each.id != "portal.E004"
    ]


@pytest.fixture
def production(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    settings.HTTPS, settings.ALLOWED_HOSTS = True, ["portal.example.com"]
    settings.ALLOW_LOOPBACK_TARGETS = False
    settings.TARGET_NETWORKS = ["10.0.0.0/8"]
    monkeypatch.setattr(env, "given", set(checks.REQUIRED))
    return settings


@pytest.mark.parametrize("name", checks.REQUIRED)
def test_production_gives_by_name_what_would_have_an_unsafe_default(
    production: Settings, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    assert found(production) == []
    monkeypatch.setattr(env, "given", set(checks.REQUIRED) - {name})
    [text] = found(production)
    assert text.startswith(f"portal.E021 {name} is not set: ")
    assert text.count(f"{name}=") == 2  # the usual line, and the one that asks for the default


def test_one_machine_alone_needs_none_of_them(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(env, "given", set[str]())
    assert found(settings) == []
    warned = checks.settings_of_a_deployment()
    assert {str(each.msg).split()[0] for each in warned} == set(checks.REQUIRED)
    assert not any(each.is_serious() for each in warned)  # `make start` runs these checks too


def test_a_name_that_resembles_a_setting_is_named(
    production: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(env, "given", set(checks.REQUIRED) - {"TARGET_NETWORKS"})
    monkeypatch.setenv("TARGET_NETWORK", "10.0.0.0/8")
    monkeypatch.setenv("METRICS_TOKEN_FIEL", "/run/secrets/metrics_token")
    monkeypatch.setenv("PUSH_PATIENCE", "5")
    texts = "\n".join(found(production))
    assert "Was TARGET_NETWORK meant to be TARGET_NETWORKS?" in texts
    assert "METRICS_TOKEN_FIEL is no setting of the portal, and is ignored. Was METRICS_TOKEN_FILE" in texts
    assert "PUSH_PATIENCE is no setting" in texts


@pytest.mark.parametrize(
    "name", ["DATABASE_URLS", "ALOWED_HOSTS", "TRUSTED_PROXY_HOP", "BROKERURL", "AUDIT_KEY_FLIE", "TIMEZONE"]
)
def test_near_misses_are_found(name: str) -> None:
    assert env.unknown([name])[name]


@pytest.mark.parametrize(
    "name",
    [
        *("PATH", "SESSION_MANAGER", "XDG_SESSION_ID", "HOSTNAME", "PYTHONPATH", "HTTPS_PROXY", "LOGNAME"),
        *("PORTAL_PORT", "PORTAL_SERVICE_HOST", "SSH_AUTH_SOCK", "AUDIT_KEY_FILE", "DATABASE_URL"),
    ],
)
def test_other_programs_variables_are_let_alone(name: str) -> None:
    assert env.unknown([name]) == {}


def test_every_setting_of_the_example_exists_and_every_setting_is_explained() -> None:
    text = (ROOT / ".env.example").read_text()
    explained = {name.removesuffix("_FILE") for name in re.findall(r"^(?:# )?([A-Z_]+)=", text, re.MULTILINE)}
    for_tests = {"STATIC_ROOT", "TEST_DATABASE_NAME", "ALLOW_LOOPBACK_TARGETS"}
    of_the_web_server = {"WEB_CONCURRENCY"}  # read before there are settings
    assert explained == (env.names - for_tests) | of_the_web_server


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("HTTPS", "flase", "HTTPS is neither True nor False."),
        ("PUSH_LEASE", "2m", "PUSH_LEASE is not a number."),
        ("METRICS_TOKEN_FILE", "/nowhere", "METRICS_TOKEN_FILE names a file that cannot be read"),
    ],
)
def test_a_value_that_is_not_understood_is_named_and_not_repeated(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, name: str, value: str, problem: str
) -> None:
    monkeypatch.setenv(name, value)
    here = Environment()
    (
        here.bool("HTTPS", default=False),
        here.int("PUSH_LEASE", default=1),
        here.str("METRICS_TOKEN", default=""),
    )
    monkeypatch.setattr(env, "problems", here.problems)
    [text] = [each for each in found(settings) if each.startswith("portal.E022")]
    assert problem in text
    assert value not in text


def test_an_empty_value_counts_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", " ")
    monkeypatch.setenv("PUSH_RETRY_DELAYS", "")
    here = Environment()
    assert here.str("DATABASE_URL", default="other") == "other"
    assert here.list("PUSH_RETRY_DELAYS", cast=int, default=[1]) == []
    assert here.given == set()


def test_a_value_may_begin_with_a_dollar_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library would take another variable's value instead."""
    monkeypatch.setenv("METRICS_TOKEN", "$HOME")
    assert Environment().str("METRICS_TOKEN", default="") == "$HOME"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PUSHES_PER_WORKER", 0),
        ("PUSH_RETRY_DELAYS", [15, -1]),
        ("SESSION_COOKIE_AGE", 0),
        ("PUSH_LEASE_RENEWAL", 100),
        ("READ_INTERVAL", 60),
        ("LOG_FORMAT", "jason"),
        ("LOG_LEVEL", "LOUD"),
        ("ADOBE_CA_BUNDLE", "/nowhere"),
        ("CSRF_TRUSTED_ORIGINS", ["https://*.example.com"]),
    ],
)
def test_a_value_out_of_range_is_refused(settings: Settings, name: str, value: object) -> None:
    assert found(settings) == []
    setattr(settings, name, value)
    [text] = found(settings)
    assert text.startswith(("portal.E022", "portal.E023", "portal.E008"))


def run(tmp_path: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    given = {"PATH": os.environ["PATH"], "PORTAL_HOME": str(tmp_path / "home"), **environment}
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=given, capture_output=True, text=True, timeout=120, check=False
    )


def test_a_migration_without_a_named_database_makes_neither_tables_nor_keys(tmp_path: Path) -> None:
    done = run(tmp_path, "migrate", **{**ENOUGH, "DATABASE_URL": "", "LOG_FORMAT": "jsn", "HTTPS": "yes"})
    assert done.returncode
    assert "DATABASE_URL is not set" in done.stderr
    assert "LOG_FORMAT is neither" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "home").glob("keys/*"))
    assert sum(file.stat().st_size for file in (tmp_path / "home").glob("*.sqlite3")) == 0
