"""Lists as files: the rows and filters of the page, safe to open, recorded, at a constant cost."""

import html
import json
import re
from datetime import UTC, timedelta
from pathlib import Path
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone, translation

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
    make_rollout,
)
from tests.portal.exported import address, as_csv, as_json, body, rows_of
from tests.portal.listed import EXPORTS, HOOK, OUTPUT, Place, fill
from tests.security.secret_shapes import BODY, SECRET
from tests.test_page_costs import FEW, seed

pytestmark = pytest.mark.django_db
NAMES = list(EXPORTS)
STAMP = r"[0-9]{8}-[0-9]{6}[+-][0-9]{4}"


def test_the_lists_that_can_be_exported_are_known() -> None:
    assert sorted(exports._exports) == sorted(NAMES)


@pytest.mark.database
def test_rows_have_the_order_of_the_page(as_admin: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "BATCH", 2)
    fill(prefix="z-")
    place = fill(size=3)
    fill(prefix="a-")
    finish(Push.objects.filter(container__name="web1").order_by("-requested")[0], state="succeeded")
    for name, order in ((name, each.order) for name, each in EXPORTS.items() if each.order):
        rows = rows_of(as_admin, name, place)
        assert len(rows) > 2, name
        assert [order(row) for row in rows] == sorted(map(order, rows)), name


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


def test_a_file_says_of_which_moment_and_filters_it_is(as_auditor: Client) -> None:
    make_instance(name="brand1")
    found = json.loads(body(as_auditor.post("/exports/instances/?q=brand", {"format": "json"})))
    event = AuditEvent.objects.get(action="list.exported")
    assert list(found) == ["list", "made", "by", "filters", "rows"]
    assert found["by"] == "astrid"
    assert (found["filters"], found["made"]) == ({"q": "brand"}, event.at.astimezone(UTC).isoformat())
    past = (timezone.localtime() - timedelta(days=1)).replace(microsecond=0)
    for kind in ("csv", "json"):
        query = urlencode({"at": f"{past:%Y-%m-%d %H:%M:%S}"})
        answer = as_auditor.post(f"/exports/coverage/?{query}", {"format": kind})
        assert re.search(
            rf'"coverage-as-of-{re.escape(f"{past:%Y%m%d-%H%M%S%z}")}-{STAMP}\.{kind}"',
            answer["Content-Disposition"],
        )
    assert "as-of" not in as_auditor.post("/exports/coverage/")["Content-Disposition"]


@pytest.mark.parametrize(
    ("list_url", "name"), [("/exports/instances/", "instances"), ("/history/export/", "history")]
)
def test_the_name_of_a_file_says_when_it_was_made_and_whether_it_is_narrowed(
    as_auditor: Client, list_url: str, name: str
) -> None:
    narrowing = {"instances": "?q=brand", "history": "?who=astrid"}[name]
    for query, told in (("", ""), (narrowing, "-narrowed")):
        answer = as_auditor.post(f"{list_url}{query}")
        assert re.search(rf'"{name}{told}-{STAMP}\.csv"', answer["Content-Disposition"])


def test_words_in_a_file_are_english_whatever_the_process_speaks(as_auditor: Client) -> None:
    rollout = make_rollout()
    finish(rollout.pushes.get(), state="failed", code="host_key_changed")
    answer = as_auditor.post("/exports/failed_pushes/", headers={"Accept-Language": "fr"})
    with translation.override("fr"):  # as in a process that serves a file after its request
        text = body(answer)
    assert "Host key" in text


def test_seconds_have_no_more_digits_than_were_measured() -> None:
    assert exports._plain(0.029999999999999995) == 0.03
    assert exports._text(0.029999999999999995) == "0.03"


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


def test_no_cell_is_a_formula(as_admin: Client) -> None:
    place = fill(prefix="=")
    for name in NAMES:
        rows = as_csv(as_admin, name, f"?{place.get(name, '')}")
        cells = [cell for row in rows for cell in row.values()]
        assert not [cell for cell in cells if cell.startswith(FORMULA_STARTS)], name
        if EXPORTS[name].has_names:
            assert any(cell.startswith("'=") for cell in cells), name
            values = [value for row in rows_of(as_admin, name, place) for value in row.values()]
            assert any(str(value).startswith(("=", "['=")) for value in values), name


def test_no_export_has_a_secret_or_what_a_container_printed(as_admin: Client) -> None:
    place = fill()
    secret = make_account(name="Other", secret=SECRET, instances=["prod9"])
    rollout = Rollout.objects.select_related("secret").latest("number")
    Channel.objects.update(way="webhook", address=f"https://chat.example.com/{HOOK}")
    for name in NAMES:
        text = body(as_admin.post(address(name, place)))
        for hidden in (BODY, secret.ciphertext, rollout.secret.ciphertext, OUTPUT, HOOK):
            assert str(hidden) not in text


def test_the_number_of_queries_does_not_grow_with_the_rows(as_admin: Client) -> None:
    as_admin.post("/exports/users/")
    few = _costs(as_admin, fill("a", 1))
    many = _costs(as_admin, fill("b", 3))
    for name in NAMES:
        (rows, queries), (more_rows, queries_of_more) = few[name], many[name]
        assert queries == queries_of_more, name
        assert rows < more_rows or name in ("contacts", "maintenance_windows"), name


def _costs(client: Client, place: Place) -> dict[str, tuple[int, int]]:
    return {name: _cost(client, name, place) for name in NAMES}


def _cost(client: Client, name: str, place: Place) -> tuple[int, int]:
    """Return how many rows a file has, and how many queries it takes."""
    rows = len(rows_of(client, name, place))
    with CaptureQueriesContext(connection) as captured:
        body(client.post(address(name, place)))
    return rows, len(captured)


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


@pytest.mark.slow
@pytest.mark.usefixtures("roles")
@pytest.mark.timeout(300)
@pytest.mark.one_engine
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
