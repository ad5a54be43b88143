"""The pages of notices: channels, keys that are shown once, messages and sending again."""

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django.fixtures import Settings

from portal import retention
from portal.audit.chain.verification import verify
from portal.audit.labels import lines_of
from portal.audit.models import AuditEvent
from portal.audit.trail import PORTAL
from portal.notices.delivery import channels_due, deliver
from portal.notices.models import Channel, Message
from portal.notices.signing import signing_key
from portal.people.erasing import NobodyOfThatName, erase_name
from tests.factories import make_channel
from tests.portal.notices.telling import happen, send_all
from tests.services.answering import http, serving

pytestmark = [pytest.mark.django_db, pytest.mark.one_engine]  # what it asks, others ask on both
HOOK = "https://chat.example.com/hooks/T0KEN"


def add(client: Client, **values: object) -> str:
    """Post the form of a new channel; return the page that answers, or the first error."""
    data = {
        "name": "Chat",
        "way": "webhook",
        "address": HOOK,
        "language": "en",
        "wants_all": "on",
        "is_on": "on",
        **values,
    }
    return client.post("/notices/new/", {key: value for key, value in data.items() if value}).content.decode()


def test_a_webhook_is_added_and_its_key_is_shown_once(as_admin: Client) -> None:
    page = add(as_admin)
    key = signing_key(Channel.objects.get())
    assert key in page
    for path in ("/notices/", f"/notices/channels/{Channel.objects.get().pk}/"):
        assert key not in as_admin.get(path).content.decode()
    event = AuditEvent.objects.get(action="notice_channel.created")
    assert key not in str(event.details)
    assert "T0KEN" not in str(event.details), "such an address may hold a token"
    assert event.details["address"] == "https://chat.example.com/…"


def test_the_list_shows_no_token_of_an_address(as_admin: Client) -> None:
    add(as_admin)
    page = as_admin.get("/notices/").content.decode()
    assert "https://chat.example.com/…" in page
    assert "T0KEN" not in page


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"address": "http://chat.example.com/x"}, "Use https://"),
        ({"address": "ftp://chat.example.com/x"}, "not a web address"),
        ({"address": "chat.example.com"}, "not a web address"),
        ({"address": "https://"}, "not a web address"),
        ({"address": "https://[::1"}, "not a web address"),
        ({"address": "https://chat.example.com:99999/"}, "not a web address"),
        ({"address": "https://chät.example.com/"}, "not a web address"),
        ({"address": "https://me:pw@chat.example.com/"}, "user name, a password"),
        ({"address": "https://chat.example.com/#x"}, "fragment"),
        ({"address": "https://169.254.169.254/latest/"}, "not allowed to contact"),
        ({"address": "https://[::ffff:10.0.0.1]/"}, "not allowed to contact"),
        ({"address": "https://127.0.0.1/"}, "not allowed to contact"),
        ({"address": "http://127.0.0.1/"}, "not allowed to contact"),
        ({"way": "mail", "address": HOOK}, "not a mail address"),
        ({"way": "mail", "address": "a@example.com, b@example.com"}, "not a mail address"),
        ({"way": "mail", "address": "a@example.com\nBcc: b@example.com"}, "not a mail address"),
        ({"way": "carrier pigeon"}, "valid choice"),
        ({"wants_all": ""}, "Choose at least one kind"),
        ({"wants_all": "", "kinds": "no.such_kind"}, "valid choice"),
        ({"name": ""}, "required"),
        ({"address": f"https://chat.example.com/{'x' * 600}"}, "at most 500"),
    ],
)
def test_what_is_wrong_is_said_at_its_field_and_nothing_typed_is_lost(
    as_admin: Client, settings: Settings, values: dict[str, str], text: str
) -> None:
    settings.ALLOW_LOOPBACK_TARGETS = False
    page = add(as_admin, **values)
    assert text in page
    assert not Channel.objects.exists()
    if values.get("name") != "":
        assert 'value="Chat"' in page


