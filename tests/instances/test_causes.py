"""Servers and accounts that refuse in their own ways, over real OpenSSH, PAM, su and sudo, and why."""

import socket
import threading
from functools import partial

import paramiko
import pytest

from instances import nlserver, ssh
from instances.failures import Code, explain
from tests.instances.nlserver.shell_fleet import NO_HOME
from tests.instances.ssh.ssh_peers import (
    CLIENT_KEY,
    POLICY,
    SERVER_KEY,
    SHORT,
    Behaviour,
    Server,
    connect,
    lets_through,
    peer,
    server,
    silent,
    too_many,
    web_server,
)
from tests.services.accounts import BARRED, CAMPAIGN, NEOLANE, ODD_SHELLS, ROOT, STALE, require_made
from tests.services.fixtures import StartOpenSSH
from tests.services.openssh_server import OpenSSHServer

HOST_KEY = f"{SERVER_KEY.get_name()} {SERVER_KEY.get_base64()}"


def log_in(sshd: OpenSSHServer, login: str = "", *, deadlines: ssh.Deadlines | None = None) -> ssh.Connection:
    keys = tuple(key.line for key in sshd.host_keys)
    target = ssh.Target(sshd.host, sshd.port, login or sshd.accounts[0], keys)
    key = ssh.load_private_key(sshd.client_key)
    return ssh.Connection.open(target, key=key, policy=POLICY, deadlines=deadlines)


def job(user: str, become: nlserver.Become) -> nlserver.Job:
    return nlserver.Job("prod1", "/nowhere", become, fence=1, attempt=1, user=user)


def refusal(connection: ssh.Connection, asked: nlserver.Job) -> str:
    with (
        nlserver.Conversation(connection, asked) as conversation,
        pytest.raises(nlserver.Refused) as caught,
    ):
        conversation.ready(2)
    return caught.value.code


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"Ciphers": "chacha20-poly1305@openssh.com"}, "Cipher"),
        ({"KexAlgorithms": "sntrup761x25519-sha512@openssh.com"}, "Key exchange"),
        ({"MACs": "umac-128-etm@openssh.com", "Ciphers": "aes256-ctr"}, "MAC"),
    ],
)
def test_a_modern_server_without_a_common_algorithm_is_not_called_outdated(
    start_openssh: StartOpenSSH, options: dict[str, str], kind: str
) -> None:
    sshd = start_openssh(options=options)
    with pytest.raises(ssh.NoCommonAlgorithm) as caught:
        log_in(sshd)
    (detail,) = caught.value.details
    assert detail.startswith(f"{kind}: the server offers {next(iter(options.values()))}; the portal has ")
    with pytest.raises(ssh.NoCommonAlgorithm):
        ssh.scan(sshd.host, sshd.port, policy=POLICY)


def test_an_account_that_has_expired_is_told_from_a_connection_that_breaks(
    start_openssh: StartOpenSSH,
) -> None:
    require_made(BARRED)
    sshd = start_openssh(accounts=(BARRED,), options={"UsePAM": "yes"})
    with pytest.raises(ssh.LoginBarred):
        log_in(sshd)
    assert sshd.log.read_text().count("by PAM account configuration") == 2
    assert not explain(Code.LOGIN_BARRED).retries


@pytest.mark.parametrize(
    ("login", "options"),
    [
        (BARRED, {"UsePAM": "no"}),
        ("shell-gone", {}),
        (NEOLANE, {"DenyUsers": NEOLANE}),
        (NEOLANE, {"AllowUsers": "somebody-else"}),
        (NEOLANE, {"AuthenticationMethods": "publickey,password", "PasswordAuthentication": "yes"}),
    ],
)
def test_what_sshd_refuses_in_one_and_the_same_way_is_a_refused_login(
    start_openssh: StartOpenSSH, login: str, options: dict[str, str]
) -> None:
    require_made(login)
    sshd = start_openssh(accounts=(login,), options=options)
    with pytest.raises(ssh.LoginRefused) as caught:
        log_in(sshd)
    assert type(caught.value) is ssh.LoginRefused
    assert sshd.log.read_text().count("Connection from") == 1


def test_a_key_that_has_expired_is_a_refused_login(start_openssh: StartOpenSSH) -> None:
    sshd = start_openssh()
    key = ssh.load_private_key(ssh.generate_private_key())
    line = ssh.public_line(key, "")
    sshd.authorize(sshd.accounts[0], line, restrictions='expiry-time="20200101"')
    target = ssh.Target(sshd.host, sshd.port, sshd.accounts[0], tuple(each.line for each in sshd.host_keys))
    with pytest.raises(ssh.LoginRefused) as caught:
        ssh.Connection.open(target, key=key, policy=POLICY)
    assert type(caught.value) is ssh.LoginRefused


