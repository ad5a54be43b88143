"""Lists as files: the rows and filters of the page, safe to open, recorded, at a constant cost."""

import csv
import html
import io
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from credentials.rollouts.models import Push, Rollout
from instances.inventory import csv_format
from instances.inventory.importing import apply_import, plan_import
from instances.models import Container, ExpectedHostKey, Installation, Instance
from portal.audit.export import FORMULA_STARTS
from portal.audit.models import AuditEvent
from portal.audit.trail import Actor
from portal.notices.models import Channel
from portal.web import exports
from tests.benchmarks.rows import refresh_statistics
from tests.benchmarks.visits import VISITS
from tests.factories import (
    finish,
    make_account,
    make_container,
    make_installation,
    make_instance,
    make_jump_host,
)
from tests.portal.listed import EXPORTS, HOOK, OUTPUT, Place, fill
from tests.security.secret_shapes import BODY, SECRET
from tests.test_page_costs import FEW, seed

pytestmark = pytest.mark.django_db
NAMES = list(EXPORTS)


def body(response: Any) -> str:  # Any: what the test client returns
    assert response.status_code == 200
    text: str = response.getvalue().decode()
    return text


def as_csv(client: Client, name: str, query: str = "") -> list[dict[str, str]]:
    text = body(client.post(f"/exports/{name}/{query}"))
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))


def as_json(client: Client, name: str, query: str = "") -> list[dict[str, Any]]:
    found = json.loads(body(client.post(f"/exports/{name}/{query}", {"format": "json"})))
    assert found["list"] == name
    rows: list[dict[str, Any]] = found["rows"]
    return rows


def address(name: str, place: Place, filters: str = "") -> str:
    return f"/exports/{name}/?{place.get(name, '')}&{filters}"


def rows_of(client: Client, name: str, place: Place, filters: str = "") -> list[dict[str, Any]]:
    return as_json(client, name, f"?{place.get(name, '')}&{filters}")


def test_the_lists_that_can_be_exported_are_known() -> None:
    assert sorted(exports._exports) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_csv_and_json_have_the_same_rows_and_the_known_columns(as_admin: Client, name: str) -> None:
    place = fill(size=2)
    rows, objects = as_csv(as_admin, name, f"?{place.get(name, '')}"), rows_of(as_admin, name, place)
    assert len(rows) == len(objects) > 0
    columns = EXPORTS[name].columns.split()
    assert all(list(row) == columns for row in (*rows, *objects))


@pytest.mark.parametrize("name", [name for name, each in EXPORTS.items() if each.filters])
def test_filters_leave_what_they_leave_on_the_page(as_admin: Client, name: str) -> None:
    place, wanted = fill(size=2), EXPORTS[name]
    if name == "pushes":
        finish(Push.objects.filter(rollout__secret__account__name="Triggers")[0], state="succeeded")
    if name == "rollouts":
        Rollout.objects.filter(secret__account__name="Triggers").update(reason="repair")
    everything, found = rows_of(as_admin, name, place), rows_of(as_admin, name, place, wanted.filters)
    assert {row[wanted.column] for row in found} == {wanted.value}
    assert [row for row in everything if row[wanted.column] == wanted.value] == found
    assert len(found) < len(everything)


@pytest.mark.parametrize("name", [name for name, each in EXPORTS.items() if each.order])
def test_rows_have_the_order_of_the_page(
    as_admin: Client, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "BATCH", 2)
    fill(prefix="z-")
    place = fill(size=3)
    fill(prefix="a-")
    if name == "pushes":
        finish(Push.objects.filter(container__name="web1").order_by("-requested")[0], state="succeeded")
    rows, order = rows_of(as_admin, name, place), EXPORTS[name].order
    assert order
    assert len(rows) > 2
    assert [order(row) for row in rows] == sorted(map(order, rows))


@pytest.mark.parametrize("name", NAMES)
def test_moments_are_in_utc_and_what_is_listed_is_a_list(as_admin: Client, name: str) -> None:
    place = fill()
    with timezone.override("Asia/Tokyo"):
        rows = rows_of(as_admin, name, place)
    for value in (value for row in rows for value in row.values()):
        if isinstance(value, str) and re.match(r"\d{4}-\d\d-\d\dT", value):
            assert value.endswith("+00:00")
        assert value is None or isinstance(value, str | int | float | bool | list)


def test_an_export_has_all_pages_and_the_filters_of_the_page(as_auditor: Client) -> None:
    Instance.objects.bulk_create(Instance(name=f"brand{n:03}", environment="stage") for n in range(60))
    make_instance(name="other1")
    names = [row["instance"] for row in as_csv(as_auditor, "instances", "?q=brand&environment=stage&page=2")]
    assert names == [f"brand{n:03}" for n in range(60)]


def test_a_filter_that_makes_no_sense_is_refused(as_auditor: Client) -> None:
    response = as_auditor.post("/exports/instances/?environment=nowhere")
    assert (response.status_code, response["Content-Type"]) == (400, "text/plain; charset=utf-8")
    assert not AuditEvent.objects.filter(action="list.exported").exists()