def test_an_address_outside_the_networks_is_refused(as_admin: Client, settings: Settings) -> None:
    settings.NOTICE_NETWORKS = ["10.0.0.0/8"]
    assert "NOTICE_NETWORKS" in add(as_admin, address="https://192.0.2.1/")
    add(as_admin, address="https://10.1.2.3/")
    assert Channel.objects.count() == 1


def test_two_channels_cannot_have_one_name(as_admin: Client) -> None:
    add(as_admin)
    assert "already exists" in add(as_admin)
    assert Channel.objects.count() == 1


def test_a_new_key_replaces_the_former_one_once(as_admin: Client) -> None:
    add(as_admin)
    channel = Channel.objects.get()
    before, path = signing_key(channel), f"/notices/channels/{channel.pk}/key/"
    page = as_admin.post(path, {"after": "1"}).content.decode()
    after = signing_key(Channel.objects.get())
    assert after != before
    assert after in page
    for wrong in ("1", "", "x", "²", "-1"):  # pressed twice, or by two admins
        response = as_admin.post(path, {"after": wrong}, follow=True)
        assert "Someone else has just made" in response.content.decode()
    assert signing_key(Channel.objects.get()) == after


def test_a_mail_channel_that_becomes_a_webhook_shows_its_key(as_admin: Client) -> None:
    channel = make_channel()
    data = {
        "name": "Chat",
        "way": "webhook",
        "address": HOOK,
        "language": "en",
        "wants_all": "on",
        "is_on": "on",
    }
    page = as_admin.post(f"/notices/channels/{channel.pk}/", data).content.decode()
    assert signing_key(Channel.objects.get()) in page


def test_the_list_is_fresh_while_a_message_is_queued(as_admin: Client) -> None:
    channel = make_channel()
    assert "hx-trigger" not in as_admin.get("/notices/").content.decode()
    as_admin.post(f"/notices/channels/{channel.pk}/test/")
    assert "hx-trigger" in as_admin.get("/notices/").content.decode()
    sum(map(deliver, channels_due()))
    part = as_admin.get("/notices/", headers={"HX-Request": "true"}).content.decode()
    assert part.strip().startswith('<div id="messages"')
    assert "hx-trigger" not in part


def test_a_mail_address_can_be_erased_from_the_history(as_admin: Client, admin: User) -> None:
    channel = make_channel(address="jane.doe@example.com")
    data = {
        "name": "Operators",
        "way": "mail",
        "address": "team@example.com",
        "language": "en",
        "wants_all": "on",
        "is_on": "on",
    }
    as_admin.post(f"/notices/channels/{channel.pk}/", data)
    assert "jane.doe" in str(list(AuditEvent.objects.values("details")))
    erase_name(name="jane.doe@example.com", reason="asked", actor=PORTAL)
    assert "jane.doe" not in str(list(AuditEvent.objects.values("details")))
    assert verify().is_intact
    with pytest.raises(NobodyOfThatName):
        erase_name(name="jane.doe@example.com", reason="asked", actor=PORTAL)


def test_a_changed_path_is_in_the_history_without_the_token(as_admin: Client) -> None:
    add(as_admin)
    channel = Channel.objects.get()
    data = {
        "name": "Chat",
        "way": "webhook",
        "address": f"{HOOK}2",
        "language": "en",
        "wants_all": "on",
        "is_on": "on",
    }
    as_admin.post(f"/notices/channels/{channel.pk}/", data)
    event = AuditEvent.objects.get(action="notice_channel.changed")
    assert "T0KEN" not in str(event.details)
    assert event.details["changes"]
    before = AuditEvent.objects.count()
    as_admin.post(f"/notices/channels/{channel.pk}/", data)
    assert AuditEvent.objects.count() == before, "nothing changed"


def test_a_test_message_is_only_queued_by_the_web_process(as_admin: Client) -> None:
    with serving(http(200, b"ok")) as server:
        channel = make_channel(way="webhook", address=server.url)
        page = as_admin.post(f"/notices/channels/{channel.pk}/test/", follow=True).content.decode()
        assert server.requests == []
        assert "Queued" in page
        sum(map(deliver, channels_due()))
        assert len(server.requests) == 1
    assert "Sent" in as_admin.get("/notices/").content.decode()


