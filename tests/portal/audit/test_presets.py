"""Ready filters of the history: links that set filters in the address and take them away again."""

from datetime import date
from html import unescape

import pytest
import time_machine
from django.test import Client

from portal.audit.models import AuditEvent
from portal.audit.pages.presets import presets
from portal.presets import Preset, quarter
from tests.factories import make_rotation
from tests.security.secret_shapes import BODY, SECRET

pytestmark = pytest.mark.django_db


def named(label: str, chosen: dict[str, str]) -> Preset:
    [found] = [each for each in presets(chosen) if str(each.label) == label]
    return found


@pytest.mark.parametrize(
    ("day", "first", "last"),
    [
        (date(2026, 1, 1), date(2026, 1, 1), date(2026, 3, 31)),
        (date(2026, 5, 17), date(2026, 4, 1), date(2026, 6, 30)),
        (date(2026, 9, 30), date(2026, 7, 1), date(2026, 9, 30)),
        (date(2026, 12, 31), date(2026, 10, 1), date(2026, 12, 31)),
    ],
)
def test_a_quarter_has_its_first_and_last_day(day: date, first: date, last: date) -> None:
    assert quarter(day) == (first, last)


def test_the_last_quarter_of_january_is_that_of_the_year_before() -> None:
    with time_machine.travel("2026-01-15T12:00Z"):
        assert named("Last quarter", {}).url == "?since=2025-10-01&until=2025-12-31"
        assert named("This quarter", {}).url == "?since=2026-01-01&until=2026-03-31"
        assert named("Today", {}).url == "?since=2026-01-15&until=2026-01-15"
        assert named("Last 7 days", {}).url == "?since=2026-01-09&until=2026-01-15"


def test_a_ready_filter_keeps_the_others_and_replaces_its_own() -> None:
    chosen = {"object": "mkt-2", "action": "push"}
    assert named("Rotations", chosen).url == "?object=mkt-2&action=rotation"
    assert not named("Rotations", chosen).is_on


def test_one_that_is_set_says_so_and_takes_itself_away() -> None:
    found = named("Rotations", {"action": "rotation", "who": "alice"})
    assert (found.is_on, found.url) == (True, "?who=alice")


def test_who_rotated_what_last_quarter_takes_two_clicks(as_auditor: Client) -> None:
    with time_machine.travel("2026-02-10T12:00Z"):
        make_rotation()
    with time_machine.travel("2026-05-10T12:00Z"):
        first = as_auditor.get("/history/")
        [rotations] = [each for each in first.context["presets"] if str(each.label) == "Rotations"]
        second = as_auditor.get(f"/history/{rotations.url}")
        [last] = [each for each in second.context["presets"] if str(each.label) == "Last quarter"]
        events = [line.event for line in as_auditor.get(f"/history/{last.url}").context["stretch"].lines]
    assert [event.action for event in events] == ["rotation.started"]
    assert AuditEvent.objects.filter(action__startswith="rotation.").count() == 1


def test_a_person_and_an_object_are_links_to_what_they_did_and_what_was_done(as_auditor: Client) -> None:
    make_rotation()
    page = unescape(as_auditor.get("/history/?action=rotation&before=99").content.decode())
    assert 'href="?action=rotation&who=somebody"' in page
    assert 'href="?action=rotation&object=%231+Triggers"' in page
    narrowed = as_auditor.get("/history/?action=rotation&object=%231+Triggers")
    assert len(narrowed.context["stretch"].lines) == 1


def test_a_container_and_an_instance_lead_to_their_history(as_auditor: Client, as_helpdesk: Client) -> None:
    rotation = make_rotation()
    [push] = rotation.old.rollouts.get().pushes.all()
    for path, name in (
        (f"/containers/{push.container_id}/", "web1"),
        (f"/instances/{push.installation.instance_id}/", "prod1"),
    ):
        assert f'href="/history/?object={name}"' in as_auditor.get(path).content.decode()
        assert "/history/?object=" not in as_helpdesk.get(path).content.decode()


@pytest.mark.parametrize("path", ["/history/", "/instances/", "/rollouts/", "/accounts/"])
@pytest.mark.parametrize("name", ["q", "who", "text", "account", "other"])
def test_no_link_of_a_page_repeats_a_secret_of_its_address(as_admin: Client, path: str, name: str) -> None:
    make_rotation()
    assert BODY not in as_admin.get(path, {name: SECRET}).content.decode()
