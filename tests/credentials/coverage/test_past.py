"""What the map says of a moment is what it said then, and how much of it is known."""

import html
import re
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from django.db import connection, transaction
from django.db.models import QuerySet
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from credentials.coverage.cells import Cell, Wanted, cells_now
from credentials.models import DesiredVersionChange, GoalChange
from credentials.rollouts.models import Attempt, ConfirmedVersion, ProvenDigest, Push, Rollout
from instances.discovery.models import Observation
from instances.discovery.timeline import Wanted as WantedLines
from instances.discovery.timeline import of_container, of_installation, timeline
from instances.models import Installation
from portal.audit.append_only import without_triggers
from tests.credentials.coverage.both_ways import cells_as_of
from tests.factories import FILE_DIGEST, finish, make_installation, make_rollout

pytestmark = pytest.mark.django_db
NOW = timezone.now().replace(microsecond=0)


def ago(minutes: float) -> datetime:
    return NOW - timedelta(minutes=minutes)


def asked(minutes: float) -> str:
    return quote(ago(minutes).isoformat())


def move(rows: QuerySet[Any], **values: object) -> None:  # Any: rows of append-only tables
    """Write into an append-only table what time would have."""
    with transaction.atomic(), without_triggers(connection, rows.model._meta.db_table):
        rows.update(**values)


@pytest.fixture
def rollout(transactional_db: None) -> Rollout:
    """Version 1 asked for an hour ago, for two containers."""
    rollout = make_rollout(containers=["web1", "web2"])
    move(DesiredVersionChange.objects.all(), at=ago(60))
    move(GoalChange.objects.all(), at=ago(60))
    Push.objects.update(requested=ago(60))
    return rollout


def end(rollout: Rollout, container: str, minutes: float, state: str, code: str = "") -> Attempt:
    """Let the push of a container end so many minutes ago, and its file be seen then if that succeeded."""
    push = rollout.pushes.get(container__name=container)
    attempt = finish(push, state=state, code=code)
    move(Attempt.objects.filter(pk=attempt.pk), started=ago(minutes + 0.1), finished=ago(minutes))
    Push.objects.filter(pk=push.pk).update(finished=ago(minutes))
    return attempt


def see(rollout: Rollout, container: str, first: float, last: float, **values: object) -> Observation:
    """Keep what was seen from so many minutes ago until so many minutes ago."""
    row = Installation.objects.get(container__name=container)
    account = rollout.secret.account
    facts = {"client_id": account.client_id, "account_id": account.technical_account_id, "is_jwt": False}
    source = {"source": "push", "source_id": "x", "last_source": "push", "last_source_id": "x"}
    Observation.objects.filter(installation=row, ended=None).update(ended=ago(first))
    facts |= {"digest": FILE_DIGEST, "stamp": "1", **source, **values}
    return Observation.objects.create(installation=row, at=ago(first), last_seen=ago(last), **facts)


def cell(minutes: float, container: str = "web1") -> Cell:
    return next(each for each in cells_as_of(Wanted(), ago(minutes)) if each.container == container)


def page(client: Client, address: str) -> str:
    answer = client.get(address)
    assert answer.status_code == 200
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", answer.content.decode())).split())


def test_what_was_entered_later_was_not_on_the_map(rollout: Rollout) -> None:
    later = make_installation(instance="prod1", container="web9")
    assert later.pk not in {each.installation for each in cells_as_of(Wanted(), ago(30))}
    assert later.pk in {each.installation for each in cells_as_of(Wanted(), timezone.now())}
    see(rollout, "web9", 40, 35)  # an inventory that was restored was entered later than it was seen
    assert later.pk in {each.installation for each in cells_as_of(Wanted(), ago(30))}


# --- how it was known ---------------------------------------------------------------------------------


def test_what_its_own_push_proved_is_called_so_afterwards_as_well(rollout: Rollout) -> None:
    see(rollout, "web1", 50, 10)
    end(rollout, "web1", 50, "succeeded")
    see(rollout, "web2", 45, 10)  # a copy of the file
    Push.objects.filter(container__name="web2").update(state="cancelled", finished=ago(59))
    assert {each.container: each.how for each in cells_now(Wanted())}["web1"] == "proven"
    assert (cell(30).cover, cell(30).how) == ("done", "proven")
    assert (cell(30, "web2").cover, cell(30, "web2").how) == ("done", "seen")


def test_what_only_a_later_look_proved_was_not_proven_elsewhere(rollout: Rollout) -> None:
    see(rollout, "web1", 50, 10)
    end(rollout, "web1", 20, "succeeded")
    assert (cell(30).cover, cell(30).how) == ("under_way", "proven")


