"""Who could act on a day, and who did: from the history alone, in the reader's time zone."""

import csv
import io
import json
import re
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.contrib.auth.models import Group, User
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from portal.audit.models import AuditEvent
from portal.audit.trail import PORTAL, Actor, record
from portal.people.erasing import erase_name
from portal.people.models import Preferences
from portal.people.on_a_day import Day, Person, on_a_day
from portal.people.services import change_role, create_user, deactivate, reactivate

pytestmark = pytest.mark.django_db
BOSS = Actor("boss")
DAY = date(2026, 3, 14)


@pytest.fixture(autouse=True)
def _keeper(roles: None) -> None:
    """An admin of whom the history knows nothing: one has to remain."""
    User.objects.create_user("keeper").groups.add(Group.objects.get(name="Admin"))


def at(text: str) -> time_machine.travel:
    """Be at a moment, in UTC."""
    return time_machine.travel(datetime.fromisoformat(text).replace(tzinfo=UTC), tick=False)


def make(name: str, role: str = "Helpdesk", *, when: str = "2026-01-05T08:00") -> User:
    with at(when):
        return create_user(name=name, password="a long enough password", role=role, actor=BOSS)


def act(user: User, when: str, count: int = 1) -> None:
    with at(when), transaction.atomic():
        for _ in range(count):
            record("push.retried", actor=Actor(user.username, user))


def seen(day: date = DAY, zone: str = "UTC") -> Day:
    with timezone.override(ZoneInfo(zone)):
        return on_a_day(day)


def one(name: str, day: date = DAY, zone: str = "UTC") -> Person:
    return next(each for each in seen(day, zone).people if each.name == name)


def parts(person: Person) -> list[tuple[str, str, str, bool | None]]:
    return [
        (f"{each.since:%d %H:%M}", f"{each.until:%d %H:%M}", each.role, each.can_sign_in)
        for each in person.standings
    ]


def test_the_role_of_that_day_with_since_when_and_who_gave_it() -> None:
    anna = make("anna")
    with at("2026-02-01T10:00"):
        change_role(user=anna, role="Auditor", actor=BOSS)
    with at("2026-04-01T10:00"):
        change_role(user=anna, role="Admin", actor=Actor("later"))
    person = one("anna")
    assert parts(person) == [("14 00:00", "15 00:00", "Auditor", True)]
    [standing] = person.standings
    assert standing.role_by
    assert standing.role_by.who == "boss"
    assert f"{standing.role_by.at:%Y-%m-%d %H:%M}" == "2026-02-01 10:00"
    assert AuditEvent.objects.get(seq=standing.role_by.seq).action == "user.role_changed"


def test_it_is_the_history_that_counts_and_not_the_tables_of_today() -> None:
    anna = make("anna", "Auditor")
    anna.groups.set([Group.objects.get(name="Admin")])
    anna.is_active = False
    anna.save()
    User.objects.create_user("in_the_table_only")
    assert parts(one("anna")) == [("14 00:00", "15 00:00", "Auditor", True)]
    assert [each.name for each in seen().people] == ["anna"]


def test_changes_of_the_day_split_it() -> None:
    anna = make("anna")
    with at("2026-03-14T09:00"):
        change_role(user=anna, role="Admin", actor=BOSS)
    with at("2026-03-14T11:30"):
        create_user(name="b", password="a long enough password", role="Admin", actor=BOSS)
        deactivate(user=anna, actor=BOSS)
    with at("2026-03-14T20:00"):
        reactivate(user=anna, actor=BOSS)
    assert parts(one("anna")) == [
        ("14 00:00", "14 09:00", "Helpdesk", True),
        ("14 09:00", "14 11:30", "Admin", True),
        ("14 11:30", "14 20:00", "Admin", False),
        ("14 20:00", "15 00:00", "Admin", True),
    ]
    assert parts(one("b")) == [("14 11:30", "15 00:00", "Admin", True)]


def test_who_was_locked_out_all_day_could_not_act() -> None:
    anna = make("anna")
    with at("2026-03-13T23:59"):
        deactivate(user=anna, actor=BOSS)
    person = one("anna")
    assert not person.could_act
    make("zoe")
    assert [each.name for each in seen().people] == ["zoe", "anna"]  # who could act comes first
    assert one("anna", date(2026, 3, 13)).could_act


def test_who_acted_without_access_stands_out(as_auditor: Client) -> None:
    anna = make("anna")
    with at("2026-03-13T10:00"):
        deactivate(user=anna, actor=BOSS)
    act(anna, "2026-03-14T10:00")
    assert one("anna").acted_without_access
    assert "without access" in as_auditor.get("/history/people/?on=2026-03-14").text


def test_nobody_is_there_before_being_added() -> None:
    make("anna", when="2026-03-15T00:00")
    make("zoe", when="2026-03-01T00:00")
    assert [each.name for each in seen().people] == ["zoe"]


