"""Retiring what is gone, and taking it back: rows, history, what is refused, and the command."""

import io
import json

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction

from instances.discovery.models import Reading
from instances.discovery.services import ask
from instances.inventory import csv_format, editing, retiring
from instances.inventory.importing import ImportRefused, apply_import
from instances.inventory.retiring import RetiringError, Row
from instances.models import Container, Installation, Instance, KeyScan
from instances.reaching import key_scans
from instances.visits import errands
from portal.audit.erasing import erase
from portal.audit.models import AuditEvent
from portal.audit.trail import Actor
from portal.no_secrets import SecretInClear
from tests.factories import make_container, make_installation, make_instance

pytestmark = pytest.mark.django_db
WHY = "Decommissioned, CHG-7"


def rows() -> dict[str, Row]:
    """An installation, its instance and its container, by kind; each is one of two."""
    make_installation(instance="prod2", container="web2")
    installation = make_installation()
    return {
        "installation": installation,
        "instance": installation.instance,
        "container": installation.container,
    }


@pytest.mark.parametrize("kind", ["installation", "instance", "container"])
def test_an_installation_is_retired_with_itself_its_instance_or_its_container(
    kind: str, actor: Actor
) -> None:
    row = rows()[kind]
    done = retiring.retire(row=row, reason=WHY, actor=actor)
    assert (done.is_new, done.installations, done.row.retired_by) == (True, 1, "alice")
    assert [str(each) for each in Installation.objects.retired()] == ["prod1 on web1"]
    assert [str(each) for each in Installation.objects.pushable()] == ["prod2 on web2"]
    assert Installation.objects.retired().get().retired_with == done.row
    event = AuditEvent.objects.get()
    assert (event.action, event.target_name) == (f"{kind}.retired", str(row))
    assert event.details == {"reason": WHY, "installations": 1}
    assert retiring.foresee_return(done.row) == 1
    assert retiring.take_back(row=row, reason="A mistake", actor=actor).installations == 1
    assert not Installation.objects.retired().exists()
    event = AuditEvent.objects.get(action=f"{kind}.taken_back")
    assert event.details == {"reason": "A mistake", "retired_because": WHY, "installations": 1}


def test_what_is_so_already_stays_as_it_is_and_the_first_reason_counts(actor: Actor) -> None:
    row = rows()["container"]
    assert not retiring.take_back(row=row, reason="x", actor=actor).is_new
    retiring.retire(row=row, reason=WHY, actor=actor)
    again = retiring.retire(row=row, reason="Another", actor=Actor("bob"))
    assert (again.is_new, again.row.retired_by, again.row.retired_reason) == (False, "alice", WHY)
    assert [event.action for event in AuditEvent.objects.all()] == ["container.retired"]


def test_a_page_about_an_earlier_retirement_does_not_end_a_later_one(actor: Actor) -> None:
    row = rows()["container"]
    first = retiring.retire(row=row, reason=WHY, actor=actor).row
    assert first.retired
    seen = first.retired.isoformat()
    retiring.take_back(row=row, reason="A mistake", actor=actor, seen=seen)
    retiring.retire(row=row, reason="Really gone", actor=actor)
    with pytest.raises(RetiringError, match="retired it again"):
        retiring.take_back(row=row, reason="A mistake", actor=actor, seen=seen)
    assert Container.objects.retired().get().retired_reason == "Really gone"


def test_one_that_was_removed_meanwhile_is_said(actor: Actor) -> None:
    row = rows()["installation"]
    Installation.objects.filter(pk=row.pk).delete()
    for act in (retiring.retire, retiring.take_back):
        with pytest.raises(RetiringError, match="just removed"):
            act(row=row, reason=WHY, actor=actor)


@pytest.mark.parametrize("text", ["", "   ", "x" * 251, "two\nlines", "a\u202eb", "\0"])
def test_a_reason_is_one_visible_line(text: str) -> None:
    with pytest.raises(ValidationError):
        retiring.clean_reason(text)


