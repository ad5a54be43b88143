"""Adobe is asked by workers: a page writes a question down, and never opens a secret itself."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test import Client
from django.urls import reverse
from pytest_django.fixtures import Settings

from credentials import inquiries
from credentials.adobe.ims import TokenVerdict
from credentials.keys import vault
from credentials.keys.keyring import UnreadableSecret
from credentials.models import ClientSecret, Inquiry, TechnicalAccount
from credentials.services import activate, add_secret
from portal.audit.models import AuditEvent
from portal.audit.trail import Actor
from portal.plaintext import Secret
from portal.processes.serving import serving
from portal.sandbox.ims import Mode, StandInIMS
from portal.short_lived import remove_expired
from tests.credentials.wizard.wizard_walk import ACCOUNT, CLIENT, ORGANIZATION, SECRET

pytestmark = pytest.mark.django_db


@pytest.fixture
def ims(settings: Settings) -> Iterator[StandInIMS]:
    with StandInIMS(slow_seconds=2) as server:
        server.accept(CLIENT, Secret(SECRET))
        settings.IMS_BASE_URL = server.url
        yield server


@pytest.fixture
def version(actor: Actor) -> ClientSecret:
    account = TechnicalAccount.objects.create(
        name="Triggers", client_id=CLIENT, organization_id=ORGANIZATION, technical_account_id=ACCOUNT
    )
    version, _is_new = add_secret(account=account, plaintext=Secret(SECRET), actor=actor)
    activate(account=account, actor=actor)
    return version


def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no worker hear the bell, and let nobody wait for long."""
    monkeypatch.setattr(inquiries, "ring", lambda: None)
    monkeypatch.setattr(inquiries, "PATIENCE", 0.2)


def test_no_page_opens_a_stored_secret(version: ClientSecret) -> None:
    with serving(), pytest.raises(RuntimeError, match="opens no stored secret"):
        vault.open_version(version)
    assert vault.open_version(version).reveal() == SECRET


def test_a_page_that_asked_itself_would_fail(
    as_admin: Client, version: ClientSecret, ims: StandInIMS, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inquiries, "ring", lambda: inquiries.work(threading.Event()))
    with pytest.raises(RuntimeError, match="opens no stored secret"):
        as_admin.post(reverse("account_check", args=[version.account_id]))
    assert ims.requests == 0


def test_the_answer_is_kept_with_the_person_who_asked(
    as_admin: Client, version: ClientSecret, ims: StandInIMS
) -> None:
    as_admin.post(reverse("account_check", args=[version.account_id]))
    version.refresh_from_db()
    assert version.ims_verdict == TokenVerdict.VALID
    event = AuditEvent.objects.get(action="client_secret.checked")
    assert (event.actor_name, event.ip, len(event.request_id)) == ("alice", "127.0.0.1", 16)
    inquiry = Inquiry.objects.get()
    assert inquiry.answered is not None
    assert SECRET not in str(inquiry.__dict__)


def test_without_a_worker_the_answer_says_so_and_the_way_on_stays_open(
    as_admin: Client, version: ClientSecret, ims: StandInIMS, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody(monkeypatch)
    url = reverse("account_check", args=[version.account_id])
    part = as_admin.post(url, headers={"HX-Request": "true"}).content.decode()
    assert "A worker of the portal asks Adobe, but none did in time" in part
    assert not Inquiry.objects.exists()  # nobody answers later what nobody waits for
    assert ims.requests == 0
    version.refresh_from_db()
    assert version.ims_verdict == TokenVerdict.NOT_ASKED


def test_a_secret_that_does_not_decrypt_is_said(version: ClientSecret, actor: Actor, ims: StandInIMS) -> None:
    ClientSecret.objects.filter(pk=version.pk).update(ciphertext="v1.00000000.AAAA")
    with pytest.raises(UnreadableSecret, match="not in the key ring"):
        inquiries.ask(version=version, actor=actor)
    assert ims.requests == 0


def test_a_question_that_a_vanished_worker_took_is_asked_by_the_next(
    version: ClientSecret, ims: StandInIMS
) -> None:
    taken = {"taken": Now() - Inquiry.ABANDONED - timedelta(seconds=1), "asked": Now() - timedelta(seconds=3)}
    left = Inquiry.objects.create(version=version, asked_by="alice")
    Inquiry.objects.filter(pk=left.pk).update(**taken)
    just_taken = Inquiry.objects.create(version=version, asked_by="alice", taken=Now())
    inquiries.work(threading.Event())
    assert Inquiry.objects.get(pk=left.pk).answered is not None
    assert Inquiry.objects.get(pk=just_taken.pk).answered is None
    assert ims.requests == 1


def test_what_nobody_waits_for_any_more_is_not_asked(version: ClientSecret, ims: StandInIMS) -> None:
    for asked in (Now() - timedelta(hours=2), Now() + timedelta(hours=2)):  # and a clock that was set back
        row = Inquiry.objects.create(version=version, asked_by="alice")
        Inquiry.objects.filter(pk=row.pk).update(asked=asked)
    inquiries.work(threading.Event())
    assert ims.requests == 0
    remove_expired()
    assert not Inquiry.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_slow_adobe_keeps_no_other_question_waiting(
    version: ClientSecret, actor: Actor, ims: StandInIMS, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four people ask at once, and one worker asks for all of them at the same time."""
    ims.mode = Mode.SLOW
    monkeypatch.setattr(inquiries, "ring", lambda: None)

    def ask(_number: int) -> str:
        try:
            return inquiries.ask(version=ClientSecret.objects.get(pk=version.pk), actor=actor).verdict
        finally:
            connection.close()

    stopping = threading.Event()
    with ThreadPoolExecutor(4) as people:
        answers = [people.submit(ask, number) for number in range(4)]
        deadline = time.monotonic() + 60
        while Inquiry.objects.count() < 4 and time.monotonic() < deadline:
            time.sleep(0.02)
        inquiries.work(stopping)
        assert [each.result(60) for each in answers] == [TokenVerdict.VALID] * 4
    assert ims.most_at_once == 4
