"""The pages of the history: who sees what, filters, pages, export and verification."""

import csv
import io
import tracemalloc
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.http.response import HttpResponseBase
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django.fixtures import Settings

from portal.audit import metrics, services
from portal.audit.chain import kept_head
from portal.audit.chain.findings import shown as shown_findings
from portal.audit.chain.kept_head import Head
from portal.audit.chain.sealing import examine, seal_break
from portal.audit.chain.verification import Walk
from portal.audit.export import stream
from portal.audit.labels import line_of, lines_of
from portal.audit.models import AuditEvent, AuditHead
from portal.audit.pages import views
from portal.audit.signing.signing_key import signing_key
from portal.audit.trail import Actor, record
from portal.audit.verified import Verified
from portal.keys.models import KnownKey
from portal.web.icons import drawn
from tests.portal.audit.tampering import change, set_back

pytestmark = pytest.mark.django_db

NASTY = [
    "\0",
    "a" * 5000,
    "' OR 1=1 --",
    "%00",
    "<script>",
    "\u202e",
    "-1",
    "9" * 400,
    "1e9",
    "2026-13-45",
    "é",
]


def add(
    action: str = "push.failed", *, who: str = "portal", user: User | None = None, **details: object
) -> AuditEvent:
    return record(action, actor=Actor(who, user), details=details)


def shown(client: Client, query: str = "") -> list[str]:
    response = client.get(f"/history/{query}")
    assert response.status_code == 200
    return [line.event.action for line in response.context["stretch"].lines]


def exported(client: Client, query: str = "") -> list[dict[str, str]]:
    response = client.post(f"/history/export/{query}")
    text = response.getvalue().decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text)))


def test_the_newest_event_comes_first(as_auditor: Client) -> None:
    add("push.failed")
    add("rollout.requested")
    assert shown(as_auditor)[:2] == ["rollout.requested", "push.failed"]


def test_helpdesk_sees_its_own_events_only(as_helpdesk: Client, helpdesk: User) -> None:
    other = add("rollout.requested")
    own = add("push.retried", user=helpdesk, who="henry")
    assert "rollout.requested" not in shown(as_helpdesk)
    assert "push.retried" in shown(as_helpdesk)
    assert (
        "Nothing that you did matches these filters."
        in as_helpdesk.get("/history/?who=alice").content.decode()
    )
    assert as_helpdesk.get(f"/history/{own.seq}/").status_code == 200
    assert as_helpdesk.get(f"/history/{other.seq}/").status_code == 404


def test_helpdesk_cannot_find_other_events_through_filters(as_helpdesk: Client) -> None:
    add("rollout.requested", text="needle")
    assert "rollout.requested" not in shown(as_helpdesk, "?text=needle&who=portal&action=rollout")


@pytest.mark.database
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("?who=HENRY", ["push.retried"]),
        ("?action=rollout", ["rollout.requested"]),
        ("?who=hen", []),
        ("?who=hen*", ["push.retried"]),
        ("?object=prod1", ["push.retried"]),
        ("?object=prod", []),
        ("?text=needle", ["rollout.requested"]),
        ("?action=push&who=portal", ["push.failed"]),
        ("?text=no%20such%20text", []),
    ],
)
def test_filters_narrow_the_list(as_auditor: Client, query: str, found: list[str]) -> None:
    add("push.failed")
    add("rollout.requested", message="a Needle in it")
    target = User.objects.create_user("prod1")
    record("push.retried", actor=Actor("henry"), target=target)
    assert [a for a in shown(as_auditor, query) if not a.startswith("history.")] == found


def test_an_object_is_found_by_its_id(as_auditor: Client) -> None:
    target = User.objects.create_user("somebody")
    record("user.created", actor=Actor("alice"), target=target)
    assert "user.created" in shown(as_auditor, f"?object={target.pk}")


def test_days_are_days_of_the_local_time_zone(as_auditor: Client, settings: Settings) -> None:
    settings.TIME_ZONE = "Pacific/Auckland"
    add()
    today = timezone.localdate()
    assert "push.failed" in shown(as_auditor, f"?since={today}&until={today}")
    assert "push.failed" not in shown(as_auditor, f"?since={today + timedelta(days=1)}")
    assert "push.failed" not in shown(as_auditor, f"?until={today - timedelta(days=1)}")


