"""An upgrade of a whole portal: nothing is lost, everything is told in words, and what was open goes on."""

import json
from contextlib import suppress
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection, transaction
from django.test import Client
from django.urls import reverse
from django.utils.html import escape
from pytest_django.fixtures import Settings

from credentials.entry import Doubt
from credentials.keys.vault import open_version
from credentials.models import ClientSecret, DesiredVersion, TechnicalAccount
from credentials.rollouts.models import Attempt, Push, Rollout
from credentials.wizard.models import Draft
from instances import ssh
from instances.models import Container, Instance
from instances.visits import visit
from portal.audit.append_only import unprotected
from portal.audit.labels import LABELS, lines_of
from portal.audit.models import AuditEvent
from portal.private_files import key_file
from tests.upgrade.past import Past, hold_its_keys, past, upgrade
from tests.upgrade.releases import BEHIND

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

SECRETS = {("Triggers", 1): 1, ("Triggers", 2): 2, ("Zähler/Journeys", 1): 3, ("Old campaign", 1): 4}
"""The number in each made-up secret; every draft has the same one, 9."""
NOBODY_TAKES_THEM = "/rollouts/"
"""Where `status` leads for pushes that have waited for too long: these have, by now."""
CHANGED = {
    ("wizard.draft", "confirmed"),
    ("wizard.draft", "cautions"),
    ("credentials.clientsecret", "state"),
}
"""Columns that migrations change on purpose: drafts keep codes, and versions have other states."""


@pytest.fixture(autouse=True)
def _its_keys(settings: Settings, tmp_path: Path) -> None:
    hold_its_keys(settings)
    settings.SSH_KEY_PATH = tmp_path / "ssh_key"
    key_file(settings.SSH_KEY_PATH, ssh.generate_private_key)


@pytest.mark.slow
def test_a_portal_of_the_past_goes_on_where_it_was() -> None:
    before = Past()
    assert before.count("audit.auditevent") > 100
    upgrade()
    nothing_is_lost(before)
    the_history_is_whole()
    secrets_still_open()
    versions_are_usable_as_they_were()
    drafts_keep_what_was_typed()
    commands_answer_as_before()
    every_page_answers_in_words()
    what_was_open_goes_on()


def nothing_is_lost(before: Past) -> None:
    """Every row is there, and every value of it apart from what a migration changes on purpose."""
    for label, table in past()["tables"].items():
        old = [dict(zip(table["fields"], row, strict=True)) for row in before.written(label)]
        new = [dict(zip(table["fields"], row, strict=True)) for row in before.present(label)]
        for row in (*old, *new):
            for model, column in CHANGED:
                if model == label:
                    del row[column]
        assert new == old, label


def the_history_is_whole() -> None:
    verified = answer("verify_audit")
    assert (verified["intact"], verified["findings"]) == (True, [])
    assert verified["head"] == past()["head"]
    assert len(verified["sealed_breaks"]) == 1
    assert not unprotected(connection)
    with pytest.raises(Exception, match="append-only"), transaction.atomic():
        AuditEvent.objects.filter(seq=7).update(actor_name="mallory")
    with pytest.raises(Exception, match="append-only"), transaction.atomic():
        Attempt.objects.exclude(finished=None).update(notes=[])


def secrets_still_open() -> None:
    versions = ClientSecret.objects.select_related("account")
    assert versions.count() == 8
    for version in versions:
        number = SECRETS.get((version.account.name, version.version), 9)
        assert open_version(version).reveal() == f"p8e-A-made-up-test-secret-no-{number:07}"


def versions_are_usable_as_they_were() -> None:
    """The current one and the newest before it; a retired account has none. The current one is the goal."""
    found = {
        (each.account.name, each.version): each.state
        for each in ClientSecret.objects.select_related("account").exclude(account__state="draft")
    }
    assert found == {
        ("Triggers", 1): "usable",
        ("Triggers", 2): "usable",
        ("Zähler/Journeys", 1): "usable",
        ("Old campaign", 1): "abandoned",
    }
    goals = TechnicalAccount.objects.exclude(goal=None).values_list("name", "goal__version")
    assert dict(goals) == {"Triggers": 2, "Zähler/Journeys": 1}
    assert all(each.account.goal_id for each in ClientSecret.objects.filter(account__state="active"))
    failed = Push.objects.filter(state="failed", replaced=False, rollout__secret__version=2)
    assert failed.exists()
    assert set(failed.values_list("pk", flat=True)) <= set(
        DesiredVersion.objects.values_list("push", flat=True)
    )


