"""The coverage map: as a page, as data, as a command, and as of a moment."""

import csv
import json
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from credentials.coverage.cells import Wanted, cells_now
from credentials.models import DesiredVersionChange, GoalChange
from credentials.rollouts.models import Push, Rollout
from instances.discovery.as_of import InTheFuture
from instances.discovery.models import Observation
from instances.models import Installation
from portal.audit.append_only import without_triggers
from tests.credentials.coverage.both_ways import cells_as_of
from tests.factories import FILE_DIGEST, finish, finish_all, make_installation, make_rollout

pytestmark = pytest.mark.django_db


def body(answer: Any) -> str:  # Any: what the test client returns
    text: str = answer.getvalue().decode("utf-8-sig")
    return text


def page(client: Client, query: str = "") -> str:
    return client.get(f"/coverage/{query}").content.decode()


def test_without_an_account_the_page_says_where_to_begin(as_auditor: Client) -> None:
    assert "No instance uses an active technical account yet." in page(as_auditor)


def test_the_map_shows_every_installation_with_its_state_and_version(as_helpdesk: Client) -> None:
    rollout = make_rollout(containers=["web1", "web2"])
    finish(rollout.pushes.get(container__name="web1"), state="succeeded")
    finish(rollout.pushes.get(container__name="web2"), state="failed", code="timed_out")
    text = page(as_helpdesk)
    assert "the last push failed" in text
    assert f"/rollouts/pushes/{rollout.pushes.get(container__name='web2').pk}/" in text
    assert "proven by a push" in text


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", {"web1", "web2"}),
        ("?state=done", {"web1"}),
        ("?state=needs_you", {"web2"}),
        ("?state=failed", {"web2"}),
        ("?state=others", set()),
        ("?version=1", {"web1"}),
        ("?q=WEB2", {"web2"}),
        ("?environment=stage", set()),
        ("?role=MKT", {"web1", "web2"}),
        ("?state=nonsense&version=x", {"web1", "web2"}),
    ],
)
def test_filters_narrow_the_map_and_its_exports(as_auditor: Client, query: str, found: set[str]) -> None:
    rollout = make_rollout(containers=["web1", "web2"])
    finish(rollout.pushes.get(container__name="web1"), state="succeeded")
    finish(rollout.pushes.get(container__name="web2"), state="failed", code="timed_out")
    lines = as_auditor.get(f"/coverage/{query}").context["lines"]
    assert {each.cell.container for line in lines for each in line.shown} == found
    answer = as_auditor.post(f"/exports/coverage/{query}")
    if "nonsense" in query:
        assert answer.status_code == 400
        return
    rows = list(csv.DictReader(StringIO(body(answer))))
    assert {row["container"] for row in rows} == found
    cells = json.loads(body(as_auditor.post(f"/exports/coverage/{query}", {"format": "json"})))["rows"]
    assert {cell["container"] for cell in cells} == found


@pytest.mark.parametrize("at", ["nonsense", "2999-01-01"])
def test_a_moment_that_makes_no_sense_is_not_answered_with_today(as_auditor: Client, at: str) -> None:
    finish_all(make_rollout(containers=["web1"]), state="succeeded")
    page = as_auditor.get("/coverage/", {"at": at}).content.decode()
    assert "No map is shown" in page
    assert "errorlist" in page
    assert "web1" not in page
    assert "/exports/coverage/" not in page


def test_an_export_gives_no_spreadsheet_a_formula(as_auditor: Client) -> None:
    finish_all(make_rollout(account="=1+1"), state="succeeded")
    assert "'=1+1" in body(as_auditor.post("/exports/coverage/"))


def test_the_number_of_statements_does_not_grow_with_the_fleet(as_admin: Client) -> None:
    def count() -> int:
        with CaptureQueriesContext(
            connection,
        ) as found:
            page(as_admin)
        return len(found)

    finish_all(make_rollout(), state="succeeded")
    page(as_admin)
    few = count()
    for number in range(30):
        make_installation(instance="prod1", container=f"more-{number}")
    assert count() == few


# --- as of a moment -----------------------------------------------------------------------------------


DAY = datetime(2026, 3, 1, tzinfo=UTC)


def move(model: Any, row: Any, **values: object) -> None:
    """Write into an append-only table what time would have."""
    with without_triggers(connection, model._meta.db_table):
        model.objects.filter(pk=row.pk).update(**values)


@pytest.fixture
def past(transactional_db: None) -> Rollout:
    """Version 1 asked for on 1 March, seen equal from the 2nd to the 10th, and gone on the 20th."""
    rollout = make_rollout()
    finish_all(rollout, state="succeeded")
    Push.objects.update(requested=DAY, finished=DAY + timedelta(hours=1))
    account = rollout.secret.account
    facts: dict[str, Any] = {
        "installation": Installation.objects.get(),
        "client_id": account.client_id,
        "account_id": account.technical_account_id,
        "is_jwt": False,
        "source": "read",
        "source_id": "x",
        "last_source": "read",
        "last_source_id": "x",
    }
    with transaction.atomic():
        move(DesiredVersionChange, DesiredVersionChange.objects.get(), at=DAY)
        move(GoalChange, GoalChange.objects.get(), at=DAY)
        Observation.objects.create(
            digest=FILE_DIGEST, at=DAY + timedelta(days=1), last_seen=DAY + timedelta(days=9),
            ended=DAY + timedelta(days=19), **facts,
        )  # fmt: skip
        Observation.objects.create(
            digest="e" * 64, at=DAY + timedelta(days=19), last_seen=DAY + timedelta(days=19), **facts
        )
    return rollout


