"""A proxy that the settings do not know of is noticed, once, from signs that strangers cannot make alone."""

import logging
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.core.checks import run_checks
from django.db import DatabaseError
from django.test import Client, RequestFactory
from pytest_django.fixtures import Settings

from portal.people import proxy
from portal.people.models import ProxySign

pytestmark = pytest.mark.django_db
FORWARDED = {"X-Forwarded-For": "198.51.100.1"}


@pytest.fixture(autouse=True)
def _nothing_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy, "_told", {})


def warnings() -> list[str]:
    found = run_checks(tags=["database"], databases=["default"])
    return [str(each) for each in found if each.id == "portal.W001"]


def test_it_is_told_once_in_the_log_in_the_check_and_on_the_admins_pages(
    as_admin: Client, as_helpdesk: Client, caplog: pytest.LogCaptureFixture
) -> None:
    assert not warnings()
    for _ in range(5):
        Client(REMOTE_ADDR="127.0.0.1").get("/login/", headers=FORWARDED)
    lines = [each for each in caplog.records if each.name == "portal.people.proxy"]
    assert [vars(each)["peer"] for each in lines] == ["127.0.0.1"]
    assert ["TRUSTED_PROXY_HOPS is 0" in each for each in warnings()] == [True]
    for url in ("/", "/users/", "/users/locks/"):
        assert b"A proxy that the portal does not know about" in as_admin.get(url).content
    assert b"A proxy that the portal" not in as_helpdesk.get("/").content


def test_it_goes_with_the_setting_or_after_a_day_without_signs(settings: Settings) -> None:
    with time_machine.travel(datetime(2026, 3, 1, tzinfo=UTC), tick=False) as clock:
        Client().get("/login/", headers=FORWARDED)
        assert len(warnings()) == 1
        settings.TRUSTED_PROXY_HOPS = 1
        assert not warnings()
        settings.TRUSTED_PROXY_HOPS = 0
        clock.shift(timedelta(days=1))
        assert not warnings()


@pytest.mark.parametrize(
    ("peer", "headers", "is_for_others", "sign"),
    [
        ("127.0.0.1", FORWARDED, False, "header"),
        ("172.18.0.2", {"Forwarded": "for=198.51.100.1"}, False, "header"),
        ("::1", {"X-Real-IP": "198.51.100.1"}, False, "header"),
        ("203.0.114.7", FORWARDED, True, ""),  # a stranger who writes the header by hand
        ("127.0.0.1", {}, True, "loopback"),  # a proxy that adds no header
        ("127.0.0.1", {}, False, ""),  # somebody tries the portal on their own machine
        ("10.0.0.7", {}, True, ""),
        ("", FORWARDED, True, ""),
    ],
)
def test_what_is_a_sign(
    settings: Settings, peer: str, headers: dict[str, str], is_for_others: bool, sign: str
) -> None:
    settings.CSRF_TRUSTED_ORIGINS = (
        ["https://portal.example.com"] if is_for_others else ["http://127.0.0.1:8000"]
    )
    assert proxy.sign_of(RequestFactory().get("/", headers=headers, REMOTE_ADDR=peer)) == sign


def test_with_trusted_hops_nothing_is_looked_for(settings: Settings) -> None:
    settings.TRUSTED_PROXY_HOPS = 1
    Client().get("/login/", headers=FORWARDED)
    assert not ProxySign.objects.exists()


def test_a_request_is_answered_while_the_sign_cannot_be_written(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    def away(**_: object) -> None:
        raise DatabaseError

    monkeypatch.setattr(ProxySign.objects, "update_or_create", away)
    assert Client().get("/login/", headers=FORWARDED).status_code == 200
    assert not proxy._told
