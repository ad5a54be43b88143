"""What stops a push before anything is sent, over real OpenSSH: its cause, and that nothing is sent twice."""

import getpass
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from credentials.rollouts.models import Attempt
from instances import ssh
from instances.models import HostKey
from instances.reaching import policy, portal_key
from instances.visits import visit
from tests.credentials.rollouts.conftest import FIRST, MakeSite, Site, Start, deliver_all, only_push
from tests.instances.ssh.ssh_peers import lets_through, peer
from tests.services.accounts import ROOT, require_made
from tests.services.fixtures import StartOpenSSH
from tests.services.openssh_server import OpenSSHServer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.one_engine]  # sshd matters
MoveToOpenSSH = Callable[..., OpenSSHServer]
# The next session has to wait: this one has said all, and does not end.
LINGERS = {"ForceCommand": 'sh -c "$SSH_ORIGINAL_COMMAND"; sleep 60'}


@pytest.fixture
def move_to_openssh(start_openssh: StartOpenSSH) -> MoveToOpenSSH:
    """Have a real sshd serve a site's container, in the environment that its own server gives."""

    def move(site: Site, **options: str) -> OpenSSHServer:
        variables = site.container.environment("neolane").items()
        quoted = " ".join(f'"{name}={value}"' for name, value in variables)
        sshd = start_openssh(options={"SetEnv": quoted, **options})
        sshd.authorize(sshd.accounts[0], portal_key.public_line())
        site.row.address, site.row.port, site.row.login = sshd.host, sshd.port, getpass.getuser()
        site.row.save()
        key = sshd.host_keys[0]
        site.row.host_keys.all().delete()
        HostKey.objects.create(
            container=site.row,
            type=key.type,
            base64=key.base64,
            fingerprint=key.fingerprint,
            state="approved",
        )
        return sshd

    return move


def logins(sshd: OpenSSHServer) -> int:
    return sshd.log.read_text().count("Accepted publickey")


def test_a_server_with_one_session_carries_one_push_after_another(
    make_site: MakeSite, move_to_openssh: MoveToOpenSSH, start: Start
) -> None:
    site = make_site(instances=("prod1", "prod2"))
    sshd = move_to_openssh(site, MaxSessions="1")
    rollout = start(site)
    deliver_all(site)
    assert set(rollout.pushes.values_list("state", "code")) == {("succeeded", "")}
    assert (site.secret("prod1"), site.secret("prod2")) == (FIRST, FIRST)
    assert logins(sshd) == 1


