"""From an entry of the history to the page of what it is about, and from a person to their entries."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.db import models, transaction
from django.test import Client
from django.utils.translation import override

from credentials.rollouts.models import Push
from credentials.shown.display import push_in_words
from portal.audit import labels
from portal.audit.models import AuditEvent
from portal.audit.trail import Actor, record
from tests.factories import finish_all, make_instance, make_rollout, make_rotation

pytestmark = pytest.mark.django_db


def a_push() -> models.Model:
    finish_all(make_rollout(), state="succeeded")
    return Push.objects.get()


OBJECTS: dict[str, Callable[[], models.Model]] = {
    "/rollouts/pushes/{}/": a_push,
    "/rollouts/{}/": lambda: a_push().rollout,  # type: ignore[attr-defined]  # a push has one
    "/accounts/{}/": lambda: make_rotation().account,
    "/rotations/{}/": make_rotation,
    "/instances/{}/": make_instance,
    "/containers/{}/": lambda: a_push().container,  # type: ignore[attr-defined]  # likewise
    "/installations/{}/": lambda: a_push().installation,  # type: ignore[attr-defined]  # likewise
}


def entry(actor: User, target: models.Model) -> AuditEvent:
    with transaction.atomic():
        return record("push.retried", actor=Actor(actor.username, actor), target=target)


def link(client: Client, event: AuditEvent) -> str:
    return str(client.get(f"/history/{event.seq}/").context["page_url"])


@pytest.mark.parametrize("address", OBJECTS)
def test_an_entry_leads_to_what_it_is_about(as_helpdesk: Client, helpdesk: User, address: str) -> None:
    target = OBJECTS[address]()
    event = entry(helpdesk, target)
    found = link(as_helpdesk, event)
    assert f'href="{found}"' in as_helpdesk.get(f"/history/{event.seq}/").content.decode()
    assert found == address.format(target.pk)
    assert as_helpdesk.get(found).status_code == 200


def test_an_entry_about_something_removed_or_unknown_leads_nowhere(as_auditor: Client, auditor: User) -> None:
    gone = make_instance()
    event = entry(auditor, gone)
    gone.delete()
    assert link(as_auditor, event) == ""
    with transaction.atomic():
        event = record("sign_in.failed", actor=Actor("x"), details={})
    assert link(as_auditor, event) == ""


def test_only_who_manages_users_is_led_to_a_person(
    as_admin: Client, as_auditor: Client, helpdesk: User
) -> None:
    event = entry(helpdesk, helpdesk)
    assert link(as_admin, event) == f"/users/{helpdesk.pk}/"
    assert link(as_auditor, event) == ""


def test_a_person_leads_to_what_they_did(as_admin: Client, helpdesk: User) -> None:
    entry(helpdesk, helpdesk)
    assert "/history/?who=henry" in as_admin.get(f"/users/{helpdesk.pk}/").content.decode()
    lines = as_admin.get("/history/?who=henry").context["stretch"].lines
    assert {line.event.actor_name for line in lines} == {"henry"}


def test_kept_names_are_read_in_the_language_of_the_page(as_auditor: Client, auditor: User) -> None:
    push = a_push()
    with transaction.atomic():
        event = record("push.retried", actor=Actor("root (command line)"), target=push)
    for address in ("/history/", f"/history/{event.seq}/"):
        page = as_auditor.get(address, headers={"Accept-Language": "fr"}).content.decode()
        assert "prod1 sur web1 (déploiement #1)" in page
        assert "root (ligne de commande)" in page
    assert "prod1 on web1 (rollout #1)" in as_auditor.get("/history/").content.decode()


@pytest.mark.parametrize(
    "name", ["prod1", "prod1 on web1", "x (rollout #y)", "", "one two on three (rollout #1)"]
)
def test_a_kept_name_of_another_shape_stays_as_it_is(name: str) -> None:
    with override("fr"):
        assert push_in_words(name).replace("déploiement", "rollout").replace(" sur ", " on ") == name


def test_codes_of_details_are_read_as_words(as_auditor: Client, auditor: User) -> None:
    details: dict[str, object] = {
        "was": "failed",
        "reason": "roll_back",
        "weekdays": ["sat", "sun"],
        "changes": {"environment": ["stage", "production"]},
        "note": "failed",
    }
    with transaction.atomic():
        event = record("push.retried", actor=Actor("henry"), details=details)
    facts = dict(labels.line_of(event).facts)
    assert facts == {
        "was": "Failed",
        "reason": "Roll back",
        "weekdays": "Saturday, Sunday",
        "environment": "Stage → Production",
        "note": "failed",
    }