@pytest.mark.parametrize("value", NASTY)
@pytest.mark.parametrize("name", ["since", "until", "who", "action", "object", "text", "before", "after"])
def test_garbage_in_the_address_is_no_error(as_auditor: Client, name: str, value: str) -> None:
    assert as_auditor.get("/history/", {name: value}).status_code == (400 if value == "\0" else 200)


@pytest.mark.parametrize("seq", ["0", "9" * 18, "9" * 30, "9" * 5000])
def test_an_event_that_does_not_exist_is_not_found(as_auditor: Client, seq: str) -> None:
    assert as_auditor.get(f"/history/{seq}/").status_code == 404


def test_a_filter_that_makes_no_sense_is_named_and_left_out(as_auditor: Client) -> None:
    add()
    response = as_auditor.get("/history/?since=yesterday&action=push")
    assert "Enter a valid date." in response.content.decode()
    assert [line.event.action for line in response.context["stretch"].lines] == ["push.failed"]


def test_pages_are_turned_by_number_both_ways(as_auditor: Client) -> None:
    for number in range(120):
        add(number=number)
    first = as_auditor.get("/history/?action=push").context["stretch"]
    second = as_auditor.get(f"/history/?action=push&before={first.older}").context["stretch"]
    third = as_auditor.get(f"/history/?action=push&before={second.older}").context["stretch"]
    assert [len(stretch.lines) for stretch in (first, second, third)] == [50, 50, 20]
    assert (first.newer, third.older) == (None, None)
    back = as_auditor.get(f"/history/?action=push&after={third.newer}").context["stretch"]
    assert [line.event.seq for line in back.lines] == [line.event.seq for line in second.lines]


def test_a_page_costs_the_same_number_of_queries_however_full_it_is(as_auditor: Client) -> None:
    counts = []
    for events in (1, 30):
        for _ in range(events):
            add(number=1)
        as_auditor.get("/history/")
        with CaptureQueriesContext(connection) as queries:
            as_auditor.get("/history/")
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_reading_is_recorded_with_its_filters(as_auditor: Client) -> None:
    as_auditor.get("/history/?who=alice&text=")
    event = AuditEvent.objects.get(action="history.read")
    assert (event.actor_name, event.details) == ("astrid", {"filters": {"who": "alice"}})


def test_a_person_reads_once_an_hour_whatever_they_look_at(
    as_auditor: Client, auditor: User, as_admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = Client()  # another browser
    again.force_login(auditor)
    for client, query in (
        (as_auditor, ""),
        (as_auditor, "?who=bob&before=40"),
        (again, ""),
        (as_admin, "1/"),
    ):
        client.get(f"/history/{query}")
    readings = AuditEvent.objects.filter(action="history.read")
    assert sorted(readings.values_list("actor_name", flat=True)) == ["alice", "astrid"]
    monkeypatch.setattr(services, "READING_COUNTS", timedelta(0))  # as after an hour
    as_auditor.get("/history/")
    assert readings.count() == 3


def test_readings_are_shown_where_somebody_asks_for_them(as_auditor: Client) -> None:
    add()
    shown(as_auditor)
    for query, is_shown in (
        ("", False),
        ("?who=astrid", False),
        ("?readings=on", True),
        ("?action=history", True),
    ):
        assert ("history.read" in shown(as_auditor, query)) is is_shown
    assert "history.read" in [row["action"] for row in exported(as_auditor)]


@pytest.mark.database
@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("mkt-2", ["mkt-2", "prod1 on mkt-2", "prod1 on mkt-2 (rollout #3)"]),
        ("MKT-2", ["mkt-2", "prod1 on mkt-2", "prod1 on mkt-2 (rollout #3)"]),
        ("mkt-20", ["mkt-20", "prod10 on mkt-20 (rollout #31)"]),
        (
            "mkt-2*",
            [
                "mkt-2",
                "mkt-20",
                "prod1 on mkt-2",
                "prod1 on mkt-2 (rollout #3)",
                "prod10 on mkt-20 (rollout #31)",
            ],
        ),
        ("prod1", ["prod1 on mkt-2", "prod1 on mkt-2 (rollout #3)"]),
        ("Triggers", ["#3 Triggers"]),
        ("Triggers Test", ["#31 Triggers Test", "Triggers Test"]),
        ("#3", ["#3 Triggers", "prod1 on mkt-2 (rollout #3)"]),
        ("2", []),
        ("mkt-.", []),
        (".*", []),
    ],
)
def test_an_object_is_found_by_its_whole_name(as_auditor: Client, typed: str, found: list[str]) -> None:
    names = [
        "mkt-2",
        "mkt-20",
        "prod1 on mkt-2",
        "prod1 on mkt-2 (rollout #3)",
        "prod10 on mkt-20 (rollout #31)",
    ]
    for name in [*names, "#3 Triggers", "#31 Triggers Test", "Triggers Test"]:
        record("user.created", actor=Actor("alice"), target=User(pk=900, username=name))
    response = as_auditor.get("/history/", {"object": typed})
    assert sorted(line.event.target_name for line in response.context["stretch"].lines) == sorted(found)