def test_a_password_that_must_be_changed_is_told(start_openssh: StartOpenSSH) -> None:
    require_made(STALE)
    sshd = start_openssh(accounts=(STALE,), options={"UsePAM": "yes"})
    with log_in(sshd) as connection:
        assert refusal(connection, job(STALE, "none")) == Code.PASSWORD_EXPIRED


class HangsUpAtLogin(Server):
    """Ends the connection in good form when it has seen the key, as PAM's refusal does."""

    def __init__(self, over: threading.Event, sock: socket.socket) -> None:
        super().__init__(over)
        self.sock = sock

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        self.sock.shutdown(socket.SHUT_RDWR)
        return paramiko.common.AUTH_FAILED


def hangs_up(times: int) -> Behaviour:
    connections: list[socket.socket] = []

    def behave(sock: socket.socket, over: threading.Event) -> None:
        connections.append(sock)
        at_login = partial(HangsUpAtLogin, sock=sock)
        server(at_login if len(connections) <= times else Server)(sock, over)

    return behave


def test_a_connection_that_breaks_once_at_the_login_bars_nobody() -> None:
    with peer(hangs_up(1)) as port, connect(port, deadlines=ssh.Deadlines()):
        pass
    with peer(hangs_up(2)) as port, pytest.raises(ssh.LoginBarred):
        connect(port, deadlines=ssh.Deadlines())


def test_a_jump_host_that_bars_the_account_has_refused_the_login() -> None:
    with peer(hangs_up(9)) as port:
        jump = ssh.Jump("127.0.0.1", port, "portal", (HOST_KEY,), CLIENT_KEY)
        target = ssh.Target("10.0.0.1", 22, "neolane", (HOST_KEY,), jump)
        with pytest.raises(ssh.JumpHostLoginRefused):
            ssh.Connection.open(target, key=CLIENT_KEY, policy=POLICY)


def test_a_jump_host_without_a_common_algorithm_is_told(start_openssh: StartOpenSSH) -> None:
    sshd = start_openssh(options={"Ciphers": "chacha20-poly1305@openssh.com"})
    keys = tuple(key.line for key in sshd.host_keys)
    jump = ssh.Jump(sshd.host, sshd.port, sshd.accounts[0], keys, CLIENT_KEY)
    with pytest.raises(ssh.JumpHostNoAlgorithm) as caught:
        ssh.scan("10.0.0.1", 22, policy=POLICY, jump=jump)
    assert "chacha20" in caught.value.details[0]


class TestOneSession:
    """`MaxSessions 1`: the next command may start only when the last one has ended."""

    @pytest.fixture
    def sshd(self, start_openssh: StartOpenSSH) -> OpenSSHServer:
        return start_openssh(options=NO_HOME | {"MaxSessions": "1"})

    def test_the_next_session_waits_for_the_end_of_the_first(self, sshd: OpenSSHServer) -> None:
        with log_in(sshd) as connection:
            first = connection.talk("echo first; sleep 0.5")
            assert first.read_line(10) == b"first\n"
            first.close()
            assert connection.talk("echo second").read_line(10) == b"second\n"
        assert "no more sessions" in sshd.log.read_text()

    def test_a_first_command_that_does_not_end_leaves_no_session(self, sshd: OpenSSHServer) -> None:
        with log_in(sshd, deadlines=ssh.Deadlines(channel=1)) as connection:
            assert not connection.has_carried
            connection.talk("sleep 60").close()
            with pytest.raises(ssh.SessionRefused):
                connection.talk("echo second")
            assert connection.has_carried