@pytest.mark.parametrize(
    ("days", "certainty", "held", "cover"),
    [
        (0.02, "not_known", None, "under_way"),
        (1, "known", 1, "done"),
        (5, "known", 1, "done"),
        (12, "between", 1, "done"),
        (19, "known", None, "needs_you"),
        (25, "since", None, "needs_you"),
    ],
)
def test_as_of_a_moment_says_what_is_known_and_what_is_not(
    past: Rollout, days: float, certainty: str, held: int | None, cover: str
) -> None:
    (cell,) = cells_as_of(Wanted(), DAY + timedelta(days=days))
    assert cell.certainty == certainty
    assert (cell.held.number if cell.held else None) == held
    assert cell.cover == cover


def test_a_moment_that_two_sights_claim_is_between(past: Rollout) -> None:
    Observation.objects.filter(ended=None).update(
        at=DAY + timedelta(days=4), last_seen=DAY + timedelta(days=6)
    )
    (cell,) = cells_as_of(Wanted(), DAY + timedelta(days=5))
    assert cell.certainty == "between"


def test_a_moment_in_the_future_is_refused(as_auditor: Client) -> None:
    finish_all(make_rollout(), state="succeeded")
    with pytest.raises(InTheFuture):
        cells_as_of(Wanted(), timezone.now() + timedelta(minutes=1))
    assert "is in the future" in page(as_auditor, "?at=2999-01-01+10:00")
    with pytest.raises(CommandError, match="is in the future"):
        call_command("coverage", at="2999-01-01T10:00")


def test_a_moment_that_does_not_exist_or_comes_twice_is_refused(as_auditor: Client) -> None:
    finish_all(make_rollout(), state="succeeded")
    with timezone.override("Europe/Berlin"):
        for moment, said in (
            ("2026-03-29T02:30", "no such time here"),
            ("2025-10-26T02:30", "occurred twice"),
        ):
            with pytest.raises(CommandError, match=said):
                call_command("coverage", at=moment)
            assert said in page(as_auditor, f"?at={moment}")
    with pytest.raises(CommandError, match="Write a day, or a day and a time"):
        call_command("coverage", at="yesterday")


def test_the_page_says_how_much_is_known(past: Rollout, as_auditor: Client) -> None:
    text = page(as_auditor, "?at=2026-03-06+10:00")
    assert "1 installation is known" in text
    text = page(as_auditor, "?at=2026-03-13+10:00")
    assert "1 lies between two different observations" in text
    text = page(as_auditor, "?at=2026-03-25+10:00")
    assert "nobody has looked since" in text
    assert "two different observations" not in text


def test_the_command_prints_a_table_csv_and_json() -> None:
    finish_all(make_rollout(), state="succeeded")
    out = StringIO()
    call_command("coverage", stdout=out)
    assert "done" in out.getvalue()
    out = StringIO()
    call_command("coverage", csv=True, stdout=out)
    assert next(csv.DictReader(StringIO(out.getvalue())))["holds"] == "1"
    out = StringIO()
    call_command("coverage", json=True, stdout=out)
    (cell,) = json.loads(out.getvalue())["cells"]
    assert (cell["state"], cell["holds"], cell["how"]) == ("done", 1, "proven")
    assert cells_now(Wanted())[0].certainty == "now"


# --- on other pages -----------------------------------------------------------------------------------


def test_the_page_of_an_installation_says_what_it_holds_is_to_hold_and_why(as_auditor: Client) -> None:
    rollout = make_rollout()
    push = rollout.pushes.get()
    finish(push, state="succeeded")
    text = as_auditor.get(f"/installations/{push.installation_id}/").content.decode()
    assert "proven by a push" in text
    assert "a rollout was started" in text
    assert f"/rollouts/pushes/{push.pk}/" in text
    assert "Push of version 1 of Triggers: Succeeded" in text
    assert "It should hold version 1 of Triggers" in text


def test_an_installation_without_an_account_is_not_compared(as_auditor: Client) -> None:
    row = make_installation()
    assert "Nothing is compared here" in as_auditor.get(f"/installations/{row.pk}/").content.decode()


def test_pages_of_instances_and_containers_show_their_cells(as_helpdesk: Client) -> None:
    push = make_rollout().pushes.get()
    finish(push, state="failed", code="timed_out")
    for url in (f"/instances/{push.installation.instance_id}/", f"/containers/{push.container_id}/"):
        assert "the last push failed" in as_helpdesk.get(url).content.decode()


def test_the_map_says_how_many_instances_are_not_on_it(as_admin: Client) -> None:
    finish_all(make_rollout(), state="succeeded")
    assert "is not shown here" not in page(as_admin)
    make_installation(instance="prod2", container="web9")
    assert "1 instance is not shown here, because it uses no technical account" in page(as_admin)
    assert 'href="/instances/?need=account"' in page(as_admin)
    assert "is not shown here" not in page(as_admin, "?environment=production")


@pytest.mark.parametrize("written", ["1", "v1", "V1", " v1 "])
def test_a_version_is_found_as_pages_write_it(as_auditor: Client, written: str) -> None:
    finish_all(make_rollout(), state="succeeded")
    answer = as_auditor.get("/coverage/", {"version": written})
    assert not answer.context["form"].errors
    assert "web1" in answer.content.decode()
    assert "web1" not in as_auditor.get("/coverage/", {"version": "v2"}).content.decode()
    refused = as_auditor.get("/coverage/", {"version": "x1"}).content.decode()
    assert "Enter the number of a version, such as v1 or 1." in refused