def test_reading_one_event_is_recorded(as_auditor: Client) -> None:
    event = add()
    as_auditor.get(f"/history/{event.seq}/")
    assert AuditEvent.objects.get(action="history.read").details == {"filters": {"event": str(event.seq)}}


def test_details_are_shown_as_text(as_auditor: Client) -> None:
    event = add(message="<script>alert(1)</script>", count=3, done=True, nothing="")
    page = as_auditor.get(f"/history/{event.seq}/").content.decode()
    assert "&lt;script&gt;" in page
    assert "<script>alert" not in page


def test_a_change_is_shown_as_former_and_new_value(as_auditor: Client) -> None:
    add(before={"client_id": "", "project": "same"}, after={"client_id": "abc", "project": "same"})
    add(changes={"port": [22, 2222], "is_enabled": [True, False]})
    add(shown=["first", "second"], filters={"event": "39"})
    page = as_auditor.get("/history/").content.decode()
    for shown in ("— → abc", "22 → 2222", "yes → no", "first, second", "entry: 39"):
        assert shown in page, shown
    assert "same" not in page
    assert "{" not in page.split("<tbody>")[1]


def test_an_action_without_words_of_its_own_is_still_readable(as_auditor: Client) -> None:
    add("some_thing.was_done")
    assert "Some thing was done" in as_auditor.get("/history/").content.decode()


def test_the_export_holds_everything_before_it_oldest_first(as_auditor: Client) -> None:
    add(number=1, text='é, "quoted"\nsecond line')
    add("rollout.requested")
    rows = exported(as_auditor)[1:]  # the sign-in comes first
    assert [row["action"] for row in rows] == ["push.failed", "rollout.requested"]
    assert rows[0]["details"] == '{"number": 1, "text": "é, \\"quoted\\"\\nsecond line"}'
    assert rows[0]["hash"] == AuditEvent.objects.get(seq=rows[0]["number"]).hash


def test_the_export_obeys_the_filters_and_is_recorded(as_auditor: Client) -> None:
    add()
    add("rollout.requested")
    assert [row["action"] for row in exported(as_auditor, "?action=rollout")] == ["rollout.requested"]
    assert AuditEvent.objects.get(action="history.exported").details == {
        "filters": {"action": "rollout"},
        "objects": 1,
        "last": 3,
        "format": "csv",
    }


def test_an_export_of_everything_is_recorded_with_its_extent(as_auditor: Client) -> None:
    add()
    count = len(exported(as_auditor))
    as_auditor.post("/history/export/", {"format": "json"})
    kept = [event.details for event in AuditEvent.objects.filter(action="history.exported").order_by("seq")]
    assert [(each["format"], each["objects"], each["last"]) for each in kept] == [
        ("csv", count, count),
        ("json", count + 1, count + 1),
    ]
    assert "objects" in as_auditor.get("/history/?action=history").text


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_of_the_export_is_a_formula(as_auditor: Client, start: str) -> None:
    record("user.created", actor=Actor(f"{start}cmd|' /C calc'!A0"))
    assert exported(as_auditor)[-1]["who"].startswith(f"'{start}")


def test_every_cell_is_quoted_and_the_file_opens_in_excel(as_auditor: Client) -> None:
    add()
    response = as_auditor.post("/history/export/")
    content = response.getvalue()
    assert content.startswith(b'\xef\xbb\xbf"number","time_utc"')
    assert b'"push.failed"' in content
    assert response["Content-Disposition"].startswith('attachment; filename="history-')
    assert response["X-Content-Type-Options"] == "nosniff"


