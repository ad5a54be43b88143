"""What strangers' failures do: to the history, to the people they aim at, and to everybody else."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.contrib.auth.hashers import MD5PasswordHasher
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from pytest_django.fixtures import Settings

from portal.audit.labels import line_of
from portal.audit.models import AuditEvent
from portal.audit.trail import Actor
from portal.people.models import FailedSignIns, SignInTally
from portal.people.services import create_user, set_password
from portal.people.signing_in import lock_out, tally, turns
from portal.people.signing_in.lock_out import FAILURE_LIMIT
from portal.short_lived import remove_expired
from tests.portal.people.test_sign_in import PASSWORD, sign_in

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
ADDRESS_LIMIT = 7
SINGLE_LINES = 3


@pytest.fixture(autouse=True)
def _small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer requests show the same: each costs a page."""
    assert (lock_out.ADDRESS_LIMIT, tally.SINGLE_LINES) == (50, 20)
    monkeypatch.setattr(lock_out, "ADDRESS_LIMIT", ADDRESS_LIMIT)


@pytest.fixture
def few_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "SINGLE_LINES", SINGLE_LINES)


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


def events(action: str = "sign_in.") -> list[AuditEvent]:
    return list(AuditEvent.objects.filter(action__startswith=action).order_by("seq"))


def fail(name: str, times: int = FAILURE_LIMIT, client: Client | None = None) -> list[int]:
    client = client or Client(REMOTE_ADDR="10.0.0.1")
    data = {"username": name, "password": "wrong"}
    return [client.post("/login/", data).status_code for _ in range(times)]


# The history


@pytest.mark.database
def test_names_that_do_not_exist_are_one_line_however_many(clock: time_machine.Traveller) -> None:
    for number in range(10):
        sign_in(f"Secret-Name-{number}", "x", ip=f"10.0.1.{number % 4}")
    assert events() == []
    clock.shift(QUARTER)
    remove_expired()
    [line] = events()
    assert line.action == "sign_in.failures_counted"
    assert (line.details["tries"], line.details["with_names_that_do_not_exist"]) == (10, 10)
    assert (line.details["addresses"], line.details["people"]) == (4, [])
    assert line.details["from"] == NOON.isoformat()
    assert "Secret-Name" not in json.dumps(line.details) + str(line_of(line).facts)
    remove_expired()
    assert len(events()) == 1
    assert not SignInTally.objects.exists()


@pytest.mark.usefixtures("few_lines")
def test_an_attack_on_people_is_a_bounded_number_of_lines_and_its_sum_names_them(
    helpdesk: User, auditor: User, clock: time_machine.Traveller
) -> None:
    for last in range(1, 6):
        sign_in("henry", "x", ip=f"10.0.1.{last}")
    sign_in("astrid", "x", ip="10.0.2.1")
    assert len(events()) == SINGLE_LINES
    clock.shift(QUARTER)
    fail("nobody", 1)  # the next failure closes the window where no worker runs
    [total] = events("sign_in.failures_counted")
    assert total.details["people"] == [{"name": "henry", "tries": 5}, {"name": "astrid", "tries": 1}]
    assert (total.details["tries"], total.details["addresses"]) == (6, 6)
    assert len(total.details["most_tries_from"]) <= 20


@pytest.mark.database
def test_tries_against_a_lock_are_in_the_sum_alone(helpdesk: User, clock: time_machine.Traveller) -> None:
    fail("henry", 8)
    assert [each.action for each in events()] == ["sign_in.failed"] * 5 + ["sign_in.locked"]
    clock.shift(QUARTER)
    remove_expired()
    [total] = events("sign_in.failures_counted")
    assert (total.details["against_a_lock"], total.details["locks"], total.details["tries"]) == (3, 1, 8)


def test_what_was_recorded_one_by_one_is_not_summed_up_again(
    helpdesk: User, clock: time_machine.Traveller
) -> None:
    fail("henry", 2)
    clock.shift(QUARTER)
    remove_expired()
    assert [each.action for each in events()] == ["sign_in.failed"] * 2


