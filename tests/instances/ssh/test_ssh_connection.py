"""Speaking with a real OpenSSH server."""

import getpass
import logging
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from instances import ssh
from instances.failures import Code
from tests.instances.nlserver.shell_fleet import NO_HOME, Cable
from tests.instances.ssh.ssh_peers import descriptors, wait_for_count
from tests.services.fixtures import StartOpenSSH
from tests.services.openssh_server import OpenSSHServer
from tests.services.programs import require
from tests.services.waiting import wait_until

POLICY = ssh.AddressPolicy(allow_loopback=True)


@pytest.fixture(scope="module")
def sshd() -> Iterator[OpenSSHServer]:
    require("sshd")
    with OpenSSHServer(host_key_types=("ed25519", "ecdsa", "rsa"), options=NO_HOME) as server:
        yield server


def target(server: OpenSSHServer, *lines: str, port: int = 0) -> ssh.Target:
    keys = lines or tuple(key.line for key in server.host_keys)
    return ssh.Target(server.host, port or server.port, getpass.getuser(), keys)


def client_key(server: OpenSSHServer) -> ssh.PrivateKey:
    return ssh.load_private_key(server.client_key)


def connect(
    server: OpenSSHServer, *lines: str, port: int = 0, tick: ssh.Tick = lambda: None
) -> ssh.Connection:
    return ssh.Connection.open(
        target(server, *lines, port=port), key=client_key(server), policy=POLICY, tick=tick
    )


@pytest.fixture
def connection(sshd: OpenSSHServer) -> Iterator[ssh.Connection]:
    with connect(sshd) as connection:
        yield connection


def test_a_command_is_heard_to_its_end(connection: ssh.Connection) -> None:
    talk = connection.talk("echo out; echo err >&2; exit 7")
    assert sorted(talk.read_to_end(10).split()) == [b"err", b"out"]
    assert talk.exit_status(10) == 7


def test_several_commands_run_one_after_another(connection: ssh.Connection) -> None:
    for number in range(3):
        talk = connection.talk(f"echo {number}")
        assert talk.read_line(10) == b"%d\n" % number
        talk.close()


def test_lines_and_answers_alternate(connection: ssh.Connection) -> None:
    talk = connection.talk("echo ready; read -r a; echo got $a; read -r b || echo cut $b")
    assert talk.read_line(10) == b"ready\n"
    talk.send(b"one\n")
    assert talk.read_line(10) == b"got one\n"
    talk.send(b"two")
    talk.close()


def test_closing_a_talk_ends_the_input_of_its_command(connection: ssh.Connection, tmp_path: Path) -> None:
    talk = connection.talk(f"echo; read -r line; echo $?:$line >{tmp_path}/end")
    talk.read_line(10)
    talk.send(b"half")
    talk.close()
    wait_until(
        lambda: (tmp_path / "end").exists() and (tmp_path / "end").read_text(), within=120, what="the end"
    )
    assert (tmp_path / "end").read_text() == "1:half\n"


def test_the_host_key_that_was_checked_is_told(sshd: OpenSSHServer, connection: ssh.Connection) -> None:
    assert connection.host_key in {key.fingerprint for key in sshd.host_keys}


@pytest.mark.parametrize("index", [0, 1, 2])
def test_the_pinned_type_is_negotiated(sshd: OpenSSHServer, index: int) -> None:
    with connect(sshd, sshd.host_keys[index].line) as connection:
        assert connection.host_key == sshd.host_keys[index].fingerprint


def test_without_a_pinned_key_nobody_logs_in(sshd: OpenSSHServer) -> None:
    log_start = sshd.log.stat().st_size
    with pytest.raises(ssh.HostKeyUnknown) as caught:
        ssh.Connection.open(
            ssh.Target(sshd.host, sshd.port, "nobody-at-all", ()), key=client_key(sshd), policy=POLICY
        )
    assert caught.value.offered.line == sshd.host_keys[0].line
    assert "nobody-at-all" not in sshd.log.read_text()[log_start:]