def test_the_day_is_one_of_the_readers_zone() -> None:
    anna = make("anna")
    act(anna, "2026-03-13T23:30", 2)  # half past midnight of the 14th in Berlin
    act(anna, "2026-03-14T22:30", 4)
    act(anna, "2026-03-14T23:30", 8)
    assert one("anna").events == 12
    assert one("anna", zone="Europe/Berlin").events == 6


@pytest.mark.parametrize(("day", "hours"), [(date(2026, 3, 29), 23), (date(2026, 10, 25), 25)])
def test_a_day_of_summer_time_has_its_own_length(day: date, hours: int) -> None:
    found = seen(day, "Europe/Berlin")
    assert found.end.astimezone(UTC) - found.start.astimezone(UTC) == timedelta(hours=hours)


def test_what_somebody_did_leads_to_as_many_entries_of_the_history(as_auditor: Client) -> None:
    anna = make("anna")
    act(anna, "2026-03-14T10:00", 3)
    with at("2026-03-14T12:00"), transaction.atomic():
        record("history.read", actor=Actor("anna", anna))  # which the history hides unless asked
    link = "/history/?" + urlencode(
        {"since": "2026-03-14", "until": "2026-03-14", "who": "anna", "readings": "on"}
    )
    page = as_auditor.get("/history/people/?on=2026-03-14")
    assert f'<a href="{link.replace("&", "&amp;")}">4</a>' in page.text
    assert len(as_auditor.get(link).context["stretch"].lines) == 4


def test_a_user_that_was_not_added_in_the_portal_is_listed_once_something_is_known() -> None:
    other = User.objects.create_user("other")
    act(other, "2026-03-14T10:00")
    assert parts(one("other")) == [("14 00:00", "15 00:00", "", None)]
    assert seen(date(2026, 3, 15)).people == []


def test_a_first_entry_tells_what_was_before_it() -> None:
    other = User.objects.create_user("other")
    other.groups.add(Group.objects.get(name="Auditor"))
    with at("2026-03-14T08:00"):
        change_role(user=other, role="Helpdesk", actor=BOSS)
    with at("2026-03-14T09:00"):
        deactivate(user=other, actor=BOSS)
    assert parts(one("other")) == [
        ("14 00:00", "14 08:00", "Auditor", None),
        ("14 08:00", "14 09:00", "Helpdesk", True),
        ("14 09:00", "15 00:00", "Helpdesk", False),
    ]


def test_commands_and_the_portal_itself_are_listed_apart(as_auditor: Client) -> None:
    make("anna", when="2026-03-14T08:00")
    assert [(each.name, each.events) for each in seen().others] == [("boss", 1)]
    with at("2026-03-14T09:00"), transaction.atomic():
        for actor in (Actor("root (command line)"), PORTAL, Actor("anonymous", is_person=False)):
            record("push.retried", actor=actor)
    page = as_auditor.get("/history/people/?on=2026-03-14").text
    for words in (
        "anonymous (somebody who had not signed in):",
        "boss (the history does not say which of them):",
        "portal (the portal itself):",
        "root (command line) (a command on the portal&#x27;s machine):",
    ):
        assert words in page


def test_a_day_that_is_not_over_is_known_until_now(as_auditor: Client) -> None:
    anna = make("anna", when="2026-03-14T00:00")
    with at("2026-03-14T09:00"):
        change_role(user=anna, role="Admin", actor=BOSS)
    with at("2026-03-14T10:00"):
        assert parts(one("anna"))[-1] == ("14 09:00", "14 10:00", "Admin", True)
        as_auditor.force_login(User.objects.get(username="astrid"))
        page = as_auditor.get("/history/people/?on=2026-03-14").text
    assert '\u2013 <time class="relative"' in page
    assert "24:00:00" not in page


def test_locks_after_wrong_passwords_are_counted() -> None:
    anna = make("anna")
    with at("2026-03-14T08:00"), transaction.atomic():
        record("sign_in.locked", actor=Actor("anonymous", is_person=False), details={"user": "anna"})
        record("user.password_change_locked", actor=Actor("anna", anna), target=anna)
    assert one("anna").locks == 2
    assert one("anna", date(2026, 3, 13)).locks == 0


def test_an_erased_name_stays_erased() -> None:
    anna = make("anna")
    with at("2026-05-01T08:00"):
        deactivate(user=anna, actor=BOSS)
        erased = erase_name(name="anna", reason="asked", actor=BOSS)
    assert {each.name for each in seen().people} == {erased.replacement}


def test_before_the_history_nothing_is_known(as_auditor: Client) -> None:
    first = AuditEvent.objects.order_by("seq").first()  # that the auditor signed in
    assert first
    page = as_auditor.get("/history/people/?on=2020-01-01")
    assert "the history begins later" in page.text
    assert f"/history/{first.seq}/" in page.text


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("2999-01-01", "This day has not come yet."),
        ("0001-01-01", "The history does not go back that far."),
        ("9999-12-31", "This day has not come yet."),
        ("2026-02-30", "Enter a valid date."),
        ("yesterday", "Enter a valid date."),
    ],
)
def test_a_day_that_makes_no_sense_is_said_and_nothing_is_shown(
    as_auditor: Client, typed: str, said: str
) -> None:
    page = as_auditor.get("/history/people/", {"on": typed})
    assert page.status_code == 200
    assert said in page.text
    assert typed in page.text
    assert "found" not in page.context
    assert as_auditor.post(f"/exports/people_on_a_day/?on={typed}").status_code == 400


