"""Webhooks against real receivers, most of them liars."""

import hmac
import json
import socket
import time
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now
from pytest_django.fixtures import Settings

from portal import backup
from portal.audit.chain import audit_keys
from portal.audit.trail import PORTAL
from portal.calls import http as http_calls
from portal.notices import delivery, sending
from portal.notices.delivery import DELAYS, MOST_TRIES, attempt, channels_due, deliver
from portal.notices.gathering import gather
from portal.notices.letters import Letter
from portal.notices.models import Channel, Message
from portal.notices.signing import signing_key
from tests.factories import make_channel
from tests.portal.notices.telling import happen, send_all, time_passes
from tests.services.answering import Answer, drip, http, serving

pytestmark = [pytest.mark.django_db, pytest.mark.one_engine]  # what it asks, others ask on both
OK = http(200, b"ok")


def a_webhook(url: str, name: str = "Chat") -> Channel:
    return make_channel(name=name, way="webhook", address=url)


def outcome() -> tuple[str, str, int | None]:
    message = Message.objects.get()
    return message.state, message.code, message.status


def sent_to(answer: Answer) -> list[bytes]:
    """Return what a receiver that answers so got of one notice."""
    with serving(answer) as server:
        a_webhook(f"{server.url}/hook")
        happen("prod1 on web1")
        send_all()
    return server.requests


def test_a_receiver_gets_json_that_it_can_verify(settings: Settings) -> None:
    settings.PORTAL_URL = "https://portal.example.com"
    (request,) = sent_to(OK)
    assert outcome() == ("sent", "", None)
    head, _, body = request.partition(b"\r\n\r\n")
    headers = {
        name.lower(): value.strip()
        for name, _, value in (line.partition(":") for line in head.decode().split("\r\n")[1:])
    }
    key = signing_key(Channel.objects.get())  # what the page showed
    timestamp = headers["x-portal-timestamp"]
    expected = hmac.new(key.encode(), timestamp.encode() + b"." + body, "sha256").hexdigest()
    assert headers["x-portal-signature"] == f"v1={expected}"
    assert abs(time.time() - int(timestamp)) < 300
    message = Message.objects.get()
    told: dict[str, Any] = json.loads(body)
    assert told["id"] == headers["x-portal-id"] == str(message.pk)
    assert told["kind"] == "thing.happened"
    assert told["text"].splitlines() == [
        "1 happened",
        "prod1 on web1",
        "timed_out: 1",
        "https://portal.example.com/things/",
    ]
    assert (told["count"], told["link"]) == (1, "https://portal.example.com/things/")
    assert told["details"]["first"][0]["details"] == {"code": "timed_out"}
    assert told["time"] == message.queued.isoformat()


def test_a_redirect_is_not_followed() -> None:
    with serving(OK) as inside:
        assert len(sent_to(http(302, b"", f"Location: {inside.url}/secret"))) == 1
        assert inside.requests == []
    assert outcome() == ("failed", "redirected", 302)


@pytest.mark.parametrize("status", [400, 404, 410, 429, 500, 503])
def test_what_is_no_yes_is_a_failure(status: int) -> None:
    sent_to(http(status, b"<html>inner workings</html>"))
    assert outcome() == ("failed", "not_accepted", status)
    assert "inner" not in str(Message.objects.values().get())


def test_a_receiver_that_answers_500_for_a_day_is_given_up(settings: Settings) -> None:
    tries = sent_to(http(500, b""))
    with serving(http(500, b"")) as server:
        Channel.objects.update(address=server.url)
        pauses = []
        while (message := Message.objects.get()).state == "failed":
            pauses.append((message.due - message.put_off).total_seconds())
            assert channels_due() == []
            time_passes(pauses[-1] + 1)
            assert sum(map(deliver, channels_due())) == 0
        tries += server.requests
    assert (message.state, message.tries, len(tries)) == ("gave_up", MOST_TRIES, MOST_TRIES)
    assert [round(each) for each in pauses] == list(DELAYS)
    assert sum(pauses) < 24 * 3600
    ids = {json.loads(each.partition(b"\r\n\r\n")[2])["id"] for each in tries}
    assert ids == {str(message.pk)}, "each try carries the id by which a receiver drops doubles"


def test_a_receiver_that_recovers_gets_it_at_the_next_try() -> None:
    sent_to(http(500, b""))
    time_passes(DELAYS[0] + 1)
    with serving(OK) as server:
        Channel.objects.update(address=server.url)
        assert sum(map(deliver, channels_due())) == 1
    assert outcome() == ("sent", "", None)


@pytest.fixture
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    route = http_calls.Route
    hasty = {"connect_timeout": 0.5, "read_timeout": 0.5, "deadline": 1.0}
    monkeypatch.setattr(http_calls, "Route", lambda **given: route(**hasty | given))


@pytest.mark.usefixtures("_hasty")
@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (lambda peer: peer.recv(1), "timed_out"),  # says nothing, and waits for more
        (drip(b"HTTP/1.1 200 OK\r\nX-Slow: "), "not_in_time"),
        (drip(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"), "not_in_time"),
        (lambda peer: peer.sendall(b"HTTP/1.1 2"), "broken_off"),
        (lambda peer: peer.sendall(b"220 mail.example.com ESMTP\r\n"), "broken_off"),
    ],
    ids=["hangs", "drips in its headers", "drips in its body", "breaks off", "speaks something else"],
)
def test_a_receiver_that_wastes_time_is_cut_off(answer: Answer, code: str) -> None:
    begin = time.monotonic()
    sent_to(answer)
    assert time.monotonic() - begin < 20
    assert outcome() == ("failed", code, None)


