"""Mail to a real SMTP server, and to some that lie."""

import smtplib
import socket
import ssl
import time

import pytest
from django.utils import translation
from pytest_django.fixtures import Settings

from portal.audit.trail import Actor
from portal.calls import mail
from portal.notices.channels import ask_test
from portal.notices.delivery import DELAYS, channels_due, deliver
from portal.notices.models import Channel, Message
from tests.factories import make_channel
from tests.portal.notices.smtp_server import SMTPServer, taking_mail
from tests.portal.notices.telling import happen, send_all, time_passes
from tests.services.waiting import free_port

pytestmark = [pytest.mark.django_db, pytest.mark.one_engine]  # what it asks, others ask on both


@pytest.fixture(autouse=True)
def _mail(settings: Settings) -> None:
    settings.EMAIL_HOST = "127.0.0.1"
    settings.EMAIL_SECURITY = "none"
    settings.DEFAULT_FROM_EMAIL = "portal@example.com"
    settings.PORTAL_URL = "https://portal.example.com"


@pytest.fixture
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    server = mail.MailServer
    monkeypatch.setattr(mail, "MailServer", lambda **given: server(**given, timeout=0.5, deadline=1.5))


def outcome() -> tuple[str, str, int | None]:
    message = Message.objects.get()
    return message.state, message.code, message.status


def mailed_to(server: SMTPServer, settings: Settings) -> SMTPServer:
    """Have one notice mailed to a server."""
    settings.EMAIL_PORT = server.port
    make_channel(address="team@example.com")
    happen("prod1 on web1")
    with taking_mail(server):
        send_all()
    return server


def test_a_mail_says_what_happened(settings: Settings) -> None:
    server = mailed_to(SMTPServer(), settings)
    assert outcome() == ("sent", "", None)
    (mail,) = server.mails
    assert (mail["From"], mail["To"]) == ("portal@example.com", "team@example.com")
    assert mail["Subject"] == "1 happened"
    assert mail["Message-ID"] == f"<{Message.objects.get().pk}@campaign-portal.invalid>"
    assert mail["Auto-Submitted"] == "auto-generated"
    body = str(mail.get_payload())
    assert "prod1 on web1" in body
    assert "https://portal.example.com/things/" in body


@pytest.mark.parametrize(("language", "subject"), [("en", "Test message"), ("fr", "Message de test")])
def test_a_mail_is_in_the_language_of_its_channel(settings: Settings, language: str, subject: str) -> None:
    """Whatever the language of the process or the person that sends it."""
    server = SMTPServer()
    settings.EMAIL_PORT = server.port
    channel = make_channel(language=language)
    ask_test(channel, actor=Actor("alice"))
    with taking_mail(server), translation.override({"en": "fr", "fr": "en"}[language]):
        send_all()
    assert subject in server.mails[0]["Subject"]


def test_without_a_mail_server_it_waits_and_says_so(settings: Settings) -> None:
    settings.EMAIL_HOST = ""
    make_channel()
    happen("prod1 on web1")
    send_all()
    assert outcome() == ("failed", "mail_off", None)
    time_passes(DELAYS[0] + 1)
    settings.EMAIL_HOST, server = "127.0.0.1", SMTPServer()
    settings.EMAIL_PORT = server.port
    with taking_mail(server):
        assert sum(map(deliver, channels_due())) == 1
    assert outcome()[0] == "sent"


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        (SMTPServer(replies={"RCPT": "550 no such person"}), ("mail_refused", 550)),
        (SMTPServer(replies={"MAIL": "451 greylisted"}), ("mail_refused", 451)),
        (SMTPServer(replies={"MAIL_END": "554 spam"}), ("mail_refused", 554)),
        (SMTPServer(replies={"CONNECT": "554 go away"}), ("mail_refused", 554)),
        (SMTPServer(breaks_in_data=True), ("broken_off", None)),
        (SMTPServer(replies={"EHLO": "\x00\xff nonsense", "HELO": "nonsense"}), ("mail_refused", None)),
    ],
    ids=["nobody there", "greylisted", "refused after DATA", "closed", "stops within DATA", "nonsense"],
)
def test_what_a_server_refuses_is_said(
    settings: Settings, server: SMTPServer, expected: tuple[str, int | None]
) -> None:
    mailed_to(server, settings)
    state, *why = outcome()
    assert (state, *why) == ("failed", *expected)