def test_a_secret_that_the_newest_push_did_not_leave_there_is_only_seen(rollout: Rollout) -> None:
    """Somebody copied the file of another container over what was pushed."""
    end(rollout, "web2", 50, "succeeded")
    attempt = finish(rollout.pushes.get(container__name="web1"), state="succeeded", digest="a" * 64)
    move(Attempt.objects.filter(pk=attempt.pk), finished=ago(50))
    Push.objects.update(finished=ago(50))
    see(rollout, "web1", 40, 10)
    assert cell(30).how == "seen"


def test_what_a_person_had_confirmed_was_not_unknown(rollout: Rollout) -> None:
    see(rollout, "web1", 50, 10, digest="c" * 64)
    Push.objects.update(state="cancelled", finished=ago(55))
    row = Installation.objects.get(container__name="web1")
    ConfirmedVersion.objects.create(
        installation=row, secret=rollout.secret, digest="c" * 64, by="alice", reason="typed", at=ago(40)
    )
    assert (cell(45).held, cell(45).how) == (None, "")
    assert (cell(30).cover, cell(30).how) == ("done", "confirmed")


def test_a_file_with_an_empty_organization_was_not_done_either(rollout: Rollout) -> None:
    see(rollout, "web1", 50, 10, organization_id='""')
    end(rollout, "web1", 50, "succeeded")
    assert (cell(30).cover, cell(30).held) == ("needs_you", None)


# --- pushes that had failed ---------------------------------------------------------------------------


def test_what_was_written_by_a_push_that_failed_needed_somebody(rollout: Rollout, as_auditor: Client) -> None:
    see(rollout, "web1", 50, 10)
    attempt = end(rollout, "web1", 50, "failed", "reload_failed")
    ProvenDigest.objects.create(digest=FILE_DIGEST, secret=rollout.secret, attempt=attempt)
    end(rollout, "web2", 50, "succeeded")
    assert (cell(55).cover, cell(55).need) == ("under_way", "")
    assert (cell(30).cover, cell(30).need) == ("needs_you", "failed")
    shown = as_auditor.get(f"/coverage/?at={asked(30)}&state=failed").context["lines"]
    assert [each.cell.container for line in shown for each in line.shown] == ["web1"]
    text = page(as_auditor, f"/coverage/?at={asked(30)}")
    assert "the last push failed" in text
    assert "do not say whether a container was off" in text


def test_a_retry_that_succeeded_later_hides_no_failure(rollout: Rollout) -> None:
    see(rollout, "web1", 50, 10)
    end(rollout, "web1", 50, "failed", "reload_failed")
    end(rollout, "web1", 20, "succeeded")
    Push.objects.filter(container__name="web1").update(retried=ago(25))
    assert (cell(30).cover, cell(30).need) == ("needs_you", "failed")
    assert cell(22).cover == "under_way"
    assert (cell(15).cover, cell(15).how) == ("done", "proven")


def test_between_two_retries_an_attempt_that_ran_was_under_way(rollout: Rollout) -> None:
    for minutes in (50, 40, 20):
        end(rollout, "web1", minutes, "failed" if minutes > 20 else "succeeded")
    Push.objects.filter(container__name="web1").update(retried=ago(25))
    assert cell(45).need == "failed"
    assert cell(40.05).cover == "under_way"
    assert cell(30).need == "failed"


def test_a_push_that_ended_as_failed_without_an_attempt_had_failed(rollout: Rollout) -> None:
    see(rollout, "web1", 50, 10)
    Push.objects.update(state="failed", finished=ago(40))
    assert cell(30).need == "failed"


def test_a_push_that_was_not_tried_before_its_retry_was_under_way(rollout: Rollout) -> None:
    Push.objects.update(state="failed", finished=ago(10), retried=ago(15))
    assert cell(30).cover == "under_way"


# --- how certain it is --------------------------------------------------------------------------------


def test_the_map_and_the_timeline_say_the_same_of_a_moment(rollout: Rollout, as_auditor: Client) -> None:
    see(rollout, "web1", 50, 45)
    row = Installation.objects.get(container__name="web1")

    def both(minutes: float) -> tuple[str, str]:
        return cell(minutes).certainty, page(as_auditor, f"/installations/{row.pk}/?at={asked(minutes)}")

    certainty, text = both(47)
    assert certainty == "known"
    assert "It was the same at every observation" in text
    certainty, text = both(40)
    assert certainty == "since"
    assert "Nobody has looked since" in text
    see(rollout, "web1", 35, 30, stamp="2")
    certainty, text = both(40)
    assert certainty == "likely"
    assert "is likely, not certain" in text
    see(rollout, "web1", 20, 15, digest="e" * 64, stamp="3")
    certainty, text = both(25)
    assert certainty == "between"
    assert "It changed at some time in between." in text
    assert both(55)[0] == "not_known"