def test_a_changed_key_is_told_and_nobody_logs_in(start_openssh: StartOpenSSH, sshd: OpenSSHServer) -> None:
    server = start_openssh()
    with pytest.raises(ssh.HostKeyChanged) as caught:
        connect(server, sshd.host_keys[0].line)
    assert caught.value.offered.fingerprint == server.host_keys[0].fingerprint
    assert "publickey" not in server.log.read_text()


def test_a_server_with_another_key_type_shows_as_changed(
    start_openssh: StartOpenSSH, sshd: OpenSSHServer
) -> None:
    server = start_openssh(host_key_types=("rsa",))
    with pytest.raises(ssh.HostKeyChanged) as caught:
        connect(server, sshd.host_keys[0].line)
    assert caught.value.offered.line == server.host_keys[0].line


def test_a_key_that_nobody_installed_is_refused(sshd: OpenSSHServer) -> None:
    stranger = ssh.load_private_key(ssh.generate_private_key())
    with pytest.raises(ssh.LoginRefused):
        ssh.Connection.open(target(sshd), key=stranger, policy=POLICY)


def test_a_server_that_disconnects_instead_of_answering_has_refused(start_openssh: StartOpenSSH) -> None:
    server = start_openssh(options={"MaxAuthTries": "1"})
    stranger = ssh.load_private_key(ssh.generate_private_key())
    with pytest.raises(ssh.LoginRefused):
        ssh.Connection.open(target(server), key=stranger, policy=POLICY)


@pytest.mark.parametrize(
    "options",
    [
        {"KexAlgorithms": "diffie-hellman-group14-sha1"},
        {"HostKeyAlgorithms": "ssh-rsa"},
        {"Ciphers": "aes128-cbc"},
        {"MACs": "hmac-sha1", "Ciphers": "aes128-ctr"},
    ],
)
def test_a_server_with_outdated_algorithms_is_too_old(
    start_openssh: StartOpenSSH, options: dict[str, str]
) -> None:
    server = start_openssh(host_key_types=("rsa",), options=options)
    with pytest.raises(ssh.SSHTooOld):
        connect(server)


def test_a_server_that_opens_no_session_runs_nothing(start_openssh: StartOpenSSH) -> None:
    server = start_openssh(options={"MaxSessions": "0"})
    with connect(server) as connection, pytest.raises(ssh.SessionRefused):
        connection.talk("true")


def test_the_generated_key_opens_a_server(sshd: OpenSSHServer) -> None:
    key = ssh.load_private_key(ssh.generate_private_key())
    sshd.authorize(getpass.getuser(), ssh.public_line(key, "portal test"))
    with ssh.Connection.open(target(sshd), key=key, policy=POLICY) as connection:
        assert connection.talk("echo in").read_line(10) == b"in\n"


def test_a_scan_shows_every_type_and_logs_in_nowhere(sshd: OpenSSHServer) -> None:
    log_start = sshd.log.stat().st_size
    found = ssh.scan(sshd.host, sshd.port, policy=POLICY).keys
    assert [(key.line, key.fingerprint) for key in found] == [
        (key.line, key.fingerprint) for key in sshd.host_keys
    ]
    assert "publickey" not in sshd.log.read_text()[log_start:]


def test_a_scan_of_a_server_with_one_type_shows_that(start_openssh: StartOpenSSH) -> None:
    server = start_openssh(host_key_types=("rsa",))
    assert [key.type for key in ssh.scan(server.host, server.port, policy=POLICY).keys] == ["ssh-rsa"]


def test_fingerprints_are_those_of_ssh_keygen(sshd: OpenSSHServer, tmp_path: Path) -> None:
    for number, key in enumerate(sshd.host_keys):
        file = tmp_path / f"{number}.pub"
        file.write_text(key.line)
        shown = subprocess.run(
            [require("ssh-keygen"), "-lf", file], capture_output=True, text=True, check=True
        ).stdout
        assert ssh.PublicHostKey.parse(key.line).fingerprint == shown.split()[1]


