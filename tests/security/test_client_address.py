"""Whom the portal takes a request to come from: what a lock-out and the audit trail rest on."""

import pytest
from django.contrib.auth.models import User
from django.test import Client, RequestFactory
from pytest_django.fixtures import Settings

from portal.web.middleware import client_ip

PEER = "192.0.2.9"


def seen(settings: Settings, hops: int, forwarded: str | None) -> str:
    settings.TRUSTED_PROXY_HOPS = hops
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    return client_ip(RequestFactory().get("/", headers=headers, REMOTE_ADDR=PEER))


@pytest.mark.parametrize(
    ("hops", "forwarded", "address"),
    [
        (0, "198.51.100.1", PEER),
        (1, None, PEER),
        (1, "198.51.100.1", "198.51.100.1"),
        (1, "10.9.9.9, 198.51.100.1", "198.51.100.1"),
        (2, "10.9.9.9, 198.51.100.1, 10.0.0.1", "198.51.100.1"),
        (2, "198.51.100.1", PEER),
        # some proxies add the port, or brackets
        (1, "198.51.100.1:50123", "198.51.100.1"),
        (1, "[2001:db8::1]:443", "2001:db8::1"),
        (1, "2001:DB8::1", "2001:db8::1"),
        (1, "no address", PEER),
        (1, "unknown", PEER),
        (1, "1.2.3.4' OR 1=1", PEER),
    ],
)
def test_the_client_is_the_peer_or_what_the_trusted_proxy_reports(
    settings: Settings, hops: int, forwarded: str | None, address: str
) -> None:
    assert seen(settings, hops, forwarded) == address


def fail_to_sign_in(forwarded: str) -> int:
    answer = Client(raise_request_exception=False).post(
        "/login/", {"username": "alice", "password": "wrong"}, headers={"X-Forwarded-For": forwarded}
    )
    return answer.status_code


def test_a_port_that_changes_does_not_lift_the_lock(admin: User, settings: Settings) -> None:
    settings.TRUSTED_PROXY_HOPS = 1
    assert [fail_to_sign_in(f"198.51.100.1:{port}") for port in range(5001, 5007)][-1] == 429


def test_a_made_up_header_does_not_lift_the_lock_where_no_proxy_is_trusted(admin: User) -> None:
    assert [fail_to_sign_in(f"198.51.100.{last}") for last in range(1, 7)][-1] == 429


def test_a_forwarded_address_that_is_none_breaks_nothing(admin: User, settings: Settings) -> None:
    settings.TRUSTED_PROXY_HOPS = 1
    assert fail_to_sign_in("garbage") == 200
