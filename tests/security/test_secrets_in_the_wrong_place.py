"""Client secrets that people or containers put where everybody can read, and that must not stay there."""

import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from credentials.models import TechnicalAccount
from instances import nlserver
from portal.audit.models import AuditEvent
from portal.plaintext import Secret
from tests.credentials.wizard.wizard_walk import ACCOUNT, CLIENT, SECRET, console_json, post, reach_values
from tests.factories import finish, make_rollout

pytestmark = pytest.mark.django_db


def test_values_with_a_line_break_are_never_sent() -> None:
    class Wire:
        sent = b""

        def send(self, data: bytes) -> None:
            self.sent += data

    wire = Wire()
    job = nlserver.Job("prod1", "/usr/local/neolane", "none", 1, 1)
    conversation = nlserver.Conversation(connection=None, job=job)  # type: ignore[arg-type]  # never entered
    conversation._talk = wire  # type: ignore[assignment]  # only what is sent matters here
    for account in (
        nlserver.Account("org", "client\n", "account"),
        nlserver.Account("org", "", "account"),
        nlserver.Account("org/x", "client", "account"),
    ):
        with pytest.raises(ValueError, match="four values"):
            conversation.commit(account, Secret("secret"), before_newline=lambda: None)
    assert wire.sent == b""


@pytest.mark.parametrize("field", ["project", "product_profile"])
def test_a_secret_among_the_notes_is_refused_and_not_shown_again(as_admin: Client, field: str) -> None:
    account = reach_values(as_admin)
    step = {"project": "project", "product_profile": "profile"}[field]
    page = post(as_admin, account, step, {field: f"mine {SECRET}"}).content.decode()
    account.refresh_from_db()
    assert "looks like a client secret" in page
    assert SECRET not in page
    assert getattr(account, field) == ""


def test_a_secret_as_the_name_of_an_account_is_refused(as_admin: Client) -> None:
    page = as_admin.post(reverse("account_new"), {"way": "new", "name": SECRET}).content.decode()
    assert "looks like a client secret" in page
    assert SECRET not in page
    assert not TechnicalAccount.objects.exists()


def test_a_secret_as_the_reason_of_a_retry_is_refused(as_helpdesk: Client) -> None:
    push = make_rollout().pushes.get()
    finish(push, state="failed", code="timed_out")
    page = as_helpdesk.post(reverse("push_retry", args=[push.pk]), {"message": SECRET}).content.decode()
    push.refresh_from_db()
    assert "looks like a client secret" in page
    assert SECRET not in page
    assert (push.state, push.cause_message) == ("failed", "")
    assert not AuditEvent.objects.filter(action="push.retried").exists()


def test_a_console_file_with_a_secret_in_other_fields_stores_none_of_it_in_clear(as_admin: Client) -> None:
    account = reach_values(as_admin)
    document = {**json.loads(console_json()), "TECHNICAL_ACCOUNT_EMAIL": SECRET, "SCOPES": ["openid", SECRET]}
    post(as_admin, account, "values", {"action": "file", "text": json.dumps(document)})
    account.refresh_from_db()
    assert account.technical_account_id == ACCOUNT
    assert account.newest_version is not None
    row = TechnicalAccount.objects.filter(pk=account.pk).values().get()
    assert SECRET not in json.dumps({name: str(value) for name, value in row.items()})


def test_a_secret_in_the_choice_of_a_client_id_is_not_shown_again(as_admin: Client) -> None:
    account = reach_values(as_admin)
    both = [
        {"oauth_server_to_server": {"client_id": each, "technical_account_id": ACCOUNT}}
        for each in (CLIENT, "f" * 32)
    ]
    workspace = {"project": {"org": {}, "workspace": {"details": {"credentials": both}}}}
    file = SimpleUploadedFile("workspace.json", json.dumps(workspace).encode())
    page = post(as_admin, account, "values", {"action": "file", "file": file, "use_client_id": SECRET})
    assert CLIENT in page.content.decode()
    assert SECRET not in page.content.decode()