def test_silence_has_an_end(sshd: OpenSSHServer) -> None:
    with connect(sshd) as connection:
        talk = connection.talk("sleep 40")
        started = time.monotonic()
        with pytest.raises(ssh.TimedOut):
            talk.read_line(0.3)
        assert time.monotonic() - started < 20


def test_an_exit_status_that_does_not_come_has_an_end(sshd: OpenSSHServer) -> None:
    with connect(sshd) as connection:
        talk = connection.talk("exec >&- 2>&-; sleep 5")
        assert talk.read_to_end(5) == b""
        with pytest.raises(ssh.TimedOut):
            talk.exit_status(0.3)


def test_a_dripping_command_has_an_end(sshd: OpenSSHServer) -> None:
    with connect(sshd) as connection:
        talk = connection.talk("for i in $(seq 100); do printf .; sleep 0.2; done")
        started = time.monotonic()
        with pytest.raises(ssh.TimedOut):
            talk.read_line(0.7)
        assert time.monotonic() - started < 15


def test_a_command_killed_by_a_signal_has_no_exit_status(connection: ssh.Connection) -> None:
    talk = connection.talk("exec sh -c 'kill -9 $$'")
    talk.read_to_end(10)
    assert talk.exit_status(10) is None


def test_long_output_is_cut_in_the_middle(connection: ssh.Connection) -> None:
    output = connection.talk("seq 400000").read_to_end(20)
    assert output.startswith(b"1\n2\n")
    assert output.endswith(b"\n399999\n400000\n")
    assert b"\n[...]\n" in output
    assert len(output) < 70_000


def test_output_without_end_closes_the_connection(sshd: OpenSSHServer) -> None:
    with connect(sshd) as connection, pytest.raises(ssh.TooMuchOutput):
        connection.talk("cat /dev/zero").read_to_end(30)


def test_a_line_without_end_comes_in_pieces(connection: ssh.Connection) -> None:
    talk = connection.talk("head -c 100000 /dev/zero | tr '\\0' x; echo")
    pieces = list(talk.lines(10))
    assert max(map(len, pieces)) == ssh.LINE_LIMIT
    assert b"".join(pieces) == b"x" * 100_000 + b"\n"


def test_both_streams_at_once_do_not_block_each_other(connection: ssh.Connection) -> None:
    talk = connection.talk("head -c 1500000 /dev/zero >&2 & head -c 1500000 /dev/zero; wait; echo; echo end")
    assert sum(map(len, talk.lines(20))) == 3_000_005
    assert talk.exit_status(5) == 0


def test_a_lost_connection_is_told_apart_from_an_end(sshd: OpenSSHServer) -> None:
    with Cable(sshd.port) as cable, connect(sshd, port=cable.port) as connection:
        talk = connection.talk("echo on; sleep 5")
        assert talk.read_line(10) == b"on\n"
        cable.cut()
        with pytest.raises(ssh.ConnectionLost):
            talk.read_line(10)
        with pytest.raises(ssh.ConnectionLost):
            talk.send(b"more")


def test_it_ticks_about_every_second_in_the_thread_that_waits(sshd: OpenSSHServer) -> None:
    ticks: list[threading.Thread] = []
    with connect(sshd, tick=lambda: ticks.append(threading.current_thread())) as connection:
        connection.talk("sleep 2.5").read_to_end(10)
    assert len(ticks) == 2
    assert set(ticks) == {threading.current_thread()}


def test_what_a_tick_raises_ends_everything(sshd: OpenSSHServer) -> None:
    class LeaseLostError(Exception):
        pass

    def tick() -> None:
        raise LeaseLostError

    before = threading.active_count(), descriptors()
    connection = connect(sshd, tick=tick)
    with pytest.raises(LeaseLostError):
        connection.talk("sleep 5").read_line(10)
    wait_for_count(before)