@pytest.mark.database
def test_the_counters_of_one_window_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SignInTally, "MOST_ROWS", 3)
    for last in range(6):
        sign_in("nobody", "x", ip=f"10.0.3.{last}")
    assert SignInTally.objects.count() == 4
    assert SignInTally.objects.get(address="").failures == 3


# Who is locked


def test_addresses_of_one_ipv6_network_count_as_one(helpdesk: User) -> None:
    assert [sign_in("henry", "x", ip=f"2001:db8:1:2::{last}") for last in range(1, 6)][-1] == 429
    assert sign_in("henry", PASSWORD, ip="2001:db8:1:2:3::1") == 429
    assert sign_in("henry", PASSWORD, ip="2001:db8:1:3::1") == 302


def test_an_address_that_tries_many_names_is_locked_and_the_lock_ends(
    helpdesk: User, clock: time_machine.Traveller
) -> None:
    for number in range(ADDRESS_LIMIT):
        sign_in(f"name{number}", "x")
    assert sign_in("henry", PASSWORD) == 429
    assert FailedSignIns.objects.count() == ADDRESS_LIMIT
    for number in range(3):
        sign_in(f"other{number}", "x")
    assert FailedSignIns.objects.count() == ADDRESS_LIMIT  # nothing more is written for each name
    clock.shift(QUARTER)
    assert sign_in("henry", PASSWORD) == 302


def test_nobody_elses_tries_lock_a_browser_that_knows_its_person(helpdesk: User) -> None:
    browser = Client(REMOTE_ADDR="127.0.0.1")
    browser.post("/login/", {"username": "henry", "password": PASSWORD})
    browser.post("/logout/")
    stranger = Client(REMOTE_ADDR="127.0.0.1")  # the same address, as behind a proxy that is not configured
    assert fail("henry", client=stranger)[-1] == 429
    for number in range(ADDRESS_LIMIT):
        fail(f"name{number}", 1, client=stranger)
    good = {"username": "henry", "password": PASSWORD}
    assert stranger.post("/login/", good).status_code == 429
    assert browser.post("/login/", good).status_code == 302


def test_a_known_browser_has_five_tries_itself_and_none_more_for_other_names(
    helpdesk: User, auditor: User
) -> None:
    browser = Client()
    browser.post("/login/", {"username": "henry", "password": PASSWORD})
    browser.post("/logout/")
    assert fail("henry", client=browser)[-1] == 429
    browser.defaults["REMOTE_ADDR"] = "10.9.9.9"
    assert fail("henry", 1, client=browser) == [429]
    assert fail("astrid", client=browser)[-1] == 429
    assert sign_in("henry", PASSWORD, ip="10.9.9.9") == 302


@pytest.mark.parametrize("cookie", ["", "x", "0123456789abcdef-1", "a" * 4000, "a-b:c:d", "\u00e9"])
def test_a_made_up_cookie_is_no_known_browser(helpdesk: User, cookie: str) -> None:
    client = Client()
    client.cookies["known"] = cookie
    assert fail("henry", client=client)[-1] == 429
    assert not FailedSignIns.objects.exclude(device="").exists()


def test_the_locked_page_is_the_same_for_names_that_do_not_exist(helpdesk: User) -> None:
    pages = []
    with time_machine.travel(NOON, tick=False):
        for name in ("henry", "nobody"):
            client = Client()
            fail(name, client=client)
            response = client.post("/login/", {"username": name, "password": "x"})
            pages.append(response.content.replace(name.encode(), b""))
            assert response["Retry-After"] == "900"
    assert pages[0] == pages[1]
    assert b"12:15:00" in pages[0]


# Lifting


@pytest.mark.database
def test_an_admin_sees_locks_and_lifts_one(as_admin: Client, helpdesk: User) -> None:
    fail("henry", 7)
    page = as_admin.get("/users/locks/").content.decode()
    assert "henry" in page
    assert "10.0.0.1" in page
    assert "Locked after wrong passwords" in as_admin.get(f"/users/{helpdesk.pk}/").content.decode()
    as_admin.post("/users/locks/lift/", {"lock": f"user:{helpdesk.pk}"})
    [event] = events("sign_in.unlocked")
    assert (event.actor_name, event.target_name, event.details) == ("alice", "henry", {"tries": 7})
    assert sign_in("henry", PASSWORD) == 302


