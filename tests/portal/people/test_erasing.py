"""A person who asks to be forgotten: the name goes everywhere, what they did stays, and lies are found."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, models, transaction
from django.test import Client

from credentials.rollouts.models import Attempt, Push, Rollout
from portal.audit.append_only import unprotected
from portal.audit.chain.verification import verify
from portal.audit.models import AuditEvent
from portal.audit.names import PersonName, name_columns
from portal.audit.trail import Actor, record
from portal.people.erasing import erase_name
from portal.people.services import deactivate
from tests.factories import finish, make_rollout
from tests.portal.audit.tampering import change
from tests.test_retention import PERSONAL

pytestmark = [pytest.mark.django_db, pytest.mark.database]


@pytest.fixture
def past(helpdesk: User, actor: Actor) -> None:
    """What a person did, and what was done to them."""
    henry = Actor("henry", helpdesk)
    record("push.retried", actor=henry, details={"rollout": 3})
    record("history.read", actor=actor, details={"filters": {"who": PersonName("Henry")}})
    record("sign_in.failures_counted", actor=actor, details={"people": [{"name": PersonName("henry")}]})
    rollout = make_rollout()
    Rollout.objects.update(requested_by=helpdesk, requested_by_name="henry")
    rollout.pushes.update(cause_by="henry")
    finish(rollout.pushes.get(), state="failed", code="timed_out")
    assert Attempt.objects.get().caused_by == "henry"
    deactivate(user=helpdesk, actor=actor)


def stored() -> str:
    """Every row of every table, as text."""
    rows = [list(model._base_manager.values_list()) for model in apps.get_models(include_auto_created=True)]
    return repr(rows).casefold()


def erase(actor: Actor) -> AuditEvent:
    return erase_name(name="henry", reason="asked on paper", actor=actor).event


@pytest.mark.usefixtures("past")
def test_the_name_is_gone_and_the_chain_verifies(actor: Actor, helpdesk: User, as_auditor: Client) -> None:
    before = {event.seq: event.hash for event in AuditEvent.objects.all()}
    head = verify().head
    assert "henry" in stored()
    event = erase(actor)
    assert "henry" not in stored()
    assert event.details["names"] == 4
    assert event.details["kept_in_form_1"] == 0
    assert verify(expected_head=head).is_intact
    assert {each.seq: each.hash for each in AuditEvent.objects.filter(seq__in=before)} == before
    instead = f"erased-{event.seq}"
    assert AuditEvent.objects.get(action="push.retried").actor_name == instead
    assert Rollout.objects.get().requested_by_name == instead
    assert (Push.objects.get().cause_by, Attempt.objects.get().caused_by) == (instead, instead)
    helpdesk.refresh_from_db()
    assert (helpdesk.username, helpdesk.has_usable_password()) == (instead, False)
    page = as_auditor.get(f"/history/?who={instead}").content.decode()
    assert "Push retried" in page
    assert unprotected(connection) == []


@pytest.mark.usefixtures("past")
def test_rows_are_append_only_again(actor: Actor) -> None:
    erase(actor)
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        AuditEvent.objects.filter(seq=1).update(actor_name="x")


def unsay(by: int, seq: int) -> None:
    change(by, details={"reason": "x"})


def take_out(by: int, seq: int) -> None:
    """Hide who did something, as if it had been erased with the others."""
    event = AuditEvent.objects.get(action="user.deactivated")
    from portal.audit.chain.canonical import commitment

    names: dict[str, Any] = event.names or {}
    known = commitment(names["/actor_name"]["salt"], event.actor_name)
    names["/actor_name"] = {"commitment": known, "erased_by": by}
    change(event.seq, names=names, actor_name=f"erased-{by}")


def take_out_alone(by: int, seq: int) -> None:
    take_out(77, seq)


def put_another(by: int, seq: int) -> None:
    """Show another name in the place of one that was erased."""
    change(seq, actor_name="bob")


def bring_back(by: int, seq: int) -> None:
    change(seq, actor_name="henry", names={"/actor_name": {"salt": "0" * 32}})


@pytest.mark.usefixtures("past")
@pytest.mark.parametrize(
    ("lie", "found"),
    [
        (take_out, ["erasure_changed"]),
        (take_out_alone, ["name_taken_out"]),
        (put_another, ["name_taken_out", "erasure_changed"]),
        (bring_back, ["changed", "erasure_changed"]),
        (unsay, ["changed", "name_taken_out"]),
    ],
)
def test_a_lie_about_a_name_is_found(lie: Callable[[int, int], None], found: list[str], actor: Actor) -> None:
    by = erase(actor).seq
    lie(by, AuditEvent.objects.get(action="push.retried").seq)
    assert sorted(each.code for each in verify().findings) == sorted(found)


def test_names_of_form_1_are_counted_and_stay(actor: Actor, helpdesk: User, as_admin: Client) -> None:
    event = record("push.retried", actor=Actor("henry", helpdesk))
    change(event.seq, form=None, names=None, seal=None)
    deactivate(user=helpdesk, actor=actor)
    assert erase(actor).details["kept_in_form_1"] == 1


@pytest.mark.usefixtures("past")
def test_two_people_are_two_acts(actor: Actor, auditor: User) -> None:
    record("push.retried", actor=Actor("astrid", auditor))
    deactivate(user=auditor, actor=actor)
    erase(actor)
    erase_name(name="astrid", reason="asked", actor=actor)
    assert verify().is_intact


def test_the_command_erases_a_name_of_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    record("portal.backed_up", actor=Actor("henry (command line)"))
    call_command("erase_name", "henry (command line)", "--reason=left", "--yes", "--json")
    answer = json.loads(capsys.readouterr().out)
    assert (answer["names"], answer["rows"], answer["kept_in_form_1"]) == (1, 0, 0)
    assert not AuditEvent.objects.filter(actor_name__startswith="henry").exists()
    assert verify().is_intact


@pytest.mark.parametrize(
    ("name", "reason", "why"),
    [
        ("henri", "x", "Neither a user nor the history has the name henri. Did you mean henry?"),
        ("henry", "x", "henry can still sign in. Deactivate the person first, on the page Users."),
        ("henry", "  ", "Say in --reason why."),
        ("henry", "Henry asked", "The reason stays for ever, so it must not hold the name."),
    ],
)
def test_what_cannot_be_erased_is_said(name: str, reason: str, why: str, helpdesk: User) -> None:
    with pytest.raises(CommandError) as error:
        call_command("erase_name", name, "--reason", reason, "--yes")
    assert str(error.value) == why
    assert not AuditEvent.objects.filter(action="user.name_erased").exists()


def test_every_column_with_names_is_declared() -> None:
    declared = {(model, field) for model, field in name_columns()}
    for model in apps.get_models(include_auto_created=True):
        for field in model._meta.get_fields():
            is_text = isinstance(field, models.CharField) and not field.primary_key
            if is_text and PERSONAL.search(field.name) and model not in (User, AuditEvent):
                if field.name in ("ip", "name_hash"):
                    continue
                assert (model, field.name) in declared, f"{model._meta.label}.{field.name}"
