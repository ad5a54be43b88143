"""Signing in and out: what is recorded, and the lock after wrong passwords."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from portal.audit.models import AuditEvent
from portal.people.models import FailedSignIns

pytestmark = pytest.mark.django_db
PASSWORD = "a long enough password"


def sign_in(name: str, password: str, ip: str = "10.0.0.1") -> int:
    response = Client(REMOTE_ADDR=ip).post("/login/", {"username": name, "password": password})
    return response.status_code


def recorded() -> list[tuple[str, str, str]]:
    events = AuditEvent.objects.filter(action__startswith="sign_in.").order_by("seq")
    return [(event.action, event.actor_name, event.ip) for event in events]


def test_a_sign_in_is_recorded_with_the_address(helpdesk: User) -> None:
    sign_in("henry", PASSWORD)
    assert recorded() == [("sign_in.succeeded", "henry", "10.0.0.1")]


def test_signing_out_is_recorded_and_ends_the_session(as_helpdesk: Client) -> None:
    as_helpdesk.post("/logout/")
    assert recorded()[-1][:2] == ("sign_in.ended", "henry")
    assert as_helpdesk.get("/password/").status_code == 302


def test_a_wrong_password_is_recorded(helpdesk: User) -> None:
    sign_in("henry", "wrong")
    event = AuditEvent.objects.get()
    assert (event.action, event.actor_name, event.details) == (
        "sign_in.failed",
        "anonymous",
        {"user": "henry"},
    )


def test_a_name_that_does_not_exist_is_not_recorded_since_it_may_be_a_password() -> None:
    sign_in("My secret passphrase", "")
    sign_in("My secret passphrase", "x")
    assert not AuditEvent.objects.exists()  # tests/portal/people/test_failed_sign_ins.py: the sum comes later


@pytest.mark.parametrize("name", ["x" * 5000, "\u202e", "' OR 1=1 --"])
def test_a_garbage_name_is_no_error(name: str) -> None:
    assert sign_in(name, "x") == 200


def test_a_name_longer_than_any_user_name_is_not_even_tried() -> None:
    sign_in("x" * 151, "x")
    assert not AuditEvent.objects.exists()


def test_five_wrong_passwords_lock_the_name_from_that_address_only(helpdesk: User, auditor: User) -> None:
    assert [sign_in("henry", "wrong") for _ in range(5)] == [200, 200, 200, 200, 429]
    assert sign_in("henry", PASSWORD) == 429
    assert sign_in("henry", PASSWORD, ip="10.0.0.2") == 302
    assert sign_in("astrid", PASSWORD) == 302


def test_the_locked_page_says_so_in_plain_words(helpdesk: User) -> None:
    for _ in range(5):
        response = Client().post("/login/", {"username": "henry", "password": "wrong"})
    page = response.content.decode()
    assert "Sign-in is locked" in page
    assert "An admin of the portal can lift it" in page
    assert FailedSignIns.KEPT.total_seconds() == 15 * 60


def test_a_lock_is_recorded_once_however_often_it_is_tried(helpdesk: User) -> None:
    for _ in range(9):
        sign_in("henry", "wrong")
    assert [action for action, _name, _ip in recorded()] == ["sign_in.failed"] * 5 + ["sign_in.locked"]


def test_a_good_sign_in_forgets_earlier_mistakes(helpdesk: User) -> None:
    for _ in range(2):
        assert [sign_in("henry", "wrong") for _ in range(4)] == [200] * 4
        assert sign_in("henry", PASSWORD) == 302


def test_a_signed_in_person_is_sent_home_from_the_sign_in_page(as_helpdesk: Client) -> None:
    assert as_helpdesk.get("/login/")["Location"] == "/"


def test_the_sign_in_page_leads_nowhere_else(helpdesk: User) -> None:
    response = Client().post(
        "/login/", {"username": "henry", "password": PASSWORD, "next": "https://evil.example/"}
    )
    assert response["Location"] == "/"


def test_a_live_part_whose_session_ended_reloads_the_page() -> None:
    response = Client().get("/rollouts/", headers={"HX-Request": "true"})
    assert (response.status_code, response.content, response["HX-Refresh"]) == (200, b"", "true")