def test_the_export_needs_memory_for_one_batch_only() -> None:
    for _ in range(1500):
        add(text="x" * 1000)
    tracemalloc.start()
    size = sum(len(chunk) for chunk in stream(AuditEvent.objects.all(), batch=50))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size > 1_500_000
    assert peak < 1_000_000


def test_verification_shows_an_intact_chain(as_auditor: Client) -> None:
    add()
    response = as_auditor.post("/history/verify/", follow=True)
    assert "Intact" in response.content.decode()
    event = AuditEvent.objects.get(action="history.verified")
    assert (event.details["intact"], event.details["events"], event.actor_name) == (True, 2, "astrid")


def test_verification_shows_what_was_tampered_with(as_auditor: Client) -> None:
    event = add()
    change(event.seq, actor_name="nobody")
    page = as_auditor.post("/history/verify/", follow=True).content.decode()
    assert "Not intact" in page
    assert "was changed after it was recorded" in page


def test_looking_at_the_verification_page_verifies_nothing(as_auditor: Client) -> None:
    as_auditor.get("/history/verify/")
    assert not AuditEvent.objects.filter(action="history.verified").exists()


@pytest.fixture
def long_chain(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chain of which one request verifies two events only."""
    monkeypatch.setattr(views, "VERIFYING_SECONDS", 0)
    monkeypatch.setattr(Walk.batch, "__defaults__", (2,))
    for number in range(4):
        add(number=number)


def go_on(client: Client, **headers: str) -> HttpResponseBase:
    return client.post("/history/verify/", {"action": "go_on"}, headers=headers)


@pytest.mark.usefixtures("long_chain")
def test_a_long_chain_is_verified_in_several_requests(as_auditor: Client) -> None:
    page = as_auditor.post("/history/verify/", follow=True).content.decode()
    assert "2 of 5 entries verified" in page
    assert not AuditEvent.objects.filter(action="history.verified").exists()
    go_on(as_auditor)
    go_on(as_auditor)
    event = AuditEvent.objects.get(action="history.verified")
    assert (event.details["intact"], event.details["events"]) == (True, 5)
    assert "entries verified" not in as_auditor.get("/history/verify/").content.decode()


@pytest.mark.usefixtures("long_chain")
def test_what_the_first_request_finds_is_in_the_verdict_of_the_last(as_auditor: Client) -> None:
    change(2, actor_name="nobody")
    as_auditor.post("/history/verify/")
    go_on(as_auditor)
    go_on(as_auditor)
    event = AuditEvent.objects.get(action="history.verified")
    assert shown_findings(event.details["findings"]) == [
        {"event": 2, "problem": "was changed after it was recorded"}
    ]


@pytest.mark.usefixtures("long_chain")
def test_htmx_gets_the_progress_alone_and_the_page_at_the_end(as_auditor: Client) -> None:
    as_auditor.post("/history/verify/")
    part = b"".join(go_on(as_auditor, **{"HX-Request": "true"}))
    assert b"4 of 5 entries verified" in part
    assert b"<html" not in part
    assert go_on(as_auditor, **{"HX-Request": "true"})["HX-Refresh"] == "true"


@pytest.mark.usefixtures("long_chain")
def test_a_verification_that_is_stopped_or_begun_anew_starts_at_the_beginning(as_auditor: Client) -> None:
    as_auditor.post("/history/verify/")
    as_auditor.post("/history/verify/", {"action": "stop"})
    assert "entries verified" not in as_auditor.get("/history/verify/").content.decode()
    as_auditor.post("/history/verify/")
    go_on(as_auditor)
    assert "2 of 5" in as_auditor.post("/history/verify/", follow=True).content.decode()


def test_a_verification_at_the_command_line_is_recorded_only_if_asked() -> None:
    call_command("verify_audit")
    assert not AuditEvent.objects.filter(action="history.verified").exists()
    call_command("verify_audit", record=True)
    assert AuditEvent.objects.get(action="history.verified").details["intact"] is True


def test_the_page_shows_the_head_to_note_and_finds_it_later(as_auditor: Client) -> None:
    add()
    head = str(AuditHead.objects.get())
    assert head in as_auditor.get("/history/verify/").content.decode()
    add()
    page = as_auditor.post("/history/verify/", {"head": f"  {head.upper()} "}, follow=True).content.decode()
    assert "In the history" in page
    event = AuditEvent.objects.get(action="history.verified")
    assert (event.details["expected_head"], event.details["expected_head_found"]) == (head, True)


def test_the_page_says_that_an_earlier_head_is_missing(as_auditor: Client) -> None:
    add()
    page = compared(as_auditor, f"1:{'a' * 64}")
    assert "Not in the history" in page
    assert "The noted head 1 is not in the history" in page
    assert "Entry 1 is not the one that this head names." in page
    assert "mistyped or belongs to another portal" in page
    assert "changed the database directly" not in page  # the entries fit together
    assert "Not intact" not in page
    assert "newest entry of the history had the number 3 then" in compared(as_auditor, f"98:{'a' * 64}")
    add()
    assert "had the number 3 then" in as_auditor.get("/history/verify/").text
    assert "Intact" in page


def test_an_entry_tells_the_chain_apart_from_the_noted_head(as_auditor: Client) -> None:
    add()
    newest = str(AuditHead.objects.get())
    told = []
    for head in ("", newest, newest[:-1] + ("0" if newest[-1] != "0" else "1")):
        compared(as_auditor, head)
        event = last_verification()
        facts = dict(line_of(event).facts)
        told.append((facts["intact"], facts["problems"], facts["expected head found"]))
        assert "findings" not in facts
    assert told == [
        ("yes", "0", "no earlier head was given"),
        ("yes", "0", "yes"),
        ("yes", "0", "no"),
    ]


@pytest.mark.parametrize("code", ["noted_head_missing", "changed"])
def test_an_entry_of_a_former_release_means_what_it_meant(as_auditor: Client, code: str) -> None:
    wrong = f"98:{'a' * 64}"
    found = [{"event": 98, "code": code, "params": {"head": wrong}}]
    about = {"expected_head": wrong, "expected_head_found": False}
    details = {"intact": False, "problems": 1, "findings": found, "head": f"3:{'b' * 64}", **about}
    event = record("history.verified", actor=Actor("oliver"), details=details)
    is_intact = code == "noted_head_missing"
    assert Verified(event).fits_together is is_intact
    assert Verified(event).lacks_head
    facts = dict(line_of(event).facts)
    assert facts["intact"].startswith("no: one noted head is missing") is is_intact
    assert facts["problems"] == "1"


def test_the_last_verification_names_its_head_and_stays_after_an_error(as_auditor: Client) -> None:
    add()
    compared(as_auditor)
    head = last_verification().details["head"]
    assert head in as_auditor.get("/history/verify/").text
    page = as_auditor.post("/history/verify/", {"head": "foo"}).text
    assert "Last verification" in page
    assert head in page
    assert "What you typed was not compared. This is the verification before it." in page


def test_an_entry_says_why_the_kept_head_is_another_one() -> None:
    of_both = {"intact": True, "head": f"9:{'b' * 64}", "kept_head": f"8:{'a' * 64}"}
    facts = dict(line_of(record("history.verified", actor=Actor("oliver"), details=of_both)).facts)
    assert "outside the database before this verification" in facts["kept head"]
    same = {**of_both, "kept_head": of_both["head"]}
    facts = dict(line_of(record("history.verified", actor=Actor("oliver"), details=same)).facts)
    assert facts["kept head"] == same["head"]


def compared(client: Client, head: str = "") -> str:
    """Verify, with a head that was noted or without one; return the page."""
    return client.post("/history/verify/", {"head": head}, follow=True).content.decode()


def last_verification() -> AuditEvent:
    return AuditEvent.objects.filter(action="history.verified").latest("seq")


def test_both_results_are_told_where_neither_is_good(as_auditor: Client) -> None:
    event = add()
    change(event.seq, actor_name="nobody")
    page = compared(as_auditor, f"98:{'a' * 64}")
    assert "Not intact" in page
    assert "Someone changed the database directly" in page
    assert "The noted head 98 is not in the history" in page


def test_a_noted_head_that_is_missing_is_told_whatever_is_found_later(as_auditor: Client) -> None:
    head = Head(1, AuditEvent.objects.get(seq=1).hash)
    wrong = f"{head}"[:-1] + ("0" if head.hash[-1] != "0" else "1")
    compared(as_auditor, wrong)
    newest = str(AuditHead.objects.get())
    for noted in ("", newest, str(head)):  # the last one fits a history that was set back as well
        assert "The noted head 1 is not in the history" in compared(as_auditor, noted)
        assert last_verification().details["intact"] is True
        assert "A noted head is missing, and nobody has explained it." in as_auditor.get("/").text
        assert ("portal_audit_intact", 0.0) in figures()


def test_a_head_that_is_found_again_says_so_and_still_waits_for_a_person(as_auditor: Client) -> None:
    newest = Head(2, "a" * 64)
    record("history.verified", actor=Actor("oliver"), details={"expected_head": str(newest)})
    found = {"intact": True, "expected_head": str(newest), "expected_head_found": True}
    event = record("history.verified", actor=Actor("oliver"), details=found)
    page = as_auditor.get("/history/verify/").text
    assert "The noted head 2 is not in the history" in page
    assert "A later verification found this head in the history:" in page
    assert f"Entry {event.seq}" in page


def test_a_verification_has_one_word_on_every_page(as_auditor: Client) -> None:
    wrong = f"98:{'a' * 64}"
    compared(as_auditor, wrong)
    event = last_verification()
    entry = as_auditor.get(f"/history/{event.seq}/").text
    assert "History verified: intact, but one noted head is missing" in entry
    as_auditor.post("/history/verify/", {"action": "explain", "head": wrong, "reason": "mistyped: 89"})
    explained = AuditEvent.objects.get(action="history.head_explained")
    for address in ("/", "/history/verify/"):
        page = as_auditor.get(address).text
        assert "</svg> Intact</span>" in page
        assert "ot in the history</span>" in page
        assert f"A noted head is missing; explained by astrid (entry {explained.seq})" in page


def figures() -> list[tuple[str, float]]:
    return [(sample.name, sample.value) for each in metrics.figures() for sample in each.samples]


def test_a_noted_head_that_is_missing_can_be_explained(as_auditor: Client) -> None:
    add()
    wrong = f"98:{'a' * 64}"
    compared(as_auditor, wrong)
    page = as_auditor.post("/history/verify/", {"action": "explain", "head": wrong, "reason": ""})
    assert "This field is required." in page.text
    assert not AuditEvent.objects.filter(action="history.head_explained").exists()
    told = {"action": "explain", "head": wrong, "reason": "mistyped: 89"}
    for _ in range(2):  # sent twice, it is one explanation
        page = as_auditor.post("/history/verify/", told, follow=True)
        assert "The noted head 98" not in page.text
        assert "mistyped: 89" in page.text
    event = AuditEvent.objects.get(action="history.head_explained")
    assert event.details == {"expected_head": wrong, "reason": "mistyped: 89"}
    assert "nobody has explained it" not in as_auditor.get("/").text
    assert "The noted head 98 is not in the history" in compared(as_auditor, wrong)


@pytest.mark.parametrize("head", ["", "x", f"5:{'b' * 64}", *NASTY])
def test_only_a_head_that_is_missing_can_be_explained(as_auditor: Client, head: str) -> None:
    told = {"action": "explain", "head": head, "reason": "mistyped"}
    assert as_auditor.post("/history/verify/", told).status_code in (200, 302, 400)
    assert not AuditEvent.objects.filter(action="history.head_explained").exists()


def test_a_verification_that_found_something_says_so_in_its_title(as_auditor: Client) -> None:
    add()
    compared(as_auditor)
    compared(as_auditor, f"1:{'a' * 64}")
    change(2, actor_name="nobody")
    compared(as_auditor)
    lines = lines_of(list(AuditEvent.objects.filter(action="history.verified").order_by("seq")))
    assert [(str(line.label), line.is_alarm) for line in lines] == [
        ("History verified", False),
        ("History verified: intact, but one noted head is missing", True),
        ("History verified: it is not intact", True),
    ]
    marked = drawn("danger")
    assert marked in as_auditor.get(f"/history/{lines[1].event.seq}/").text
    assert marked not in as_auditor.get(f"/history/{lines[0].event.seq}/").text
    assert as_auditor.get("/history/?action=history").text.count(marked) == 2


def test_the_page_shows_the_key_that_signs(as_auditor: Client) -> None:
    KnownKey.objects.filter(name="signing_key").delete()
    assert "SHA256:" not in as_auditor.get("/history/verify/").text
    fingerprint = signing_key().fingerprint
    page = as_auditor.get("/history/verify/").text
    assert fingerprint in page
    assert "--key" in page


@pytest.mark.parametrize("head", ["x", "1:", f"1:{'a' * 63}", f"0:{'a' * 64}", *NASTY])
def test_what_is_no_head_is_an_error_at_its_field(as_auditor: Client, head: str) -> None:
    response = as_auditor.post("/history/verify/", {"head": head})
    assert response.status_code == 200
    assert response.context["form"].errors["head"]
    assert not AuditEvent.objects.filter(action="history.verified").exists()


def test_what_is_no_head_is_not_answered_by_the_verification_before(as_auditor: Client) -> None:
    assert "In the history" in compared(as_auditor, str(AuditHead.objects.get()))
    assert "What you typed was not compared." in as_auditor.post("/history/verify/", {"head": "x"}).text
    assert "What you typed was not compared." not in as_auditor.get("/history/verify/").text


@pytest.mark.usefixtures("long_chain")
def test_an_earlier_head_is_compared_at_the_end_of_a_long_verification(as_auditor: Client) -> None:
    as_auditor.post("/history/verify/", {"head": f"1:{'a' * 64}"})
    go_on(as_auditor)
    go_on(as_auditor)
    assert AuditEvent.objects.get(action="history.verified").details["expected_head_found"] is False


def test_the_page_raises_the_alarm_when_the_history_was_set_back(as_auditor: Client) -> None:
    add()
    add()
    kept_head.keep()
    assert "is missing entries" not in as_auditor.get("/history/verify/").content.decode()
    set_back(1)
    assert "is missing entries" in as_auditor.get("/history/verify/").content.decode()
    kept_head.path().write_text("garbage")
    assert "cannot be used" in as_auditor.get("/history/verify/").content.decode()


def test_the_page_shows_sealed_breaks_for_ever(as_auditor: Client) -> None:
    event = add()
    change(event.seq, actor_name="nobody")
    seal_break(reason="<b>A disk</b> was damaged", actor=Actor("oliver"), looked_at=examine())
    page = as_auditor.post("/history/verify/", follow=True).content.decode()
    assert "Intact, except for sealed breaks" in page
    assert "&lt;b&gt;A disk&lt;/b&gt; was damaged" in page
    assert "oliver" in page
    assert "was changed after it was recorded" in page


def test_the_page_works_without_a_head(as_auditor: Client) -> None:
    AuditHead.objects.all().delete()
    assert as_auditor.get("/history/verify/").status_code == 200


def test_the_page_says_what_it_holds_and_where_the_rest_is(as_auditor: Client) -> None:
    page = as_auditor.get("/history/").text
    assert "reads the history for the first time within an hour" in page
    assert AuditEvent.objects.filter(action="history.read").count() == 1
    as_auditor.get("/history/?who=nobody")
    assert AuditEvent.objects.filter(action="history.read").count() == 1
    assert "its attempts are on its own page" in page
    assert "Verify finds it if someone with access to the database does" in page


def test_everything_that_was_exported_is_one_group(as_auditor: Client) -> None:
    for action in ("history.exported", "list.exported", "evidence.made", "history.verified", "list.changed"):
        add(action)
    assert shown(as_auditor, "?action=exports") == ["evidence.made", "list.exported", "history.exported"]
    assert 'href="/history/?action=exports">All exports</a>' in as_auditor.get("/").text
    file = as_auditor.post("/history/export/?action=exports").getvalue().decode()
    assert "evidence.made" in file
    assert "history.verified" not in file


def test_the_history_says_how_many_entries_it_has_and_why_numbers_are_left_out(
    as_auditor: Client, as_helpdesk: Client
) -> None:
    add()
    page = as_auditor.get("/history/").text
    assert f"The history has {AuditHead.objects.get().seq} entries." in page
    assert "Who read it is not listed here" in page
    assert "Who read it is not listed here" not in as_auditor.get("/history/?readings=on").text
    assert "The history has" not in as_helpdesk.get("/history/").text


def test_who_is_refused_reads_which_role_they_have(as_helpdesk: Client) -> None:
    answer = as_helpdesk.get("/history/verify/")
    assert answer.status_code == 403
    assert "Your role is Helpdesk." in answer.text