class TestSilence:
    """The script is not heard behind sudo or su."""

    @pytest.mark.parametrize("account", ODD_SHELLS)
    def test_a_shell_that_runs_no_script_is_not_a_refusal(self, openssh: OpenSSHServer, account: str) -> None:
        require_made(account)
        asked = job(account, "su")
        with log_in(openssh, ROOT) as connection:
            assert refusal(connection, asked) == Code.BECOME_REFUSED
        with log_in(openssh, ROOT) as connection:
            assert nlserver.why_silent(connection, asked) == Code.SHELL_UNUSABLE

    @pytest.mark.parametrize(
        ("login", "asked", "code"),
        [
            (CAMPAIGN, job(NEOLANE, "su"), Code.BECOME_REFUSED),
            (CAMPAIGN, job(ROOT, "sudo"), Code.BECOME_REFUSED),
            (ROOT, job("nobody-at-all", "su"), Code.USER_MISSING),
            (CAMPAIGN, job("nobody-at-all", "sudo"), Code.USER_MISSING),
        ],
    )
    def test_what_is_refused_stays_refused(
        self, openssh: OpenSSHServer, login: str, asked: nlserver.Job, code: str
    ) -> None:
        with log_in(openssh, login) as connection:
            assert nlserver.why_silent(connection, asked) == code

    def test_an_expired_account_behind_su_is_a_refusal(self, openssh: OpenSSHServer) -> None:
        require_made(BARRED)
        with log_in(openssh, ROOT) as connection:
            assert nlserver.why_silent(connection, job(BARRED, "su")) == Code.BECOME_REFUSED

    def test_sudo_does_not_use_the_shell(self, openssh: OpenSSHServer) -> None:
        require_made("shell-nologin")
        with log_in(openssh, CAMPAIGN) as connection:
            assert refusal(connection, job("shell-nologin", "sudo")) == Code.NLSERVER_NOT_FOUND

    @pytest.mark.parametrize("account", ["shell-nologin", "shell-false", "shell-tcsh"])
    def test_a_login_with_such_a_shell_did_not_run_the_script(
        self, start_openssh: StartOpenSSH, account: str
    ) -> None:
        require_made(account)
        with log_in(start_openssh(accounts=(account,))) as connection:
            assert refusal(connection, job(account, "none")) == Code.SCRIPT_NOT_RUN

    def test_a_server_that_claims_everything_is_asked_with_a_nonce(self, start_openssh: StartOpenSSH) -> None:
        """What is fixed on the container cannot answer: the words come with a number of this one time."""
        answer = "printf 'PORTAL %s\\\\n' asked account tool became"
        sshd = start_openssh(options=NO_HOME | {"ForceCommand": answer})
        with log_in(sshd) as connection:
            assert nlserver.why_silent(connection, job(NEOLANE, "su")) == Code.BECOME_REFUSED


def waits_for_a_request(sock: socket.socket, over: threading.Event) -> None:
    sock.recv(1000)
    sock.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
    over.wait()


def hangs_up_when_spoken_to(sock: socket.socket, over: threading.Event) -> None:
    sock.recv(1000)


@pytest.mark.parametrize(
    ("behaviour", "error", "says"),
    [
        (silent, ssh.Silent, ""),
        (hangs_up_when_spoken_to, ssh.Silent, ""),
        (waits_for_a_request, ssh.NotSSH, "It looks like a web server (HTTP)."),
    ],
)
def test_a_dial_speaks_to_who_says_nothing(
    behaviour: Behaviour, error: type[ssh.SSHError], says: str
) -> None:
    with peer(behaviour) as port:
        dial = ssh.dial(["127.0.0.1"], port, policy=POLICY, deadlines=SHORT)
        while not dial.is_over:
            dial.advance(0.1)
        with pytest.raises(error) as caught:
            dial.take()
        dial.close()
    assert type(caught.value) is error
    assert says in " ".join(caught.value.details)


@pytest.mark.parametrize(
    ("behaviour", "says"), [(web_server, "web server"), (too_many, "Exceeded MaxStartups")]
)
def test_a_jump_host_that_is_none_says_what_it_is(behaviour: Behaviour, says: str) -> None:
    with peer(behaviour) as port:
        jump = ssh.Jump("127.0.0.1", port, "portal", (HOST_KEY,), CLIENT_KEY)
        with pytest.raises(ssh.JumpHostUnreachable) as caught:
            ssh.scan("10.0.0.1", 22, policy=POLICY, jump=jump, deadlines=SHORT)
    assert says in " ".join(caught.value.details)


@pytest.mark.parametrize(
    ("times", "seen", "missing"),
    [(1, ["ssh-ed25519"], ("ECDSA", "RSA")), (2, ["ssh-ed25519", "ecdsa-sha2-nistp256"], ("RSA",))],
)
def test_a_scan_that_is_cut_off_keeps_what_it_saw(
    start_openssh: StartOpenSSH, times: int, seen: list[str], missing: tuple[str, ...]
) -> None:
    sshd = start_openssh(host_key_types=("ed25519", "ecdsa", "rsa"))
    with peer(lets_through(sshd.port, times)) as port:
        shown = ssh.scan("127.0.0.1", port, policy=POLICY)
    assert [key.type for key in shown.keys] == seen
    assert shown.missing == missing
    assert isinstance(shown.error, ssh.TurnedAway)


def test_a_scan_asks_for_no_type_that_the_server_does_not_have(start_openssh: StartOpenSSH) -> None:
    sshd = start_openssh(host_key_types=("ed25519",))
    shown = ssh.scan(sshd.host, sshd.port, policy=POLICY)
    assert (len(shown.keys), shown.missing, shown.error) == (1, (), None)
    assert sshd.log.read_text().count("Connection from") == 1
