"""Importing an inventory file: all or nothing, again and again."""

import time

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from instances.inventory import csv_format, importing
from instances.inventory.importing import ImportRefused, Plan, PlanOutdated, apply_import, plan_import
from instances.models import Container, ExpectedHostKey, Installation, Instance
from portal.audit.models import AuditEvent
from portal.audit.trail import Actor
from tests.benchmarks.work import counted

pytestmark = pytest.mark.django_db
KEY = "SHA256:" + "A" * 43
OTHER_KEY = "SHA256:" + "B" * 42 + "A"


def parsed(*lines: str) -> csv_format.ParsedInventory:
    return csv_format.parse("\n".join(lines).encode(), allow_loopback=True)


def run(actor: Actor, *lines: str) -> Plan:
    return apply_import(parsed=parsed(*lines), actor=actor)


def stored() -> dict[str, int]:
    models = (Instance, Container, Installation, ExpectedHostKey)
    return {model.__name__: model.objects.count() for model in models}


def test_one_row_makes_instance_container_and_installation(actor: Actor) -> None:
    plan = run(actor, "instance,container,address,host_key", f"prod1,app-1,app-1.example.com,{KEY}")
    assert (plan.created, plan.updated, plan.unchanged) == (4, 0, 0)
    installation = Installation.objects.get()
    assert (installation.instance.name, installation.container.address) == ("prod1", "app-1.example.com")
    assert ExpectedHostKey.objects.get().fingerprint == KEY
    assert not installation.container.host_keys.exists()


def test_importing_the_same_file_again_changes_nothing(actor: Actor) -> None:
    lines = ("instance,container,address,port,host_key", f"prod1,app-1,app-1.example.com,2222,{KEY}")
    run(actor, *lines)
    before = stored()
    plan = run(actor, *lines)
    assert (plan.created, plan.updated, plan.unchanged) == (0, 0, 1)
    assert stored() == before


def test_importing_a_changed_file_updates_what_it_says_and_leaves_the_rest(actor: Actor) -> None:
    run(actor, "instance,container,address,login,role", "prod1,app-1,old.example.com,campaign,MID")
    plan = run(actor, "instance,container,address", "prod1,app-1,new.example.com")
    assert [(change.name, change.differences) for change in plan.changes] == [
        ("app-1", {"address": ["old.example.com", "new.example.com"]})
    ]
    container = Container.objects.get()
    assert (container.address, container.login) == ("new.example.com", "campaign")
    assert Instance.objects.get().role == "MID"


def test_a_row_that_is_no_longer_in_the_file_stays_in_the_inventory(actor: Actor) -> None:
    run(actor, "instance,container,address", "prod1,app-1,a1.example.com", "prod1,app-2,a2.example.com")
    run(actor, "instance,container,address", "prod1,app-1,a1.example.com")
    assert Installation.objects.count() == 2


def test_a_hosted_instance_is_listed_without_a_container(actor: Actor) -> None:
    run(actor, "instance,container,address,deployment", "cloud1,,,hosted")
    assert not Instance.objects.get().is_pushable
    assert not Container.objects.exists()


def test_one_wrong_row_stores_nothing_at_all(actor: Actor) -> None:
    with pytest.raises(ImportRefused) as refused:
        run(
            actor,
            "instance,container,address",
            "prod1,app-1,app-1.example.com",
            "prod1,app-2,https://nonsense",
        )
    assert [(error.row_number, error.column) for error in refused.value.errors] == [(3, "address")]
    assert set(stored().values()) == {0}
    assert not AuditEvent.objects.exists()


def test_an_import_that_breaks_off_midway_leaves_nothing_behind(actor: Actor) -> None:
    def break_off(done: int, total: int) -> None:
        raise InterruptedError

    file = parsed("instance,container,address", "prod1,app-1,app-1.example.com")
    with pytest.raises(InterruptedError):
        apply_import(parsed=file, actor=actor, progress=break_off)
    assert set(stored().values()) == {0}


def test_an_address_that_another_container_has_is_an_error_at_its_row(actor: Actor) -> None:
    Container.objects.create(name="app-1", address="app-1.example.com")
    with pytest.raises(ImportRefused) as refused:
        run(actor, "instance,container,address", "prod1,app-2,app-1.example.com")
    (error,) = refused.value.errors
    assert (error.row_number, error.column) == (2, "address")
    assert "app-1" in str(error.reason)