def test_a_day_to_come_leads_to_today(as_auditor: Client) -> None:
    page = as_auditor.get("/history/people/?on=2999-01-01").text
    assert '<a class="button plain" href="/history/people/">Show today</a>' in page
    assert "Show today" not in as_auditor.get("/history/people/?on=0001-01-01").text


@pytest.mark.parametrize("typed", ["2999-12-31", "2026-02-30", "yesterday", "2020-01-01"])
def test_the_history_leads_to_no_day_that_is_yet_to_come(as_auditor: Client, typed: str) -> None:
    day = timezone.localdate().isoformat() if typed == "2999-12-31" else typed
    assert f'href="/history/people/?on={day}"' in as_auditor.get(f"/history/?until={typed}").text


def test_the_page_says_the_day_exactly(as_auditor: Client, auditor: User) -> None:
    make("anna")
    Preferences.objects.create(user=auditor, zone="Europe/Berlin")
    text = as_auditor.get("/history/people/?on=2026-03-14").text
    assert "The day in Europe/Berlin: from 2026-03-14 00:00:00 CET (2026-03-13T23:00:00Z) until" in text


def test_looking_is_recorded_as_a_reading(as_auditor: Client) -> None:
    as_auditor.get("/history/people/?on=2026-03-14")
    event = AuditEvent.objects.get(action="history.read")
    assert (event.actor_name, event.details) == ("astrid", {"filters": {"people_on": "2026-03-14"}})


def test_helpdesk_is_refused_and_sees_no_link(as_helpdesk: Client) -> None:
    assert as_helpdesk.get("/history/people/").status_code == 403
    assert 'href="/history/people/' not in as_helpdesk.get("/history/").text


def test_home_history_and_the_page_of_a_person_lead_to_it(as_auditor: Client, as_admin: Client) -> None:
    assert "/history/people/" in as_auditor.get("/").text
    assert "/history/people/?on=2026-03-14" in as_auditor.get("/history/?until=2026-03-14").text
    person = User.objects.get(username="alice")
    assert "/history/people/" in as_admin.get(f"/users/{person.pk}/").text


def exported(client: Client, **how: str) -> Any:  # Any: what the test client returns
    return client.post("/exports/people_on_a_day/?on=2026-03-14", how).getvalue().decode()


def test_the_export_has_every_part_of_the_day_and_is_recorded(as_auditor: Client) -> None:
    anna = make("anna")
    with at("2026-03-14T09:00"):
        change_role(user=anna, role="Auditor", actor=BOSS)
    act(anna, "2026-03-14T10:00", 3)
    rows = list(csv.DictReader(io.StringIO(exported(as_auditor).removeprefix("\ufeff"))))
    told = [
        tuple(row[name] for name in ("name", "until", "role", "can_sign_in", "events_of_the_day"))
        for row in rows
    ]
    assert told == [
        ("anna", "2026-03-14T09:00:00+00:00", "Helpdesk", "yes", "3"),
        ("anna", "2026-03-15T00:00:00+00:00", "Auditor", "yes", "3"),
        ("boss", "", "", "no user", "1"),
    ]
    assert [row["name"] for row in json.loads(exported(as_auditor, format="json"))["rows"]] == [
        "anna",
        "anna",
        "boss",
    ]
    event = AuditEvent.objects.filter(action="list.exported").last()
    assert event
    assert event.details == {
        "list": "people_on_a_day",
        "filters": {"on": "2026-03-14"},
        "objects": 2,
        "format": "csv",
    }


def test_a_long_history_takes_no_more_statements() -> None:
    anna = make("anna")

    def statements() -> int:
        with CaptureQueriesContext(connection) as found:
            seen()
        return len(found)

    few = statements()
    for number in range(30):
        act(make(f"person{number}"), "2026-03-14T10:00", 3)
        with at("2026-02-01T10:00"):
            change_role(user=anna, role=("Admin", "Auditor")[number % 2], actor=BOSS)
    assert statements() == few


def test_the_page_says_how_many_rows_its_file_has(as_admin: Client) -> None:
    with transaction.atomic():
        record("user.created", actor=Actor("stranger"))
    page = " ".join(as_admin.get("/history/people/").text.split())
    found = re.search(r"Export ([0-9]+) rows?, one for each part of the day", page)
    assert found
    today = timezone.localdate().isoformat()
    text = b"".join(as_admin.post(f"/exports/people_on_a_day/?on={today}")).decode()
    assert len(text.splitlines()) - 1 == int(found[1])
    assert "now</time>" in page
    assert "Where the history does not say which, that is said." in page
