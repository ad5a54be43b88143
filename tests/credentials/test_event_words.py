"""What the history says about pushes and accounts beyond what was recorded."""

from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from credentials.rollouts.models import Push
from credentials.rotation.models import Wave
from portal.audit.labels import line_of, lines_of
from portal.audit.models import AuditEvent
from portal.audit.trail import Actor, record
from tests.benchmarks.work import counted
from tests.factories import finish, make_account, make_rollout, make_rotation

pytestmark = pytest.mark.django_db

PORTAL = Actor("portal")
INCOMPLETE = "Push incomplete: the file holds the secret"


def ended(push: Push, *, state: str, code: str, proof: str) -> AuditEvent:
    """Return the event of an end like this, as the portal records it."""
    attempt = push.attempts.model.objects.create(
        push=push,
        number=1,
        cause="rollout",
        secret_version=1,
        secret_fingerprint="",
        lease_token=uuid4(),
        worker="worker1",
        verdict=state,
        code=code,
        proof=proof,
        finished=push.requested,
    )
    details: dict[str, object] = {"rollout": push.rollout.number, "code": code, "attempt": attempt.number}
    return record(f"push.{state}", actor=PORTAL, target=push, details=details)


@pytest.mark.parametrize(
    ("state", "code", "proof", "label"),
    [
        ("failed", "reload_failed", "changed", INCOMPLETE),
        ("failed", "reload_not_confirmed", "recognized", INCOMPLETE),
        ("failed", "write_not_confirmed", "candidate", "Push failed"),
        ("failed", "timed_out", "", "Push failed"),
        ("superseded", "reload_failed", "changed", "Push superseded: the file held its secret"),
        ("superseded", "timed_out", "", "Push superseded"),
        ("succeeded", "", "changed", "Push succeeded"),
    ],
)
def test_an_end_says_whether_the_file_holds_the_secret(state: str, code: str, proof: str, label: str) -> None:
    event = ended(make_rollout().pushes.get(), state=state, code=code, proof=proof)
    assert str(line_of(event).label) == label


def test_a_row_names_the_account_and_says_its_code_in_words(as_auditor: Client) -> None:
    push = make_rollout(account="Triggers").pushes.get()
    event = ended(push, state="failed", code="reload_failed", proof="changed")
    recorded = event.digest()
    page = as_auditor.get("/history/").content.decode()
    assert (
        "<small>added: account Triggers · proof the attempt showed that the file held this secret</small>"
        in page
    )
    assert "Written, but the reload failed (reload_failed)" in page
    page = as_auditor.get(f"/history/{event.seq}/").content.decode()
    assert INCOMPLETE in page
    assert "It is not part of the sealed entry." in page
    assert "Triggers" not in event.text_or_nothing
    assert AuditEvent.objects.get(seq=event.seq).digest() == event.hash == recorded
    row = as_auditor.post("/history/export/?action=push").getvalue().decode()
    assert INCOMPLETE not in row
    assert "Written" not in row


def test_what_is_added_is_not_searched_for_and_the_page_says_so(as_auditor: Client) -> None:
    push = make_rollout(account="Triggers").pushes.get()
    ended(push, state="failed", code="reload_failed", proof="")
    page = as_auditor.get("/history/?action=push&text=Triggers").text
    assert "Nothing in the history matches these filters." in page
    assert "It is not searched for in what a row marks as added." in page


def test_an_account_that_was_recorded_is_not_named_twice(as_auditor: Client) -> None:
    push = make_rollout(account="Triggers").pushes.get()
    event = record("push.retried", actor=PORTAL, target=push, details={"account": "Its former name"})
    assert line_of(event).facts == [("account", "Its former name")]


def test_an_answer_of_adobe_is_said_in_words() -> None:
    secret = make_account()
    event = record(
        "client_secret.checked", actor=PORTAL, target=secret.account, details={"verdict": "wrong_secret"}
    )
    assert line_of(event).facts == [("verdict", "Wrong client secret (wrong_secret)")]


