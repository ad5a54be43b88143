"""A rollout asks Adobe by itself, and starts without a yes only where somebody says so."""

import logging
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django.fixtures import Settings

from credentials.adobe import ims as ims_module
from credentials.models import ClientSecret, TechnicalAccount
from credentials.rollouts.models import Rollout
from credentials.services import activate, add_secret, assign
from instances.models import Installation
from portal.audit.models import AuditEvent
from portal.audit.trail import Actor
from portal.plaintext import Secret
from portal.sandbox.ims import Mode, StandInIMS
from tests.credentials.wizard.wizard_walk import (
    ACCOUNT,
    CLIENT,
    ORGANIZATION,
    OTHER_SECRET,
    SECRET,
    choose,
    make_installation,
)

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}
FIRST, SECOND = 'value="start"', 'value="unconfirmed"'


@pytest.fixture
def ims(settings: Settings) -> Iterator[StandInIMS]:
    with StandInIMS() as server:
        server.accept(CLIENT, Secret(OTHER_SECRET))
        settings.IMS_BASE_URL = server.url
        yield server


@pytest.fixture
def installation(db: None) -> Installation:
    return make_installation()


@pytest.fixture
def account(actor: Actor, installation: Installation) -> TechnicalAccount:
    account = TechnicalAccount.objects.create(
        name="Triggers", client_id=CLIENT, organization_id=ORGANIZATION, technical_account_id=ACCOUNT
    )
    add_secret(account=account, plaintext=Secret(SECRET), actor=actor)
    activate(account=account, actor=actor)
    assign(account=account, instances=[installation.instance], actor=actor)
    return account


def url(account: TechnicalAccount, name: str = "account_rollout") -> str:
    return reverse(name, args=[account.pk])


def enter(client: Client, account: TechnicalAccount, secret: str) -> None:
    """Enter another secret, and tell Adobe's stand-in nothing of it."""
    response = client.post(url(account, "account_secret"), {"client_secret": secret})
    assert response["Location"] == url(account)


def start(client: Client, account: TechnicalAccount, action: str = "start", **further: str) -> str:
    """Press a button of the page that is shown now; return the page that says why nothing was started."""
    secret = account.newest_version
    assert secret is not None
    chosen = choose(Installation.objects.all())
    data = {**chosen, "reason": "rotation", "action": action, "secret": str(secret.pk), **further}
    response = client.post(url(account), data)
    if response.status_code == 302:
        assert response["Location"] == reverse("rollout", args=[Rollout.objects.get().pk])
        return ""
    assert not Rollout.objects.exists()
    return str(response.content.decode())


def actions() -> list[str]:
    wanted = ("client_secret.checked", "client_secret.used_unconfirmed", "rollout.requested")
    return list(AuditEvent.objects.filter(action__in=wanted).order_by("seq").values_list("action", flat=True))


def test_the_page_of_a_new_secret_asks_by_itself_and_shows_the_answer(
    as_admin: Client, account: TechnicalAccount, ims: StandInIMS
) -> None:
    enter(as_admin, account, OTHER_SECRET)
    page = as_admin.get(url(account)).content.decode()
    assert 'hx-trigger="load"' in page
    assert ims.requests == 0  # looking at a page does nothing
    assert page.index(FIRST) < page.index(SECOND)
    assert "Ask Adobe, and start if it accepts" in page
    part = as_admin.post(url(account, "account_check"), headers=HTMX).content.decode()
    assert "Adobe accepts this credential" in part
    assert 'id="start"' in part
    assert SECOND not in part
    assert "hx-trigger" not in part
    assert "hx-trigger" not in as_admin.get(url(account)).content.decode()
    assert OTHER_SECRET not in part + page


def test_without_javascript_the_first_button_asks_and_starts_after_a_yes(
    as_admin: Client, account: TechnicalAccount, ims: StandInIMS
) -> None:
    enter(as_admin, account, OTHER_SECRET)
    assert start(as_admin, account) == ""
    assert actions() == ["client_secret.checked", "rollout.requested"]


def test_a_fresh_yes_is_not_asked_for_again(
    as_admin: Client, account: TechnicalAccount, ims: StandInIMS
) -> None:
    enter(as_admin, account, OTHER_SECRET)
    as_admin.post(url(account, "account_check"))
    assert start(as_admin, account) == ""
    assert ims.requests == 1


@pytest.mark.parametrize(
    ("mode", "why"),
    [
        (Mode.NORMAL, "Wrong client secret"),  # it knows another one
        (Mode.NO_LONGER_ALLOWED, "No longer allowed to get tokens"),
    ],
)
def test_a_refused_secret_needs_an_explicit_act(
    as_admin: Client, account: TechnicalAccount, ims: StandInIMS, mode: Mode, why: str
) -> None:
    ims.mode = mode
    page = start(as_admin, account)
    assert why in page
    assert "Roll out the refused secret" in page
    assert 'name="installation"' in page  # what was chosen is still there
    assert "Nothing was started" in page
    assert "confirm that you know it was refused" in start(as_admin, account, "unconfirmed")
    assert start(as_admin, account, "unconfirmed", despite_refusal="on") == ""
    assert actions()[-2:] == ["rollout.requested", "client_secret.used_unconfirmed"]
    event = AuditEvent.objects.get(action="client_secret.used_unconfirmed")
    assert event.details["verdict"] in ("wrong_secret", "no_longer_allowed")


