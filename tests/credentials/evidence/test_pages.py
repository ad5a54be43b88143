"""The buttons that make packs, and what they send."""

import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from credentials.evidence import pages
from portal.audit.models import AuditEvent
from portal.keys.models import KnownKey
from tests.factories import make_account, make_rotation

pytestmark = pytest.mark.django_db
TODAY = {"since": timezone.localdate().isoformat(), "until": timezone.localdate().isoformat()}


def names(response: Any) -> list[str]:  # Any: a streaming response of the test client
    with zipfile.ZipFile(BytesIO(b"".join(response.streaming_content))) as archive:
        return archive.namelist()


def said(response: Any) -> str:
    return " ".join(map(str, response.context["messages"]))


def test_an_auditor_gets_the_pack_of_an_account(as_auditor: Client) -> None:
    account = make_account().account
    page = as_auditor.get(reverse("account", args=[account.pk]))
    assert reverse("evidence_account", args=[account.pk]) in page.text
    response = as_auditor.post(reverse("evidence_account", args=[account.pk]))
    assert f'filename="evidence-account-{account.pk}.zip"' in response["Content-Disposition"]
    assert "manifest.json.sig" in names(response)
    assert AuditEvent.objects.get(action="evidence.made").actor_name == "astrid"


def test_and_that_of_a_rotation(as_auditor: Client) -> None:
    rotation = make_rotation()
    url = reverse("evidence_rotation", args=[rotation.pk])
    assert url in as_auditor.get(reverse("rotation", args=[rotation.pk])).text
    assert "verify.py" in names(as_auditor.post(url))


def test_and_that_of_the_period_that_the_history_is_filtered_to(as_auditor: Client) -> None:
    make_account()
    query = f"?since={TODAY['since']}&until={TODAY['until']}"
    url = reverse("evidence_period") + query
    assert url.replace("&", "&amp;") in as_auditor.get(reverse("history") + query).text
    assert "events.jsonl" in names(as_auditor.post(url))


def test_who_makes_a_pack_sees_the_fingerprint_that_an_outsider_needs(as_auditor: Client) -> None:
    url = reverse("account", args=[make_account().account.pk])
    KnownKey.objects.filter(name="signing_key").delete()
    assert "SHA256:" not in as_auditor.get(url).text  # none was made yet
    KnownKey.objects.create(name="signing_key", fingerprint="SHA256:of-the-signing-key")
    for page in (url, reverse("history")):
        assert "SHA256:of-the-signing-key" in as_auditor.get(page).text
        assert "verify.py PACK.zip --key" in as_auditor.get(page).text


def test_without_a_period_it_says_what_to_choose(as_auditor: Client) -> None:
    response = as_auditor.post(reverse("evidence_period"), follow=True)
    assert "Choose the period first" in said(response)


def test_the_filters_stay_where_there_is_no_pack(as_auditor: Client) -> None:
    query = "?since=2020-01-01&until=2020-01-31"
    response = as_auditor.post(reverse("evidence_period") + query, follow=True)
    assert response.redirect_chain[0][0] == reverse("history") + query
    assert "The history contains nothing about this" in said(response)


def test_helpdesk_sees_no_button(as_helpdesk: Client) -> None:
    account = make_account().account
    assert "Evidence pack" not in as_helpdesk.get(reverse("account", args=[account.pk])).text


def test_a_large_pack_is_left_to_the_command(as_auditor: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "MOST", 1)
    account = make_account().account
    response = as_auditor.post(reverse("evidence_account", args=[account.pk]), follow=True)
    assert "takes too long for a page" in said(response)


def test_a_lost_signing_key_is_said(as_auditor: Client) -> None:
    account = make_account().account
    url = reverse("evidence_account", args=[account.pk])
    names(as_auditor.post(url))
    path = Path(settings.SIGNING_KEY_PATH)
    text = path.read_text()
    path.unlink()
    try:
        response = as_auditor.post(url, follow=True)
    finally:
        path.write_text(text)
        path.chmod(0o600)
    assert "signing key is not available" in said(response)


def test_the_history_says_what_a_pack_of_a_period_needs_and_holds(as_auditor: Client) -> None:
    action = 'action="/history/evidence/'
    page = as_auditor.get("/history/").text
    assert 'href="#id_since"' in page
    assert action not in page
    assert "whatever else the history is narrowed to" in page
    page = as_auditor.get("/history/?since=2026-01-01&until=2026-01-31").text
    assert action in page
    assert 'href="#id_since"' not in page
    assert "whatever else the history is narrowed to" in page