def test_a_secret_in_a_filter_is_refused_and_not_repeated(as_auditor: Client) -> None:
    response = as_auditor.post("/exports/instances/", QUERY_STRING=f"q={SECRET}")
    assert response.status_code == 400
    assert BODY not in response.content.decode()


def test_it_is_recorded_before_anything_is_handed_out(as_auditor: Client) -> None:
    make_instance(name="brand1")
    as_auditor.post("/exports/instances/?q=brand", {"format": "json"})  # nobody reads the answer
    event = AuditEvent.objects.get(action="list.exported")
    assert event.actor_name == "astrid"
    assert event.details == {
        "list": "instances",
        "filters": {"q": "brand"},
        "objects": 1,
        "format": "json",
    }


@pytest.mark.parametrize("name", NAMES)
def test_each_export_is_recorded_with_its_filters_and_rows(as_admin: Client, name: str) -> None:
    place = fill(size=2)
    as_admin.post(address(name, place, EXPORTS[name].filters))
    details = AuditEvent.objects.get(action="list.exported").details
    assert (details["list"], details["format"]) == (name, "csv")
    asked = dict(parse_qsl(f"{place.get(name, '')}&{EXPORTS[name].filters}"))
    assert asked.items() <= details["filters"].items()
    assert details["objects"] > 0


@pytest.mark.parametrize("name", NAMES)
def test_each_list_asks_for_its_own_permission(name: str, roles: None) -> None:
    place = fill()
    client = Client()
    person = User.objects.create_user("newcomer")
    client.force_login(person)
    assert exports._exports[name].permission == EXPORTS[name].permission
    assert client.post(address(name, place)).status_code == 403
    app, _dot, codename = EXPORTS[name].permission.partition(".")
    person.user_permissions.add(Permission.objects.get(codename=codename, content_type__app_label=app))
    assert client.post(address(name, place)).status_code == 200


@pytest.mark.parametrize(
    ("name", "query"),
    [
        ("pushes", ""),
        ("pushes", "?rollout=nothing"),
        ("attempts", "?push=00000000-0000-0000-0000-000000000001"),
        ("observations", ""),
        ("observations", "?instance=x"),
        ("coverage", "?state=nonsense"),
        ("coverage", "?at=2999-01-01+12:00"),
        ("proposals", "?kind=nonsense"),
        ("jwt_and_builds", "?stage=moon"),
    ],
)
def test_an_export_of_nothing_that_there_is_says_what_is_wrong(
    as_admin: Client, name: str, query: str
) -> None:
    answer = as_admin.post(f"/exports/{name}/{query}")
    assert answer.status_code == 400
    assert answer.content.startswith(b"* ")
    assert not AuditEvent.objects.filter(action="list.exported").exists()


def test_helpdesk_and_auditors_export_no_users(as_helpdesk: Client, as_auditor: Client) -> None:
    for client in (as_helpdesk, as_auditor):
        assert client.post("/exports/users/").status_code == 403


def test_an_unknown_list_is_not_found_and_a_get_exports_nothing(as_admin: Client) -> None:
    assert as_admin.post("/exports/secrets/").status_code == 404
    assert as_admin.get("/exports/instances/").status_code == 405


@pytest.mark.parametrize("name", NAMES)
def test_no_cell_is_a_formula(as_admin: Client, name: str) -> None:
    place = fill(prefix="=")
    rows = as_csv(as_admin, name, f"?{place.get(name, '')}")
    cells = [cell for row in rows for cell in row.values()]
    assert not [cell for cell in cells if cell.startswith(FORMULA_STARTS)]
    if EXPORTS[name].has_names:
        assert any(cell.startswith("'=") for cell in cells)
        values = [value for row in rows_of(as_admin, name, place) for value in row.values()]
        assert any(str(value).startswith(("=", "['=")) for value in values)


def test_no_export_has_a_secret_or_what_a_container_printed(as_admin: Client) -> None:
    place = fill()
    secret = make_account(name="Other", secret=SECRET, instances=["prod9"])
    rollout = Rollout.objects.select_related("secret").latest("number")
    Channel.objects.update(way="webhook", address=f"https://chat.example.com/{HOOK}")
    for name in NAMES:
        text = body(as_admin.post(address(name, place)))
        for hidden in (BODY, secret.ciphertext, rollout.secret.ciphertext, OUTPUT, HOOK):
            assert str(hidden) not in text


@pytest.mark.parametrize("name", NAMES)
def test_the_number_of_queries_does_not_grow_with_the_rows(as_admin: Client, name: str) -> None:
    as_admin.post("/exports/users/")
    counts, sizes = [], []
    for prefix, size in (("a", 1), ("b", 3)):
        place = fill(prefix, size)
        sizes.append(len(rows_of(as_admin, name, place)))
        with CaptureQueriesContext(connection) as captured:
            body(as_admin.post(address(name, place)))
        counts.append(len(captured))
    assert counts[0] == counts[1]
    assert sizes[0] < sizes[1] or name in ("contacts", "maintenance_windows")