def test_a_reason_is_kept_without_blanks_around_it_and_no_table_takes_one_less(actor: Actor) -> None:
    assert retiring.clean_reason(f" {WHY} ") == WHY
    container = make_container()
    with pytest.raises(IntegrityError), transaction.atomic():
        retiring.retire(row=container, reason="", actor=actor)
    assert Container.objects.not_retired().exists()


def test_a_secret_is_no_reason(actor: Actor) -> None:
    with pytest.raises(SecretInClear), transaction.atomic():
        retiring.retire(row=make_container(), reason="p8e-" + "A1b2" * 8, actor=actor)


def test_the_name_of_a_person_who_retired_something_can_be_erased(actor: Actor) -> None:
    retired = [retiring.retire(row=row, reason=WHY, actor=actor).row for row in rows().values()]
    with transaction.atomic():
        erase("alice", user=None, reason="asked", actor=Actor("bob"))
    for row in retired:
        row.refresh_from_db()
        assert row.retired_by.startswith("erased-")


# Going there


def test_nobody_goes_to_a_retired_container(actor: Actor) -> None:
    container = make_container(approved=False)
    ask(containers=[container], actor=actor)
    key_scans.start(actor=actor)
    assert errands.containers_due().filter(pk=container.pk).exists()
    done = retiring.retire(row=container, reason=WHY, actor=actor)
    assert done.counts["readings"] == 1
    reading = Reading.objects.get()
    assert (reading.state, reading.code, reading.finished is None) == ("failed", "retired", False)
    assert KeyScan.objects.get().state == KeyScan.State.STOPPED
    assert not key_scans.without_key().exists()
    assert AuditEvent.objects.latest("seq").details == {"reason": WHY, "installations": 0, "readings": 1}
    # even what should not be there is not gone to
    Reading.objects.create(container=container, asked_by="alice")
    assert not errands.containers_due().exists()


def test_one_that_is_being_read_is_not_retired_just_now(actor: Actor) -> None:
    container = make_container()
    Reading.objects.create(container=container, asked_by="alice", state="running")
    assert "try again in a minute" in retiring.foresee(container).refusal
    with pytest.raises(RetiringError, match="is reading it now"):
        retiring.retire(row=container, reason=WHY, actor=actor)
    assert not Container.objects.retired().exists()
    assert not AuditEvent.objects.exists()


def test_no_command_goes_to_a_retired_container(actor: Actor) -> None:
    retiring.retire(row=make_container(), reason=WHY, actor=actor)
    with pytest.raises(CommandError, match="web1 is retired: nobody logs in there"):
        call_command("read", "web1")
    with pytest.raises(CommandError, match="web1 is retired: take it back first"):
        call_command("trust_host_key", "web1", fingerprint="SHA256:" + "A" * 43)
    call_command("read", all=True, stdout=io.StringIO())
    assert not Reading.objects.exists()


# The inventory


def test_a_retired_row_is_not_edited_and_nothing_is_added_to_it(actor: Actor) -> None:
    found = rows()
    instance, container = found["instance"], found["container"]
    assert isinstance(instance, Instance)
    assert isinstance(container, Container)
    other = make_instance(name="other")
    retiring.retire(row=container, reason=WHY, actor=actor)
    retiring.retire(row=instance, reason=WHY, actor=actor)
    stale = Container.objects.get(pk=container.pk)
    with pytest.raises(editing.InventoryError, match="web1 is retired: take it back first"):
        editing.switch_container(container=stale, is_enabled=False, actor=actor)
    with pytest.raises(editing.InventoryError, match="prod1 is retired"):
        editing.save_instance(instance=Instance.objects.get(pk=instance.pk), actor=actor)
    with pytest.raises(editing.InventoryError, match="web1 is retired"):
        editing.add_installation(instance=other, container=stale, actor=actor)
    with pytest.raises(editing.InventoryError, match="prod1 is retired"):
        editing.remove_installation(installation=Installation.objects.get(instance=instance), actor=actor)