def test_an_event_about_a_push_that_is_gone_is_still_readable() -> None:
    push = make_rollout().pushes.get()
    event = record("push.failed", actor=PORTAL, target=push, details={"code": "a_code_of_old", "attempt": 7})
    assert line_of(event).added
    for former in (str(uuid4()), "no id", ""):
        event.target_id = former
        assert line_of(event).facts == [("code", "a_code_of_old"), ("attempt", "7")]


def test_the_history_of_an_account_does_not_call_it_failed_either(as_auditor: Client) -> None:
    rollout = make_rollout()
    push = rollout.pushes.get()
    ended(push, state="failed", code="reload_failed", proof="changed")
    finish(push, state="failed", code="timed_out")
    for address in (
        f"/rollouts/pushes/{push.pk}/",
        f"/accounts/{rollout.secret.account_id}/?show=history&rollout=1",
    ):
        assert as_auditor.get(address).content.decode().count("Incomplete: the file holds the secret") == 1


def test_a_retry_in_the_history_leads_to_the_push_that_says_how_it_ended(as_auditor: Client) -> None:
    push = make_rollout().pushes.get()
    event = record("push.retried", actor=PORTAL, target=push)
    assert line_of(event).url == f"/rollouts/pushes/{push.pk}/"
    assert f'href="/rollouts/pushes/{push.pk}/"' in as_auditor.get("/history/?action=push").text
    event.target_id = str(uuid4())
    assert line_of(event).url == ""


def test_a_retry_says_what_became_of_it(as_auditor: Client) -> None:
    push, other = make_rollout(containers=["web1", "web2"]).pushes.all()
    first = record("push.retried", actor=PORTAL, target=push)
    record("push.retried", actor=PORTAL, target=other)
    assert ("outcome", "none yet") in line_of(first).added
    end = ended(push, state="failed", code="reload_failed", proof="changed")
    record("push.look_requested", actor=PORTAL, target=push)
    assert ("outcome", f"{INCOMPLETE} (event {end.seq})") in line_of(first).added
    record("push.retried", actor=PORTAL, target=push)
    later = record("push.succeeded", actor=PORTAL, target=push)
    with counted(connection) as work:
        lines = lines_of(list(AuditEvent.objects.filter(target_type="push").order_by("seq")))
    told = [dict(line.added).get("outcome") for line in lines]
    assert told == [
        f"{INCOMPLETE} (event {end.seq})",
        "none yet",
        None,
        f"Push succeeded (event {later.seq})",
        f"Push succeeded (event {later.seq})",
        None,
    ]
    assert work.statements < 10
    assert f"Push succeeded (event {later.seq})" in as_auditor.get("/history/?action=push").text


def test_what_a_rotation_does_for_somebody_is_not_called_theirs(as_auditor: Client) -> None:
    person = User.objects.create_user("pia")
    rotation = make_rotation()
    rollout = make_rollout(account="Other", instance="prod2")
    event = record("rollout.requested", actor=Actor.kept("pia", person), target=rollout)
    assert line_of(event).who == "pia (by the portal)"
    Wave.objects.create(rotation=rotation, rollout=rollout, kind="wave", position=1, label="")
    assert line_of(event).who == f"pia (by the portal, for rotation {rotation.number})"
    for address in ("/history/?action=rollout", f"/history/{event.seq}/"):
        assert f"pia (by the portal, for rotation {rotation.number})" in as_auditor.get(address).text
    asked = Actor("pia", person, ip="192.0.2.7", request_id="1")
    assert line_of(record("rollout.cancelled", actor=asked, target=rollout)).who == "pia"
    assert AuditEvent.objects.get(seq=event.seq).actor_name == "pia"


def test_an_export_names_the_account_that_it_was_narrowed_to(as_auditor: Client) -> None:
    account = make_account(name="Triggers").account
    gone = str(uuid4())
    for filters in ({"account": str(account.pk), "q": "x"}, {"account": gone}, {"account": "7"}):
        event = record("list.exported", actor=PORTAL, details={"list": "coverage", "filters": filters})
        page = as_auditor.get(f"/history/{event.seq}/").text
        assert str(account.pk) not in page
        assert ("account: Triggers" in page) == ("q" in filters)
        assert (gone in page) == (filters["account"] == gone)
