"""Sends one message by mail or webhook. What goes wrong is a code; no answer is kept."""

import json
import time
from email.message import EmailMessage
from email.utils import format_datetime
from http import HTTPStatus

from django.conf import settings
from django.utils import timezone

from portal.calls import http, mail
from portal.notices.addresses import address_rules, refusal
from portal.notices.codes import Code
from portal.notices.letters import Letter
from portal.notices.models import Channel
from portal.notices.signing import NoSigningKey, signature, signing_key


class NotSent(Exception):
    """A message was not sent; `code` says why, `status` is the number that the server gave, if any."""

    def __init__(self, code: str, status: int | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.status = status


def send(letter: Letter, channel: Channel) -> None:
    """Send a message; `NotSent` unless its receiver, or the mail server, took it."""
    is_mail = channel.way == Channel.Way.MAIL
    if refusal(channel.way, channel.address):  # the settings may have changed since it was entered
        raise NotSent(Code.ADDRESS_INVALID if is_mail else Code.ADDRESS_NOT_ALLOWED)
    if is_mail:
        _mail(letter, channel.address)
    else:
        _post(letter, channel)


def mail_is_on() -> bool:
    """Whether the settings name a mail server."""
    return bool(settings.EMAIL_HOST)


def is_anybody_told(kind: str) -> bool:
    """Whether a channel that is switched on gets messages of this kind; a mail needs a mail server, too."""
    ways = [Channel.Way.WEBHOOK, *([Channel.Way.MAIL] if mail_is_on() else [])]
    return any(each.wants(kind) for each in Channel.objects.filter(is_on=True, way__in=ways))


def _mail(letter: Letter, address: str) -> None:
    if not mail_is_on():
        raise NotSent(Code.MAIL_OFF)
    server = mail.MailServer(
        host=settings.EMAIL_HOST,
        port=settings.EMAIL_PORT,
        security=settings.EMAIL_SECURITY,
        user=settings.EMAIL_HOST_USER,
        password=settings.EMAIL_HOST_PASSWORD,
    )
    try:
        mail.send(_mail_of(letter, address), server)
    except mail.NotTaken as error:
        raise NotSent(_MAIL_CODES.get(error.failure, error.failure), error.status) from None


_MAIL_CODES = {mail.Failure.LOGIN: Code.MAIL_LOGIN.value, mail.Failure.NOT_ACCEPTED: Code.MAIL_REFUSED.value}


def _mail_of(letter: Letter, address: str) -> EmailMessage:
    message = EmailMessage()
    message["From"] = settings.DEFAULT_FROM_EMAIL
    message["To"] = address
    message["Subject"] = letter.subject
    message["Date"] = format_datetime(timezone.now())
    message["Message-ID"] = f"<{letter.id}@campaign-portal.invalid>"  # the same at each try
    message["Auto-Submitted"] = "auto-generated"
    message["X-Portal-Kind"] = letter.kind
    body = [*letter.lines, letter.link, f"{letter.kind} · {letter.at.isoformat(timespec='seconds')}"]
    message.set_content("\n\n".join(filter(None, body)) + "\n")
    return message


def _post(letter: Letter, channel: Channel) -> None:
    body = body_of(letter)
    timestamp = str(int(time.time()))
    try:
        signed = signature(signing_key(channel), timestamp, body)
    except NoSigningKey:
        raise NotSent(Code.NO_SIGNING_KEY) from None
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "campaign-credential-portal",
        "X-Portal-Id": letter.id,
        "X-Portal-Timestamp": timestamp,
        "X-Portal-Signature": f"v1={signed}",
    }
    route = http.Route(rules=address_rules(), ca_bundle=settings.NOTICE_CA_BUNDLE)
    try:
        status = http.call("POST", channel.address, route, content=body, headers=headers).status
    except http.NoAnswer as error:
        raise NotSent(error.failure) from None
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        raise NotSent(Code.REDIRECTED, status)
    if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        raise NotSent(Code.NOT_ACCEPTED, status)


def body_of(letter: Letter) -> bytes:
    """Return what is posted: one JSON object."""
    content = {
        "id": letter.id,
        "kind": letter.kind,
        "text": letter.text,
        "subject": letter.subject,
        "count": letter.count,
        "details": letter.facts,
        "link": letter.link,
        "time": letter.at.isoformat(),
    }
    return json.dumps(content, ensure_ascii=False).encode()