def test_a_retired_installation_is_not_listed_anew(actor: Actor) -> None:
    row = rows()["installation"]
    assert isinstance(row, Installation)
    retiring.retire(row=row, reason=WHY, actor=actor)
    with pytest.raises(editing.InventoryError, match="prod1 on web1 is retired"):
        editing.add_installation(instance=row.instance, container=row.container, actor=actor)


def test_the_address_of_a_retired_container_is_free_for_its_successor(actor: Actor) -> None:
    old = make_container()
    retiring.retire(row=old, reason=WHY, actor=actor)
    run(actor, "prod1,web1-new,web1.example.com")
    with pytest.raises(RetiringError, match="Another container now has its address and port"):
        retiring.take_back(row=old, reason="x", actor=actor)
    assert Container.objects.retired().get() == old


def run(actor: Actor, *lines: str) -> None:
    text = "\n".join(["instance,container,address", *lines])
    apply_import(parsed=csv_format.parse(text.encode(), allow_loopback=True), actor=actor)


@pytest.mark.parametrize(
    ("kind", "column", "name"),
    [
        ("instance", "instance", "prod1"),
        ("container", "container", "web1"),
        ("installation", "container", "prod1 on web1"),
    ],
)
def test_an_import_does_not_revive_what_is_retired_and_says_why_at_the_line(
    kind: str, column: str, name: str, actor: Actor
) -> None:
    retiring.retire(row=rows()[kind], reason=WHY, actor=actor)
    with pytest.raises(ImportRefused) as caught:
        run(actor, "prod2,web2,web2.example.com", "prod1,web1,web1.example.com")
    (error,) = caught.value.errors
    assert (error.row_number, error.column) == (3, column)
    assert error.reason.startswith(f"{name} was retired on ")
    assert f"by alice ({WHY}): take it back first" in error.reason
    assert Installation.objects.retired().count() == 1


# The command


def call(*arguments: str, reason: str = WHY) -> str:
    out = io.StringIO()
    call_command("retire", *arguments, "--reason", reason, stdout=out)
    return out.getvalue()


def test_the_command_retires_and_takes_back(actor: Actor) -> None:
    rows()
    assert call("container", "web1") == "web1 is retired; installations left out: 1.\n"
    assert "web1 was retired on " in call("container", "web1", reason="again")
    assert (
        call("container", "web1", "--take-back")
        == "web1 is in use again; installations that count again: 1.\n"
    )
    assert call("container", "web1", "--take-back") == "web1 is in use.\n"
    answer = json.loads(call("installation", "prod1", "web1", "--json"))
    assert answer.pop("retired")
    assert answer.pop("retired_by").endswith("(command line)")
    assert answer == {
        "kind": "installation",
        "name": "prod1 on web1",
        "changed": True,
        "reason": WHY,
        "installations": 1,
        "cancelled": 0,
        "given_up": 0,
        "readings": 0,
    }
    assert json.loads(call("instance", "prod2", "--json"))["installations"] == 1
    assert not Installation.objects.not_retired().exists()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["container", "web3"], "There is no container web3. Did you mean web"),
        (["instance", "prod"], "There is no instance prod."),
        (["installation", "prod1"], "by its INSTANCE and CONTAINER"),
        (["container", "web1", "web2"], "Name one container"),
        (["installation", "prod1", "web2"], "prod1 is not listed on web2."),
    ],
)
def test_a_wrong_call_says_what_is_wrong(arguments: list[str], text: str) -> None:
    rows()
    with pytest.raises(CommandError) as caught:
        call(*arguments)
    assert (caught.value.returncode, text in str(caught.value)) == (2, True)


def test_a_call_without_a_reason_that_counts_is_wrong() -> None:
    make_container()
    with pytest.raises(CommandError, match="--reason: Say why") as caught:
        call("container", "web1", reason=" ")
    assert caught.value.returncode == 2
    Reading.objects.create(container=Container.objects.get(), asked_by="alice", state="running")
    with pytest.raises(CommandError, match="try again in a minute") as caught:
        call("container", "web1")
    assert caught.value.returncode == 1