def test_a_test_of_a_channel_that_is_off_is_refused(as_admin: Client) -> None:
    channel = make_channel()
    Channel.objects.update(is_on=False)
    page = as_admin.post(f"/notices/channels/{channel.pk}/test/", follow=True).content.decode()
    assert "switch it on first" in page
    assert not Message.objects.exists()


def test_a_failure_says_why_and_when_and_can_be_sent_again(as_admin: Client) -> None:
    make_channel()
    happen("prod1 on web1")
    send_all()
    message = Message.objects.get()
    page = as_admin.get("/notices/").content.decode()
    assert "Mail is off" in page
    assert "The portal has no mail server" in page
    Message.objects.update(state="gave_up", tries=9, ended=message.queued)
    assert "prod1 on web1" in as_admin.get(f"/notices/messages/{message.pk}/").content.decode()
    as_admin.post(f"/notices/messages/{message.pk}/resend/")
    again = Message.objects.get()
    assert (again.pk, again.state, again.tries, again.ended) == (message.pk, "queued", 0, None)
    assert channels_due()
    twice = as_admin.post(f"/notices/messages/{message.pk}/resend/", follow=True).content.decode()
    assert "already queued" in twice
    assert AuditEvent.objects.filter(action="notice.resent").count() == 1


def test_a_removed_channel_leaves_its_messages(as_admin: Client) -> None:
    channel = make_channel()
    happen("prod1 on web1")
    send_all()
    path = f"/notices/channels/{channel.pk}/remove/"
    assert "1 waiting message" in as_admin.get(path).content.decode()
    as_admin.post(path)
    message = Message.objects.get()
    assert (message.channel, message.channel_name, message.state) == (None, "Operators", "gave_up")
    page = as_admin.get(f"/notices/messages/{message.pk}/").content.decode()
    assert "Send again" not in page
    refused = as_admin.post(f"/notices/messages/{message.pk}/resend/", follow=True).content.decode()
    assert "was removed" in refused


def test_the_menu_has_it_for_admins_alone(as_admin: Client, as_helpdesk: Client) -> None:
    assert 'href="/notices/"' in as_admin.get("/").content.decode()
    assert 'href="/notices/"' not in as_helpdesk.get("/").content.decode()


def test_names_are_escaped(as_admin: Client) -> None:
    make_channel(name="<script>alert(1)</script>")
    happen("<script>alert(2)</script>")
    send_all()
    for path in ("/notices/", f"/notices/messages/{Message.objects.get().pk}/"):
        assert not re.search(r"<script>alert", as_admin.get(path).content.decode())


def test_every_event_has_words(as_admin: Client) -> None:
    add(as_admin)
    channel = Channel.objects.get()
    as_admin.post(f"/notices/channels/{channel.pk}/key/", {"after": "1"})
    as_admin.post(f"/notices/channels/{channel.pk}/test/")
    as_admin.post(f"/notices/channels/{channel.pk}/remove/")
    events = list(AuditEvent.objects.filter(action__startswith="notice_channel."))
    assert len(events) == 4
    assert all("_" not in str(line.label) for line in lines_of(events))


def test_messages_go_after_their_days_but_not_those_that_wait(settings: Settings) -> None:
    settings.KEEP_NOTICES_DAYS = 30
    channel = make_channel()
    for state in Message.State:
        Message.objects.create(channel=channel, channel_name="Operators", kind="test", state=state)
    old = Message.objects.first()
    assert old is not None
    long_ago = old.queued.replace(year=2020)
    Message.objects.update(ended=long_ago, queued=long_ago)
    [kind] = [each for each in retention.kinds() if each.name == "notices"]
    assert retention.remove_old(kind, actor=PORTAL) == 2
    assert set(Message.objects.values_list("state", flat=True)) == {"failed", "queued"}