def test_the_map_says_how_certain_in_words(rollout: Rollout, as_auditor: Client) -> None:
    see(rollout, "web1", 50, 45)
    text = page(as_auditor, f"/coverage/?at={asked(40)}")
    assert "1 was last seen before this moment, and nobody has looked since" in text
    assert re.search(r"last seen [-\d]+ [:\d]+ , and not since", text)
    assert "two different observations" not in text
    see(rollout, "web1", 35, 30, stamp="2")
    text = page(as_auditor, f"/coverage/?at={asked(40)}")
    assert "1 is likely" in text
    assert "the same before and after, but perhaps written in between" in text
    see(rollout, "web1", 20, 15, digest="e" * 64, stamp="3")
    assert "between two different observations · seen" in page(as_auditor, f"/coverage/?at={asked(25)}")


def test_no_point_separates_nothing(rollout: Rollout, as_auditor: Client) -> None:
    """Under way, and nobody had looked: nothing stands before it."""
    text = page(as_auditor, f"/coverage/?at={asked(50)}")
    assert "version not known nobody had looked" in text
    assert "· nobody had looked" not in text


def test_the_statements_of_a_past_map_do_not_grow(rollout: Rollout) -> None:
    def count() -> int:
        with CaptureQueriesContext(connection) as found:
            cells_as_of(Wanted(), ago(30))
        return len(found)

    see(rollout, "web1", 50, 45)
    see(rollout, "web1", 20, 15, digest="e" * 64)
    end(rollout, "web1", 50, "succeeded")
    few = count()
    for number in range(8):
        make_installation(instance="prod1", container=f"more-{number}")
        see(rollout, f"more-{number}", 50, 45)
        see(rollout, f"more-{number}", 20, 15, stamp="2")
    assert count() == few


# --- the timeline -------------------------------------------------------------------------------------


def test_a_push_succeeds_when_it_ends_and_not_when_it_is_requested(rollout: Rollout) -> None:
    see(rollout, "web1", 50, 10)
    end(rollout, "web1", 50, "succeeded")
    found = timeline(of_installation(Installation.objects.get(container__name="web1")), WantedLines(9))
    assert [(line.title, line.at) for line in found] == [
        ("Push of version 1 of Triggers: Succeeded", ago(50)),
        ("Seen for the first time", ago(50)),
        ("It should hold version 1 of Triggers", ago(60)),
    ]
    assert f"{timezone.localtime(ago(60)):%Y-%m-%d %H:%M:%S}" in found[0].notes[0]


def test_a_timeline_until_a_moment_does_not_tell_how_a_push_ended_later(rollout: Rollout) -> None:
    end(rollout, "web1", 50, "succeeded")
    row = Installation.objects.get(container__name="web1")
    found = timeline(of_installation(row), WantedLines(9, until=ago(55)))
    assert [line.title for line in found] == [
        "It should hold version 1 of Triggers",
        "Push of version 1 of Triggers: requested",
    ]
    assert found[1].notes == ["How it ended was not known yet at this time."]


def test_pushes_are_in_the_order_of_their_ends(rollout: Rollout) -> None:
    end(rollout, "web1", 50, "failed", "timed_out")
    row = Installation.objects.get(container__name="web1")
    other = Rollout.objects.create(
        number=2, fence=rollout.fence + 1, secret=rollout.secret, reason="repair", requested_by_name="alice"
    )
    Push.objects.create(
        rollout=other, installation=row, container=row.container, state="superseded", finished=ago(58)
    )
    Push.objects.filter(rollout=other).update(requested=ago(59))
    found = timeline(of_container(row.container), WantedLines(9))
    ends = [line.at for line in found if "Push of" in line.title]
    assert ends == [ago(50), ago(58)]


# --- moments that people type -------------------------------------------------------------------------


def test_the_page_says_which_moment_a_day_alone_is(rollout: Rollout, as_auditor: Client) -> None:
    row = Installation.objects.get(container__name="web1")
    see(rollout, "web1", 3 * 24 * 60, 10)
    for address in ("/coverage/", f"/installations/{row.pk}/"):
        text = page(as_auditor, f"{address}?at={timezone.localdate()}")
        assert "Today without a time means now:" in text
        text = page(as_auditor, f"{address}?at={timezone.localdate() - timedelta(days=1)}")
        assert "A day without a time means its end:" in text
        assert "23:59:59" in text
        assert "without a time means" not in page(as_auditor, f"{address}?at={asked(30)}")
        assert "without a time means" not in page(as_auditor, address)


def test_the_field_names_the_zone(as_auditor: Client, rollout: Rollout) -> None:
    assert f"As of ({timezone.get_current_timezone_name()})" in page(as_auditor, "/coverage/")