def test_where_a_new_container_takes_the_address_of_one_in_the_file_its_own_row_is_wrong(
    actor: Actor,
) -> None:
    head = "instance,container,address"
    run(actor, head, "prod1,app-1,a.example.com")
    with pytest.raises(ImportRefused) as refused:
        run(actor, head, "prod1,app-2,a.example.com", "prod1,app-1,a.example.com")
    (error,) = refused.value.errors
    assert (error.row_number, error.column) == (2, "address")
    assert "app-1" in str(error.reason)


def test_a_plan_reads_what_its_file_names_and_no_more(actor: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    head = "instance,container,address,host_key"
    row = f"prod1,app-1,other.example.com,{KEY}"
    work = []
    for first in (0, 10):
        run(actor, head, *[f"inst{n},app-{n},h{n}.example.com,{KEY}" for n in range(first, first + 10)])
        with counted(connection) as now:
            plan = plan_import(parsed=parsed(head, row), actor=actor)
        work.append((now.statements, now.rows))
        assert [change.kind for change in plan.changes] == ["instance", "container", "installation"]
    assert work[0] == work[1]
    monkeypatch.setattr(importing, "MOST_NAMED", 0)
    assert plan_import(parsed=parsed(head, row), actor=actor).digest == plan.digest


def test_two_containers_can_swap_their_addresses(actor: Actor) -> None:
    run(actor, "instance,container,address", "prod1,app-1,a.example.com", "prod1,app-2,b.example.com")
    run(actor, "instance,container,address", "prod1,app-1,b.example.com", "prod1,app-2,a.example.com")
    assert dict(Container.objects.values_list("name", "address")) == {
        "app-1": "b.example.com",
        "app-2": "a.example.com",
    }


def test_a_new_fingerprint_replaces_the_expected_one(actor: Actor) -> None:
    head = "instance,container,address,host_key"
    run(actor, head, f"prod1,app-1,app-1.example.com,{KEY}")
    plan = run(actor, head, f"prod1,app-1,app-1.example.com,{OTHER_KEY}")
    assert (plan.created, plan.updated) == (0, 1)
    assert ExpectedHostKey.objects.get().fingerprint == OTHER_KEY


def test_a_plan_that_is_no_longer_the_confirmed_one_is_not_carried_out(actor: Actor) -> None:
    file = parsed("instance,container,address", "prod1,app-1,app-1.example.com")
    confirmed = plan_import(parsed=file, actor=actor).digest
    Instance.objects.create(name="prod1")
    with pytest.raises(PlanOutdated):
        apply_import(parsed=file, actor=actor, confirmed=confirmed)
    assert not Container.objects.exists()


def test_planning_stores_nothing(actor: Actor) -> None:
    plan_import(parsed=parsed("instance,container,address", "prod1,app-1,app-1.example.com"), actor=actor)
    assert set(stored().values()) == {0}


def test_history_names_each_change_and_the_totals(actor: Actor) -> None:
    run(actor, "instance,container,address", "prod1,app-1,app-1.example.com")
    imported, changed = AuditEvent.objects.order_by("-seq")
    assert imported.details == {"created": 3, "updated": 0, "unchanged": 0, "installations": 1}
    assert {"container": "app-1", "row": 2, "new": True} in changed.details["changes"]


def test_a_container_keeps_its_lease_and_switch_when_it_is_updated(actor: Actor) -> None:
    Container.objects.create(name="app-1", address="old.example.com", is_enabled=False, lease_owner="worker")
    run(actor, "instance,container,address", "prod1,app-1,new.example.com")
    container = Container.objects.get()
    assert (container.is_enabled, container.lease_owner) == (False, "worker")


def test_an_import_takes_time_as_there_are_rows_with_a_bounded_number_of_queries(actor: Actor) -> None:
    rows = [f"inst{n % 500},app-{n},h{n}.example.com,{22 + n % 3}" for n in range(5_500)]
    seconds = []
    for part in (rows[:500], rows[500:]):
        began = time.process_time()
        with CaptureQueriesContext(connection) as queries:
            run(actor, "instance,container,address,port", *part)
        seconds.append(time.process_time() - began)
    assert Installation.objects.count() == 5_500
    assert seconds[1] < 30 * seconds[0]  # a hundred times, if each row looked at all others
    assert len(queries) < 300


def test_thousands_of_changed_rows_are_updated_in_bulk(actor: Actor) -> None:
    head = "instance,container,address"
    run(actor, head, *[f"prod1,app-{n},h{n}.example.com" for n in range(3000)])
    with CaptureQueriesContext(connection) as queries:
        plan = run(actor, head, *[f"prod1,app-{n},m{n}.example.com" for n in range(3000)])
    assert plan.updated == 3000
    assert Container.objects.filter(address__startswith="m").count() == 3000
    assert len(queries) < 150