def drafts_keep_what_was_typed() -> None:
    """What is doubtful is stored as codes now. Everything else was compared before."""
    table = past()["tables"]["wizard.draft"]
    former = {row[0]: dict(zip(table["fields"], row, strict=True)) for row in table["rows"]}
    drafts = Draft.objects.all()
    assert {draft.step for draft in drafts} == {"signin", "profile", "values", "check", "review"}
    for draft in drafts:
        for column in ("cautions", "confirmed"):
            sentences = former[draft.pk][column]
            assert getattr(draft, column) == [
                {"field": each["field"], "code": each["code"]} for each in sentences
            ]
            told = [str(Doubt(each["field"], each["code"]).message) for each in sentences]
            assert all(text and text != each["code"] for text, each in zip(told, sentences, strict=True))


def commands_answer_as_before() -> None:
    answers = past()["answers"]
    failed = answer("failed")["failed"]
    assert [{name: each[name] for name in answers["failed"][0]} for each in failed] == answers["failed"]
    status = answer("status")
    needs = [[each["count"], each["page"], each["names"]] for each in status["needs"]]
    new = {NOBODY_TAKES_THEM, "/coverage/?state=others"}
    former = [each for each in answers["status"]["needs"] if each[1] != BEHIND]
    assert sorted(each for each in needs if each[1] not in new) == former
    before = answers["status"]["under_way"]
    assert [{name: each[name] for name in before[0]} for each in status["under_way"]] == before


def answer(*words: str) -> Any:  # Any: plain JSON values
    out = StringIO()
    with suppress(SystemExit):  # something needs a person
        call_command(*words, "--json", stdout=out)
    return json.loads(out.getvalue())


def every_page_answers_in_words() -> None:
    admin, helpdesk, auditor = (signed_in(name) for name in ("alice", "henry", "astrid"))
    for client in (admin, helpdesk, auditor):
        for name in ("home", "rollouts", "failed_pushes", "history", "accounts", "instances", "containers"):
            page(client, name)
    for rollout in Rollout.objects.all():
        page(helpdesk, "rollout", rollout.pk)
    for account in TechnicalAccount.objects.exclude(state="draft"):
        page(auditor, "account", account.pk)
    page(admin, "instance", Instance.objects.get(name="acme-prod").pk)
    for container in Container.objects.filter(name__in=["app-01", "app-02", "app-05"]):
        page(helpdesk, "container", container.pk)
    attempts_are_told(auditor)
    events_are_told(auditor)
    drafts_open_at_their_step(admin)


def attempts_are_told(client: Client) -> None:
    """The first rollout has an attempt of every outcome code but two, and every note of that release."""
    for push in Push.objects.filter(rollout__number=1).prefetch_related("attempts"):
        shown = page(client, "push", push.pk)
        for attempt in push.attempts.all():
            words = [attempt.get_code_display(), *attempt.notes, attempt.get_proof_display()]
            assert all(escape(each) in shown for each in words)
            beside_its_words = f'<code class="code-of">{attempt.code}</code>'
            assert not attempt.code or f">{attempt.code}<" not in shown.replace(beside_its_words, "")


def events_are_told(client: Client) -> None:
    for line in lines_of(list(AuditEvent.objects.all())):
        assert line.event.action in LABELS
        assert line.label != line.event.action
    event = AuditEvent.objects.get(action="history.break_sealed")
    assert "Break in the history sealed" in page(client, "history_event", event.seq)


def drafts_open_at_their_step(client: Client) -> None:
    for draft in Draft.objects.select_related("account"):
        shown = page(client, "wizard", draft.account_id, draft.step)
        for caution in draft.cautions:
            assert escape(str(Doubt(**caution).message)) in shown


def signed_in(name: str) -> Client:
    client = Client()
    client.force_login(User.objects.get(username=name))
    return client


def page(client: Client, name: str, *arguments: object) -> str:
    response = client.get(reverse(name, args=arguments))
    assert response.status_code == 200, (name, arguments)
    return response.content.decode()


def what_was_open_goes_on() -> None:
    """Queued pushes are due. A running one is unknown and looked at, unless nothing can have been sent."""
    queued = Push.objects.filter(state="queued")
    assert queued.count() == 13
    never_sent = set(queued.filter(tries=0))
    assert len(never_sent) == 12
    assert never_sent <= set(Push.objects.due())
    running, early = (Push.objects.get(pk=past()["open"][name]) for name in ("running", "early"))
    assert running.state == early.state == "running"
    for push in (running, early):
        visit.visit(push.container_id)
        push.refresh_from_db()
    assert outcomes(running) == [("push", "unknown", "no_report"), ("look", "unknown", "connection_refused")]
    assert (running.state, running.code) == ("unknown", "no_report")
    assert outcomes(early) == [("push", "queued", "worker_lost")]
    assert answer("verify_audit")["intact"]


def outcomes(push: Push) -> list[tuple[str, str, str]]:
    return list(push.attempts.order_by("number").values_list("kind", "verdict", "code"))
