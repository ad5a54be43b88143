"""What people are told of rollouts: real pushes over SSH, real receivers of mail and web requests."""

import json

import pytest
from django.db import transaction
from pytest_django.fixtures import Settings

from credentials.rollouts.models import Push, UntoldEnd
from credentials.rollouts.notices import note_failure, tell_ends
from credentials.rollouts.services import cancel_rollout, retry_pushes
from instances.inventory import retiring
from instances.models import HostKey, Installation
from portal.audit.trail import Actor
from portal.notices.delivery import channels_due, deliver
from portal.notices.letters import letter_of
from portal.notices.models import Message, Note
from portal.sandbox.ssh_server import SSHFaults
from tests.credentials.rollouts.conftest import FIRST, MakeSite, Start, deliver_all, only_push
from tests.factories import SOMEBODY, finish_all, make_channel, make_rollout
from tests.portal.notices.smtp_server import SMTPServer, taking_mail
from tests.portal.notices.telling import send_all
from tests.services.answering import http, serving

pytestmark = [pytest.mark.django_db, pytest.mark.database]


def texts() -> list[str]:
    return [letter_of(each).text for each in Message.objects.order_by("kind")]


def test_a_failed_push_and_the_end_of_its_rollout_are_told_and_hold_no_secret(
    make_site: MakeSite, start: Start, settings: Settings
) -> None:
    """The stand-in nlserver prints the secret, which neither receiver ever sees."""
    site = make_site(faults=("error_exit_0", "echo_secret"))
    rollout = start(site)
    deliver_all(site)
    assert only_push(rollout).state == "failed"
    assert tell_ends() == 1
    settings.EMAIL_HOST, settings.EMAIL_SECURITY = "127.0.0.1", "none"
    settings.DEFAULT_FROM_EMAIL = "portal@example.com"
    server = SMTPServer()
    settings.EMAIL_PORT = server.port
    with serving(http(200, b"ok")) as chat, taking_mail(server):
        make_channel(name="Mail")
        make_channel(name="Chat", way="webhook", address=chat.url)
        send_all()
        assert not channels_due()
    got = [json.loads(each.partition(b"\r\n\r\n")[2]) for each in chat.requests]
    assert {each["kind"] for each in got} == {"push.failed", "rollout.ended"}
    assert {each["text"].splitlines()[0] for each in got} == {
        f"Push failed: prod1 on mkt-1 (rollout #{rollout.number})",
        f"Rollout #{rollout.number} of {rollout.secret.account} ended: 1 failed",
    }
    assert len(server.mails) == 2
    everything = b"".join(chat.requests) + b"".join(each.as_bytes() for each in server.mails)
    attempt = only_push(rollout).attempts.get()
    said = max(attempt.output.splitlines(), key=len)
    assert len(said) > 20
    for forbidden in (FIRST, FIRST[4:20], said, attempt.secret_fingerprint):
        assert forbidden
        assert forbidden.encode() not in everything


def test_a_changed_host_key_is_told_once(make_site: MakeSite, start: Start) -> None:
    make_channel(kinds=["host_key.changed"])
    site = make_site(ssh_faults=SSHFaults(other_host_key=True))
    rollout = start(site)
    deliver_all(site)
    retry_pushes(push_ids=[only_push(rollout).pk], actor=SOMEBODY)
    deliver_all(site)
    send_all()
    (text,) = texts()
    assert text.startswith("Host key changed: mkt-1\nIt showed ")
    assert HostKey.objects.get(state="offered").fingerprint in text


def test_an_end_is_told_once_and_again_after_a_retry() -> None:
    rollout = make_rollout(containers=["web1", "web2"])
    assert tell_ends() == 0, "it is under way"
    finish_all(rollout, state="failed", code="timed_out")
    assert (tell_ends(), tell_ends()) == (1, 0)
    push = rollout.pushes.all()[0]
    retry_pushes(push_ids=[push.pk], actor=SOMEBODY)
    assert tell_ends() == 0
    Push.objects.filter(pk=push.pk).update(state="succeeded")
    assert (tell_ends(), tell_ends()) == (1, 0)
    ends = Note.objects.filter(kind="rollout.ended").order_by("pk")
    counts = [(each.details.get("succeeded"), each.details["failed"]) for each in ends]
    assert counts == [(None, 2), (1, 1)]


def test_an_end_by_cancelling_or_retiring_is_told_as_well(actor: Actor) -> None:
    cancel_rollout(rollout=make_rollout(), actor=actor)
    other = make_rollout(account="Other", instance="prod2", containers=["web9"])
    installation = Installation.objects.get(pushes__rollout=other)
    retiring.retire(row=installation, reason="gone", actor=actor)
    assert tell_ends() == 2
    assert not UntoldEnd.objects.exists()
    assert not Note.objects.filter(kind="push.failed").exists(), "nobody has to do anything"


def test_a_retry_that_comes_while_the_end_is_noted_is_not_lost() -> None:
    rollout = make_rollout()
    finish_all(rollout, state="failed", code="timed_out")
    with transaction.atomic():
        retry_pushes(push_ids=[rollout.pushes.get().pk], actor=SOMEBODY)
        assert tell_ends() == 0
    assert UntoldEnd.objects.filter(pk=rollout.pk).exists()


def test_many_failures_are_one_message_with_counts_by_code_and_rollout() -> None:
    make_channel()
    rollout = make_rollout(containers=[f"web{number}" for number in range(15)])
    with transaction.atomic():
        for number, push in enumerate(rollout.pushes.select_related("rollout", "installation")):
            note_failure(push, "timed_out" if number else "host_key_changed")
    send_all()
    (text,) = texts()
    lines = text.splitlines()
    assert lines[0] == "15 pushes failed and wait for a person"
    assert lines[1].endswith(": 14, Host key changed: 1")
    assert lines[2] == f"By rollout: #{rollout.number}: 15"
    assert lines[3].endswith("and 5 more")
    assert lines[-1].endswith("/rollouts/failed/")


def test_no_channel_changes_what_becomes_of_a_push(make_site: MakeSite, start: Start) -> None:
    """A receiver that cannot be reached, or a channel that is broken, is nothing that a push notices."""
    channel = make_channel(way="webhook", address="https://hooks.invalid/")
    type(channel).objects.update(address="nonsense", kinds="nonsense", wants_all=False, key_of="gone")
    site = make_site(faults=("error_exit_0",))
    rollout = start(site)
    deliver_all(site)
    assert only_push(rollout).code == "refused_by_nlserver"
    tell_ends()
    send_all()
    assert sum(map(deliver, channels_due())) == 0
