"""The command `notices`: the list, a test message, and sending again, as people and scripts use it."""

import json
from typing import Any

import pytest
from django.core.management import CommandError

from portal.notices.models import Channel, Message
from tests.factories import make_channel
from tests.portal.notices.telling import happen, send_all
from tests.services.answering import http, serving
from tests.test_commands import run

pytestmark = [pytest.mark.django_db, pytest.mark.one_engine]  # what it asks, others ask on both


def said(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> dict[str, Any]:
    """Run the command for JSON, and hold its exit status against the expected one."""
    found = 0
    try:
        run("notices", *arguments, "--json")
    except SystemExit as end:
        found = int(end.code or 0)
    assert found == status
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answer


def test_a_test_message_is_sent_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(http(200, b"ok")) as server:
        make_channel(way="webhook", address=server.url)
        (message,) = said(capsys, "--test", "Operators")["messages"]
        assert (message["state"], message["kind"], len(server.requests)) == ("sent", "test", 1)


def test_a_test_message_that_fails_says_why_and_ends_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    make_channel()
    (message,) = said(capsys, "--test", "Operators", status=1)["messages"]
    assert (message["state"], message["code"], message["tries"]) == ("failed", "mail_off", 1)


def test_the_list_has_channels_without_tokens_and_messages(capsys: pytest.CaptureFixture[str]) -> None:
    make_channel(way="webhook", address="https://chat.example.com/T0KEN", kinds=["rollout.ended"])
    make_channel(name="Mail")
    happen("prod1 on web1")
    send_all()
    answer = said(capsys)
    assert "T0KEN" not in json.dumps(answer)
    assert [(each["channel"], each["kinds"]) for each in answer["channels"]] == [
        ("Mail", None),
        ("Operators", ["rollout.ended"]),
    ]
    (message,) = answer["messages"]
    assert (message["subject"], message["state"], message["count"]) == ("1 happened", "failed", 1)
    run("notices")
    table = capsys.readouterr().out
    assert "mail_off" in table
    assert "T0KEN" not in table


def test_a_message_that_was_given_up_makes_it_end_with_1_and_can_be_sent_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    make_channel()
    happen("prod1 on web1")
    send_all()
    Message.objects.update(state="gave_up", tries=9)
    said(capsys, status=1)
    with serving(http(200, b"ok")) as server:
        Channel.objects.update(way="webhook", address=server.url, key_of=Channel.objects.get().key_of)
        (message,) = said(capsys, "--resend", str(Message.objects.get().pk))["messages"]
        assert (message["state"], message["tries"]) == ("sent", 1)
    said(capsys)


@pytest.mark.parametrize("arguments", [("--test", "Operatorz"), ("--resend", "7"), ("--resend", "0" * 32)])
def test_a_wrong_name_is_a_wrong_call(arguments: tuple[str, str]) -> None:
    make_channel()
    with pytest.raises(CommandError) as caught:
        run("notices", *arguments)
    assert caught.value.returncode == 2
    assert not Message.objects.exists()


def test_a_channel_that_is_off_is_a_wrong_call() -> None:
    make_channel()
    Channel.objects.update(is_on=False)
    with pytest.raises(CommandError, match="off"):
        run("notices", "--test", "Operators")