def test_names_that_do_not_exist_are_one_row_whatever_was_typed(as_admin: Client) -> None:
    for number in (1, 2):
        fail(f"My-Passphrase-{number}", client=Client(REMOTE_ADDR=f"10.0.0.{number}"))
    page = as_admin.get("/users/locks/").content.decode()
    assert "Names that do not exist" in page
    assert "My-Passphrase" not in page
    as_admin.post("/users/locks/lift/", {"lock": "unknown"})
    assert not FailedSignIns.objects.exists()


@pytest.mark.database
def test_the_lock_of_an_address_is_lifted_on_its_own(as_admin: Client, helpdesk: User) -> None:
    for number in range(ADDRESS_LIMIT):
        sign_in(f"name{number}", "x")
    assert "Every name from 10.0.0.1" in as_admin.get("/users/locks/").content.decode()
    as_admin.post("/users/locks/lift/", {"lock": "address:10.0.0.1"})
    assert sign_in("henry", PASSWORD) == 302
    assert events("sign_in.unlocked")[0].details["address"] == "10.0.0.1"


@pytest.mark.parametrize(
    "lock", ["", "user:", "user:x", "user:99999999999999999999", "user:0", "address:", "x"]
)
def test_a_lock_that_there_is_not_lifts_nothing_and_records_nothing(as_admin: Client, lock: str) -> None:
    assert as_admin.post("/users/locks/lift/", {"lock": lock}).status_code == 302
    assert not events("sign_in.unlocked")


def test_the_command_lifts_a_lock_and_names_who_ran_it(
    helpdesk: User, capsys: pytest.CaptureFixture[str]
) -> None:
    fail("henry")
    call_command("unlock", "--json")
    [lock] = json.loads(capsys.readouterr().out)["locks"]
    assert (lock["user"], lock["addresses"], lock["tries"]) == ("henry", ["10.0.0.1"], 5)
    call_command("unlock", "henry")
    assert sign_in("henry", PASSWORD) == 302
    assert events("sign_in.unlocked")[0].actor_name.endswith("(command line)")
    call_command("unlock")
    assert "Nothing is locked" in capsys.readouterr().out


def test_the_command_suggests_a_name_and_fails_where_nothing_was_lifted(helpdesk: User) -> None:
    with pytest.raises(CommandError, match="Did you mean henry"):
        call_command("unlock", "henri")
    with pytest.raises(CommandError, match="no lock of henry"):
        call_command("unlock", "henry")


# Hashing


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Strangers' only turn, and the place to wait for it, are taken."""
    lane = turns.Turns(at_once=1, waiting=0, seconds=0.01)
    monkeypatch.setattr(turns, "strangers", lane)
    with lane.turn():
        yield


@pytest.mark.usefixtures("taken")
def test_without_a_turn_the_answer_says_so_keeps_the_name_and_counts_nothing(helpdesk: User) -> None:
    data = {"username": "henry", "password": "A-Typed-Password", "next": "/rollouts/"}
    for _ in range(FAILURE_LIMIT + 1):
        response = Client(REMOTE_ADDR="10.0.0.1").post("/login/", data)
    page = response.content.decode()
    assert (response.status_code, int(response["Retry-After"])) == (503, 5)
    assert "not counted as an attempt" in page
    assert 'value="henry"' in page
    assert 'value="/rollouts/"' in page
    assert "A-Typed-Password" not in page
    assert not FailedSignIns.objects.exists()
    assert not AuditEvent.objects.exists()