@pytest.mark.usefixtures("_hasty")
@pytest.mark.parametrize("stops_at", ["CONNECT", "EHLO", "MAIL", "DATA", "MAIL_END"])
def test_a_server_that_stops_is_left(settings: Settings, stops_at: str) -> None:
    begin = time.monotonic()
    mailed_to(SMTPServer(stops_at=stops_at), settings)
    assert time.monotonic() - begin < 20
    state, code, _ = outcome()
    assert state == "failed"
    assert code in ("timed_out", "broken_off", "not_in_time")


@pytest.mark.usefixtures("_hasty")
def test_a_server_that_drips_is_left(settings: Settings) -> None:
    greeting = "220 " + "a" * 200
    mailed_to(SMTPServer(drips_at="CONNECT", replies={"CONNECT": greeting}), settings)
    assert outcome() == ("failed", "not_in_time", None)


@pytest.mark.usefixtures("_hasty")
@pytest.mark.parametrize(
    "server",
    [SMTPServer(stops_at="QUIT"), SMTPServer(drips_at="QUIT", replies={"QUIT": "221 " + "a" * 200})],
    ids=["stops", "drips"],
)
def test_a_mail_that_was_taken_is_sent_whatever_the_good_bye(settings: Settings, server: SMTPServer) -> None:
    mailed_to(server, settings)
    assert outcome() == ("sent", "", None)
    assert len(server.mails) == 1


def test_a_password_is_not_sent_in_clear_where_tls_is_asked_for(settings: Settings) -> None:
    settings.EMAIL_SECURITY = "starttls"
    settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD = "portal", "secret-of-the-mail-server"
    server = mailed_to(SMTPServer(), settings)  # it offers no TLS
    assert outcome() == ("failed", "tls", None)
    assert not any(command.startswith(("AUTH", "MAIL")) for command in server.commands)


def test_a_server_that_is_not_there_is_said(settings: Settings) -> None:
    settings.EMAIL_PORT = free_port()
    make_channel()
    happen("prod1 on web1")
    send_all()
    assert outcome() == ("failed", "refused", None)


def test_names_in_a_subject_cannot_add_headers(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from portal.notices import kinds
    from portal.notices.kinds import Words
    from tests.portal.notices.telling import HAPPENED, KIND

    evil = replace(KIND, words=lambda batch: Words("one\r\nBcc: all@example.com\r\n\r\nbody"))
    monkeypatch.setitem(kinds._kinds, HAPPENED, evil)
    server = mailed_to(SMTPServer(), settings)
    assert server.mails[0]["Bcc"] is None
    assert [each for each in server.commands if each.startswith("RCPT")] == ["RCPT TO"]


def test_errors_of_the_library_have_codes() -> None:
    assert mail._failure(smtplib.SMTPAuthenticationError(535, b"no")) == mail.Failure.LOGIN
    assert mail._failure(ssl.SSLError()) == mail.Failure.TLS
    assert mail._failure(socket.gaierror()) == mail.Failure.NAME_NOT_FOUND


def test_a_channel_that_is_switched_off_gives_up_what_waits(settings: Settings) -> None:
    from portal.audit.trail import Actor
    from portal.notices.channels import save_channel

    settings.EMAIL_HOST = ""
    make_channel()
    happen("prod1 on web1")
    send_all()
    channel = Channel.objects.get()
    channel.is_on = False
    save_channel(channel, actor=Actor("somebody"))
    assert outcome() == ("gave_up", "channel_off", None)