def test_nothing_is_left_of_connections_good_and_bad(sshd: OpenSSHServer) -> None:
    stranger = ssh.load_private_key(ssh.generate_private_key())
    before = threading.active_count(), descriptors()
    for _ in range(3):
        with connect(sshd) as connection:
            connection.talk("echo").read_line(5)
        with pytest.raises(ssh.LoginRefused):
            ssh.Connection.open(target(sshd), key=stranger, policy=POLICY)
        with pytest.raises(ssh.HostKeyUnknown):
            ssh.Connection.open(ssh.Target(sshd.host, sshd.port, "root", ()), key=stranger, policy=POLICY)
    wait_for_count(before)


def test_nothing_is_logged(sshd: OpenSSHServer, caplog: pytest.LogCaptureFixture) -> None:
    with connect(sshd) as connection:
        connection.talk("echo").read_line(5)
    with pytest.raises(ssh.HostKeyUnknown):
        ssh.Connection.open(ssh.Target(sshd.host, sshd.port, "root", ()), key=client_key(sshd), policy=POLICY)
    assert caplog.records == []
    assert logging.getLogger("paramiko").level == logging.WARNING


def every_error(kind: type[ssh.SSHError] = ssh.SSHError) -> Iterator[type[ssh.SSHError]]:
    for below in kind.__subclasses__():
        if hasattr(below, "code"):
            yield below
        yield from every_error(below)


@pytest.mark.parametrize("error", list(dict.fromkeys(every_error())), ids=lambda error: error.__name__)
def test_every_error_has_a_code_that_people_can_look_up(error: type[ssh.SSHError]) -> None:
    assert error.code in set(Code)


class TestKeys:
    @pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
    def test_a_key_of_ssh_keygen_is_loaded(self, kind: str, tmp_path: Path) -> None:
        file = tmp_path / "key"
        subprocess.run([require("ssh-keygen"), "-qt", kind, "-N", "", "-C", "x", "-f", file], check=True)
        line = ssh.public_line(ssh.load_private_key(file), "x")
        assert line == (tmp_path / "key.pub").read_text().strip()
        assert ssh.public_line(ssh.load_private_key(file.read_text()), "x") == line

    def test_an_encrypted_key_is_unusable(self, tmp_path: Path) -> None:
        file = tmp_path / "key"
        subprocess.run([require("ssh-keygen"), "-q", "-N", "a phrase", "-f", file], check=True)
        with pytest.raises(ssh.UnusableKey):
            ssh.load_private_key(file)

    @pytest.mark.parametrize(
        "text",
        [
            "-----BEGIN OPENSSH PRIVATE KEY-----\n",
            "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n",
            "-----BEGIN RSA PRIVATE KEY-----\n%%%\n-----END RSA PRIVATE KEY-----\n",
        ],
    )
    def test_what_is_no_key_is_unusable(self, text: str) -> None:
        with pytest.raises(ssh.UnusableKey):
            ssh.load_private_key(text)

    def test_ssh_keygen_reads_the_generated_key(self, tmp_path: Path) -> None:
        file = tmp_path / "key"
        ssh.write_private_key(file, ssh.generate_private_key())
        shown = subprocess.run(
            [require("ssh-keygen"), "-yf", file], capture_output=True, text=True, check=True
        )
        assert shown.stdout.strip() == ssh.public_line(ssh.load_private_key(file), "")
        assert file.stat().st_mode & 0o777 == 0o600
        with pytest.raises(FileExistsError):
            ssh.write_private_key(file, "")

    @pytest.mark.parametrize(
        "line", ["", "ssh-ed25519", "ssh-ed25519 %%%", "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAA"]
    )
    def test_what_is_no_host_key_line_is_refused(self, line: str) -> None:
        with pytest.raises(ValueError, match="host key"):
            ssh.PublicHostKey.parse(line)