@pytest.mark.parametrize("mode", [Mode.THROTTLED, Mode.GARBAGE, Mode.REDIRECT, Mode.SLOW])
def test_without_an_answer_only_the_second_button_goes_on(
    as_admin: Client,
    account: TechnicalAccount,
    ims: StandInIMS,
    mode: Mode,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ims_module, "DEADLINE", 0.5)
    ims.mode = mode
    page = start(as_admin, account)
    assert "Nothing was started" in page
    assert page.index("Ask Adobe again, and start if it accepts") < page.index("Start without Adobe")
    assert start(as_admin, account, "unconfirmed") == ""


def test_adobe_that_is_down_stops_the_first_button_alone(as_admin: Client, account: TechnicalAccount) -> None:
    assert "Adobe not reached" in start(as_admin, account)
    assert start(as_admin, account, "unconfirmed") == ""
    assert actions() == ["client_secret.checked", "rollout.requested", "client_secret.used_unconfirmed"]


@pytest.mark.parametrize("age", [timedelta(hours=1, minutes=1), -timedelta(minutes=5)])
def test_an_old_yes_is_asked_for_again(
    as_admin: Client, account: TechnicalAccount, ims: StandInIMS, age: timedelta
) -> None:
    """As with a former secret that is current again: Adobe may have deleted it since."""
    ClientSecret.objects.update(ims_verdict="valid", ims_checked=timezone.now() - age)
    page = as_admin.get(url(account)).content.decode()
    assert 'hx-trigger="load"' in page
    assert SECOND in page
    assert "Wrong client secret" in start(as_admin, account)


def test_a_tab_with_the_former_secret_starts_nothing(
    as_admin: Client, account: TechnicalAccount, ims: StandInIMS
) -> None:
    former = account.newest_version
    assert former is not None
    enter(as_admin, account, OTHER_SECRET)
    for action in ("start", "unconfirmed"):
        assert "Another secret has been entered since" in start(
            as_admin, account, action, secret=str(former.pk)
        )
    part = as_admin.post(url(account, "account_check"), {"secret": str(former.pk)}, headers=HTMX)
    assert "Another secret has been entered since" in part.content.decode()
    assert ims.requests == 0


def test_nothing_is_asked_for_a_form_that_is_not_complete(
    as_admin: Client, account: TechnicalAccount, ims: StandInIMS
) -> None:
    as_admin.post(url(account), {**choose([]), "reason": "rotation", "action": "start"})
    as_admin.post(url(account), {**choose(Installation.objects.all()), "reason": "x", "action": "start"})
    assert ims.requests == 0


def test_a_secret_that_cannot_be_read_is_named_and_nowhere_to_be_seen(
    as_admin: Client, account: TechnicalAccount, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    ClientSecret.objects.update(ciphertext="")
    page = start(as_admin, account)
    part = as_admin.post(url(account, "account_check"), headers=HTMX).content.decode()
    assert "field-error" in part
    assert SECRET not in page + part + caplog.text


@pytest.mark.parametrize(
    ("mode", "option", "verdict"),
    [(Mode.NORMAL, "--despite-refusal", "wrong_secret"), (Mode.GARBAGE, "--unconfirmed", "unclear")],
)
def test_the_command_is_refused_what_the_page_is_refused(
    account: TechnicalAccount, ims: StandInIMS, mode: Mode, option: str, verdict: str
) -> None:
    ims.mode = mode
    with pytest.raises(CommandError, match=f"(?s)Nothing was started.*add {option}") as refused:
        call_command("rollout", account.name)
    assert "\n" in str(refused.value)
    assert not Rollout.objects.exists()
    call_command("rollout", account.name, option)
    used = AuditEvent.objects.get(action="client_secret.used_unconfirmed")
    assert (used.details["rollout"], used.details["verdict"]) == (1, verdict)


def test_the_command_starts_once_adobe_accepts(account: TechnicalAccount, ims: StandInIMS) -> None:
    ims.accept(CLIENT, Secret(SECRET))
    call_command("rollout", account.name)
    assert Rollout.objects.count() == 1
    assert not AuditEvent.objects.filter(action="client_secret.used_unconfirmed").exists()


def test_the_command_does_not_go_on_against_a_refusal_without_a_word_about_it(
    account: TechnicalAccount, ims: StandInIMS
) -> None:
    with pytest.raises(CommandError):
        call_command("rollout", account.name)
    with pytest.raises(CommandError, match="Adobe refused"):
        call_command("rollout", account.name, "--unconfirmed")
    assert not Rollout.objects.exists()