@pytest.mark.usefixtures("taken")
def test_strangers_take_no_turn_of_those_who_signed_in_before(helpdesk: User, as_auditor: Client) -> None:
    browser = Client()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(turns, "strangers", turns.Turns(1, 1, 5))
        browser.post("/login/", {"username": "henry", "password": PASSWORD})
    browser.post("/logout/")
    assert browser.post("/login/", {"username": "henry", "password": PASSWORD}).status_code == 302
    assert as_auditor.post("/password/", {"old_password": PASSWORD}).status_code == 200


def test_so_many_hash_and_wait_at_once_and_the_next_is_refused_at_once() -> None:
    lane = turns.Turns(at_once=1, waiting=1, seconds=60)
    inside, leave, entered = threading.Event(), threading.Event(), []

    def take() -> None:
        with lane.turn():
            entered.append(1)
            inside.set()
            leave.wait(60)

    threads = [threading.Thread(target=take) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert inside.wait(60)
    refused = None
    while refused is None:  # until the second thread waits
        with pytest.raises(turns.Busy), lane.turn():
            pass
        refused = len(entered) == 1
    leave.set()
    for thread in threads:
        thread.join(60)
    assert len(entered) == 2
    with lane.turn():
        pass


class OutsideTransactions(MD5PasswordHasher):
    """Fails where a hash is made while a transaction, and with it a write lock, is open."""

    def encode(self, password: str, salt: str) -> str:
        assert not connection.in_atomic_block
        return super().encode(password, salt)


@pytest.mark.django_db(transaction=True)
def test_no_write_lock_is_held_while_a_password_is_hashed(roles: None, settings: Settings) -> None:
    settings.PASSWORD_HASHERS = [f"{__name__}.OutsideTransactions"]
    actor = Actor("tests")
    person = create_user(name="sam", password=PASSWORD, role="Admin", actor=actor)
    set_password(user=person, password=PASSWORD + "!", actor=actor)
    assert sign_in("sam", "wrong") == 200
    assert sign_in("nobody", "wrong") == 200
    client = Client()
    assert client.post("/login/", {"username": "sam", "password": PASSWORD + "!"}).status_code == 302
    data = {"old_password": PASSWORD + "!", "new_password1": PASSWORD, "new_password2": PASSWORD}
    assert client.post("/password/", data).status_code == 302
    data = {"username": "kim", "role": "Auditor", "password1": PASSWORD, "password2": PASSWORD}
    assert client.post("/users/new/", data).status_code == 302


# The own password


def test_the_own_password_can_be_tried_five_times_and_each_is_recorded(
    helpdesk: User, as_helpdesk: Client, clock: time_machine.Traveller
) -> None:
    data = {"old_password": "wrong", "new_password1": "x", "new_password2": "x"}
    states = [as_helpdesk.post("/password/", data).status_code for _ in range(7)]
    assert states == [200] * 4 + [429] * 3
    failed = [each.action for each in events("user.password_change")]
    assert failed == ["user.password_change_failed"] * 5 + ["user.password_change_locked"]
    assert events("user.password_change")[0].actor == helpdesk
    right = {"old_password": PASSWORD, "new_password1": "x7 blue kettle", "new_password2": "x7 blue kettle"}
    assert as_helpdesk.post("/password/", right).status_code == 429
    assert sign_in("henry", PASSWORD, ip="10.0.0.9") == 302  # signing in is another matter
    clock.shift(QUARTER)
    assert as_helpdesk.post("/password/", right).status_code == 302


def test_an_admin_lifts_the_lock_of_the_own_password_too(
    helpdesk: User, as_helpdesk: Client, as_admin: Client
) -> None:
    for _ in range(5):
        as_helpdesk.post("/password/", {"old_password": "wrong"})
    assert "on the page Change password" in as_admin.get("/users/locks/").content.decode()
    as_admin.post("/users/locks/lift/", {"lock": f"user:{helpdesk.pk}"})
    assert as_helpdesk.get("/password/").status_code == 200


def test_a_weak_new_password_is_no_wrong_one(as_helpdesk: Client) -> None:
    data = {"old_password": PASSWORD, "new_password1": "x", "new_password2": "x"}
    assert [as_helpdesk.post("/password/", data).status_code for _ in range(6)] == [200] * 6
    assert not events("user.password_change")