def test_a_session_that_does_not_end_is_left_for_a_new_connection(
    make_site: MakeSite,
    move_to_openssh: MoveToOpenSSH,
    start: Start,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(policy, "deadlines", lambda: ssh.Deadlines(channel=0.5))
    site = make_site(instances=("prod1", "prod2"))
    sshd = move_to_openssh(site, MaxSessions="1", **LINGERS)
    rollout = start(site)
    deliver_all(site)
    assert set(rollout.pushes.values_list("state", "code")) == {("succeeded", "")}
    assert (logins(sshd), Attempt.objects.count()) == (2, 2)


def test_no_session_at_all_is_final_and_says_so(
    make_site: MakeSite, move_to_openssh: MoveToOpenSSH, start: Start
) -> None:
    site = make_site()
    sshd = move_to_openssh(site, MaxSessions="0")
    push = only_push(start(site))
    deliver_all(site)
    push.refresh_from_db()
    assert (push.state, push.code) == ("failed", "session_refused")
    assert logins(sshd) == 1


def test_a_second_look_has_a_connection_of_its_own_where_it_must(
    make_site: MakeSite,
    move_to_openssh: MoveToOpenSSH,
    start: Start,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(policy, "deadlines", lambda: ssh.Deadlines(channel=0.5))
    site = make_site(faults=("exit_0_without_writing",))
    sshd = move_to_openssh(site, MaxSessions="1", **LINGERS)
    rollout = start(site)
    deliver_all(site)
    push = only_push(rollout)
    assert (push.state, push.code, push.attempts.count()) == ("failed", "not_applied", 1)
    assert logins(sshd) == 2


def test_a_second_look_that_cannot_be_had_leaves_the_outcome_open(
    make_site: MakeSite,
    move_to_openssh: MoveToOpenSSH,
    start: Start,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The values were sent, so nobody may say that nothing was, nor send them again in the same attempt."""
    monkeypatch.setattr(policy, "deadlines", lambda: ssh.Deadlines(channel=0.5))
    site = make_site(faults=("exit_0_without_writing",))
    sshd = move_to_openssh(site, MaxSessions="1", **LINGERS)
    with peer(lets_through(sshd.port, 1)) as port:
        site.row.port = port
        site.row.save()
        rollout = start(site)
        visit.visit(site.row.pk)
        push = only_push(rollout)
        attempts = list(push.attempts.order_by("number").values_list("kind", "verdict", "code"))
    assert attempts[0] == ("push", "unknown", "no_report")
    assert {kind for kind, *_ in attempts[1:]} <= {"look"}
    assert push.state == "unknown"


def test_both_lists_of_algorithms_stand_with_the_attempt(
    make_site: MakeSite, move_to_openssh: MoveToOpenSSH, start: Start
) -> None:
    site = make_site()
    move_to_openssh(site, Ciphers="chacha20-poly1305@openssh.com")
    rollout = start(site)
    deliver_all(site)
    push = only_push(rollout)
    assert (push.state, push.code) == ("failed", "no_common_algorithm")
    (note,) = push.attempts.get().notes_in_words
    assert note.startswith("Cipher: the server offers chacha20-poly1305@openssh.com; the portal has aes")


def test_a_shell_behind_su_is_told_from_a_refusal(
    make_site: MakeSite, move_to_openssh: MoveToOpenSSH, start: Start, settings: Settings
) -> None:
    require_made("shell-nologin")
    settings.CAMPAIGN_USER = "shell-nologin"
    site = make_site(become="su", instances=("prod1", "prod2"))
    move_to_openssh(site, SetEnv="HOME=/nonexistent")
    assert getpass.getuser() == ROOT
    rollout = start(site)
    deliver_all(site)
    assert set(rollout.pushes.values_list("state", "code")) == {("failed", "shell_unusable")}
    assert "not available" in Attempt.objects.all()[0].output


@pytest.mark.parametrize(
    ("content", "why"),
    [(None, "cannot be read: No such file"), ("PuTTY-User-Key-File-3: x", "format of PuTTY")],
)
def test_a_key_that_cannot_be_used_is_no_mystery(
    make_site: MakeSite, start: Start, settings: Settings, tmp_path: Path, content: str | None, why: str
) -> None:
    site = make_site()
    rollout = start(site)
    settings.SSH_KEY_PATH = tmp_path / "other_key"
    if content:
        settings.SSH_KEY_PATH.write_text(content)
    deliver_all(site)
    push = only_push(rollout)
    assert (push.state, push.code) == ("failed", "ssh_key_unusable")
    assert why in push.attempts.get().notes_in_words[0]


def test_words_of_a_server_are_kept_without_a_secret(make_site: MakeSite, start: Start) -> None:
    """A server that knows the secret cannot have it written down in what it says instead of SSH."""
    site = make_site()

    def says(sock: socket.socket, _over: threading.Event) -> None:
        sock.sendall(f"no {FIRST} today\r\n".encode())

    with peer(says) as port:
        site.row.port = port
        site.row.save()
        rollout = start(site)
        deliver_all(site)
    push = only_push(rollout)
    notes = str(push.attempts.order_by("number")[0].notes_in_words)
    assert push.code == "turned_away"
    assert "It said" in notes
    assert FIRST not in notes