def test_the_operator_guide_names_every_export_and_no_other() -> None:
    text = (Path(__file__).parents[2] / "docs" / "operator-guide.md").read_text()
    section = text.partition("## Lists as files")[2].partition("\n## ")[0]
    lines = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    assert sorted(re.findall(r"`(\w+)`", " ".join(lines))) == sorted(NAMES)


# On the pages


LIVE = "HX-Request"
CHOICES = {"account_rollout", "wizard", "inventory_preview"}
"""Pages of a form: what is turned there is a choice, or a file that the person has."""
OFFERED = re.compile(r'action="(/exports/(\w+)/[^"]*)"')


@pytest.mark.usefixtures("roles")
@pytest.mark.timeout(300)
def test_every_page_with_a_list_offers_it_as_a_file_to_those_who_see_it() -> None:
    seed(FEW)
    fill(prefix="more-")
    refresh_statistics()
    offered: set[str] = set()
    for who in ("alice", "henry", "astrid"):
        client, asked = Client(), set()
        client.force_login(User.objects.get(username=who))
        for visit in VISITS:
            answer = client.get(visit.url()) if LIVE not in visit.headers and visit.who else None
            if answer is None or answer.status_code != 200 or not hasattr(answer, "context"):
                continue
            found = OFFERED.findall(answer.content.decode())
            asked |= {html.unescape(url) for url, _name in found}
            offered |= {name for _url, name in found}
            page = (answer.context or {}).get("page_obj")
            if page and page.object_list and visit.name not in CHOICES:
                assert found, f"{visit.title} has pages and no export"
        for url in asked:
            assert client.post(url).status_code == 200, f"{who} is offered {url}"
    assert offered == set(NAMES)


def test_rows_are_read_in_batches_and_keep_their_order(
    as_admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "BATCH", 2)
    for name in ("c", "a", "e", "b", "d"):
        make_instance(name=name)
    assert [row["instance"] for row in as_csv(as_admin, "instances")] == list("abcde")
    assert [row["instance"] for row in as_json(as_admin, "instances")] == list("abcde")


# The inventory, there and back


def inventory() -> None:
    """An inventory with every value that a file can say."""
    jump_host = make_jump_host()
    make_installation(instance="prod1", container="app-1")
    make_installation(instance="prod1", container="app-2")
    make_installation(instance="rt1", container="app-2")
    make_instance(name="hosted1", deployment="hosted")
    make_installation(instance="mid1", container="by-hand-1")
    Instance.objects.filter(name="rt1").update(role="RT", environment="stage", uses_triggers=True)
    Container.objects.filter(name="app-1").update(
        port=2222, jump_host=jump_host, login="campaign", become="sudo", install_root="/opt/neolane"
    )
    Container.objects.filter(name="by-hand-1").update(is_by_hand=True)
    key = "SHA256:" + "A" * 43
    ExpectedHostKey.objects.create(
        container=Container.objects.get(name="app-2"), fingerprint=key, given_by="alice"
    )


def held() -> list[object]:
    """What an inventory file can say, as it is stored."""
    instances = Instance.objects.values_list("name", "environment", "deployment", "role", "uses_triggers")
    reached = ("name", "address", "port", "jump_host__name", "login", "become", "install_root", "is_by_hand")
    return [
        sorted(instances),
        sorted(Container.objects.values_list(*reached, "expected_host_key__fingerprint"), key=str),
        sorted(Installation.objects.values_list("instance__name", "container__name")),
    ]


def exported(client: Client) -> csv_format.ParsedInventory:
    return csv_format.parse(client.post("/exports/inventory/").getvalue(), allow_loopback=True)


def test_the_exported_inventory_changes_nothing_where_it_is_imported_again(
    as_admin: Client, actor: Actor
) -> None:
    inventory()
    plan = plan_import(parsed=exported(as_admin), actor=actor)
    assert plan.errors == []
    assert (plan.changes, plan.unchanged) == ([], 4)


def test_the_exported_inventory_makes_the_same_one_in_an_empty_portal(as_admin: Client, actor: Actor) -> None:
    inventory()
    before, parsed = held(), exported(as_admin)
    for model in (Installation, ExpectedHostKey, Container, Instance):
        model.objects.all().delete()
    apply_import(parsed=parsed, actor=actor)
    assert held() == before


def test_what_is_retired_or_cannot_be_in_such_a_file_is_left_out(as_admin: Client, actor: Actor) -> None:
    inventory()
    make_instance(name="without-container")
    make_container(name="without-instance")
    gone = {"retired": timezone.now(), "retired_reason": "gone"}
    Container.objects.filter(name="app-1").update(**gone)
    Instance.objects.filter(name="mid1").update(**gone)
    rows = [(row.instance, row.container) for row in exported(as_admin).rows]
    assert rows == [("hosted1", ""), ("prod1", "app-2"), ("rt1", "app-2")]
    assert plan_import(parsed=exported(as_admin), actor=actor).errors == []