def test_an_endless_yes_is_a_yes_and_is_not_read() -> None:
    sent = 0

    def flood(peer: socket.socket) -> None:
        nonlocal sent
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n")
        for _ in range(1600):
            peer.sendall(b"x" * 65536)
            sent += 65536

    sent_to(flood)
    assert outcome() == ("sent", "", None)
    assert sent < 50_000_000, "the portal stopped reading"


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "::ffff:10.0.0.1", "::1"])
def test_a_name_that_leads_inside_is_not_contacted(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    settings.ALLOW_LOOPBACK_TARGETS = False
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    found = [(family, socket.SOCK_STREAM, 6, "", (address, 443))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **options: found)
    a_webhook("https://hooks.example.com/x")
    happen("prod1 on web1")
    send_all()
    assert outcome() == ("failed", "address_not_allowed", None)


def test_http_goes_to_this_machine_alone_and_only_where_that_is_allowed(settings: Settings) -> None:
    with serving(OK) as server:
        a_webhook(server.url)
        settings.ALLOW_LOOPBACK_TARGETS = False
        happen("prod1 on web1")
        send_all()
        assert server.requests == []
    assert outcome() == ("failed", "address_not_allowed", None)


def test_what_somebody_else_is_sending_is_not_sent() -> None:
    """Two schedulers: the second one asks while the first one waits for the receiver's answer."""
    with serving(OK) as server:
        a_webhook(server.url)
        happen("prod1 on web1")
        time_passes()
        gather()
        pk = Message.objects.get().pk
        second: list[str] = []
        original = sending.send

        def slowly(letter: Letter, channel: Channel) -> None:
            second.append(attempt(pk))
            original(letter, channel)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(delivery, "send", slowly)
            assert attempt(pk) == "sent"
        assert (second, attempt(pk), len(server.requests)) == ([""], "", 1)


def test_who_lost_the_lease_writes_nothing() -> None:
    with serving(OK) as server:
        a_webhook(server.url)
        happen("prod1 on web1")
        time_passes()
        gather()
        pk, other = Message.objects.get().pk, uuid.uuid4()

        def overtaken(letter: Letter, channel: Channel) -> None:
            Message.objects.update(holder=other)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(delivery, "send", overtaken)
            assert attempt(pk) == ""
        message = Message.objects.get()
        assert (message.state, message.holder) == ("queued", other)


def test_a_process_that_died_is_followed_by_another_under_the_same_id() -> None:
    with serving(OK) as server:
        a_webhook(server.url)
        happen("prod1 on web1")
        send_all()
        request = server.requests[0]
        # It died before it wrote that down.
        Message.objects.update(state="queued", ended=None)
        Message.objects.update(holder=uuid.uuid4(), lease_until=Now() + timedelta(seconds=60))
        assert channels_due() == [], "somebody is sending it"
        Message.objects.update(lease_until=Now() - timedelta(seconds=1))
        assert sum(map(deliver, channels_due())) == 1
        again = server.requests[1]
    bodies = [json.loads(each.partition(b"\r\n\r\n")[2]) for each in (request, again)]
    assert bodies[0]["id"] == bodies[1]["id"]
    assert outcome()[0] == "sent"


def test_a_message_that_ends_its_process_each_time_is_given_up() -> None:
    a_webhook("https://hooks.example.com/x")
    happen("prod1 on web1")
    time_passes()
    gather()
    Message.objects.update(tries=MOST_TRIES)
    attempt(Message.objects.get().pk)
    assert outcome() == ("gave_up", "internal", None)


def test_a_restored_copy_tells_nothing_that_waited_in_it() -> None:
    a_webhook("https://hooks.example.com/x")
    happen("told long ago")
    time_passes()
    gather()
    happen("noted long ago")
    backup.restored.send(sender=None, actor=PORTAL)
    time_passes()
    assert (gather(), channels_due()) == (0, [])
    assert outcome() == ("gave_up", "restored", None)


def test_one_failure_ends_the_turn_of_its_channel() -> None:
    with serving(http(500, b"")) as server:
        channel = a_webhook(server.url)
        for number in range(3):
            Message.objects.create(channel=channel, channel_name="Chat", kind="test", count=number)
        deliver(channel.pk)
        assert len(server.requests) == 1


def test_the_signing_key_outlives_the_audit_key(settings: Settings) -> None:
    channel = a_webhook("https://hooks.example.com/x")
    before = signing_key(channel)
    settings.AUDIT_KEY = f"{'n' * 44}\n{settings.AUDIT_KEY}"
    assert audit_keys.held()[0] == "n" * 44
    assert signing_key(Channel.objects.get()) == before
    settings.AUDIT_KEY = "n" * 44
    happen("prod1 on web1")
    send_all()
    assert outcome() == ("failed", "no_signing_key", None)


def test_two_channels_have_different_keys() -> None:
    keys = {signing_key(a_webhook("https://hooks.example.com/x", name)) for name in ("one", "two")}
    assert len(keys) == 2
    assert all(len(key) == 64 for key in keys)
