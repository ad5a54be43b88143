"""Through a jump host: real OpenSSH servers on both ends, and jump hosts that do not behave."""

import dataclasses
import getpass
import socket
import threading
from collections.abc import Iterator
from functools import partial
from ipaddress import ip_network
from typing import NoReturn

import paramiko
import pytest

from instances import ssh
from tests.instances.nlserver.shell_fleet import NO_HOME, Cable
from tests.instances.ssh.ssh_peers import (
    CLIENT_KEY,
    SERVER_KEY,
    Behaviour,
    NeverAuthenticates,
    Server,
    banner_only,
    descriptors,
    drips_a_banner,
    ended_in_time,
    floods_a_banner,
    hangs_up,
    peer,
    server,
    silent,
    wait_for_count,
)
from tests.services.fixtures import StartOpenSSH
from tests.services.openssh_server import OpenSSHServer
from tests.services.programs import require
from tests.services.waiting import free_port, wait_until

POLICY = ssh.AddressPolicy(allow_loopback=True)
SHORT = ssh.Deadlines(connect=3, negotiate=3, login=3)  # which a real sshd keeps easily on a busy machine
BASTION = "127.0.0.11"
ME = getpass.getuser()
WINDOW = paramiko.common.DEFAULT_WINDOW_SIZE


@pytest.fixture(scope="module")
def container() -> Iterator[OpenSSHServer]:
    require("sshd")
    with OpenSSHServer(host_key_types=("ed25519", "rsa"), options=NO_HOME) as running:
        running.authorize(ME, ssh.public_line(CLIENT_KEY, ""))
        yield running


@pytest.fixture(scope="module")
def bastion() -> Iterator[OpenSSHServer]:
    require("sshd")
    with OpenSSHServer(host=BASTION, host_key_types=("ed25519",), options=NO_HOME) as running:
        running.authorize(ME, ssh.public_line(CLIENT_KEY, ""), restrictions="restrict,port-forwarding")
        yield running


def through(bastion: OpenSSHServer) -> ssh.Jump:
    keys = tuple(key.line for key in bastion.host_keys)
    return ssh.Jump(bastion.host, bastion.port, ME, keys, CLIENT_KEY)


def behind(container: OpenSSHServer, jump: ssh.Jump) -> ssh.Target:
    keys = tuple(key.line for key in container.host_keys)
    return ssh.Target(container.host, container.port, ME, keys, jump)


def connect(target: ssh.Target, deadlines: ssh.Deadlines | None = None) -> ssh.Connection:
    return ssh.Connection.open(target, key=CLIENT_KEY, policy=POLICY, deadlines=deadlines)


def since(server: OpenSSHServer, start: int) -> str:
    return server.log.read_text()[start:]


def test_a_command_runs_behind_a_jump_host(container: OpenSSHServer, bastion: OpenSSHServer) -> None:
    start = bastion.log.stat().st_size
    with connect(behind(container, through(bastion))) as connection:
        assert connection.host_key in {key.fingerprint for key in container.host_keys}
        for number in range(2):
            talk = connection.talk(f"read -r line; echo got $line {number}; exit 7")
            talk.send(b"it\n")
            assert talk.read_to_end(10) == b"got it %d\n" % number
            assert talk.exit_status(10) == 7
    assert f"Accepted publickey for {ME}" in since(bastion, start)


def test_closing_ends_both_connections_and_leaves_nothing(
    container: OpenSSHServer, bastion: OpenSSHServer
) -> None:
    stranger = dataclasses.replace(through(bastion), key=ssh.load_private_key(ssh.generate_private_key()))
    before = threading.active_count(), descriptors()
    ends = [(each, each.log.stat().st_size) for each in (container, bastion)]
    for _ in range(2):
        with connect(behind(container, through(bastion))) as connection:
            connection.talk("echo").read_line(5)
        with pytest.raises(ssh.JumpHostLoginRefused):
            connect(behind(container, stranger))
    wait_for_count(before)
    for each, start in ends:
        wait_until(partial(saw_two_ends, each, start), within=120, what="the servers to see it")


def saw_two_ends(server: OpenSSHServer, start: int) -> bool:
    return since(server, start).count("onnection closed") >= 2


def test_much_output_passes_and_output_without_end_is_ended(
    container: OpenSSHServer, bastion: OpenSSHServer
) -> None:
    with connect(behind(container, through(bastion))) as connection:
        for _ in range(3):  # together more than any one command may say
            lines = connection.talk("head -c 3000000 /dev/zero; echo").lines(20)
            assert sum(map(len, lines)) == 3_000_001
        with pytest.raises(ssh.TooMuchOutput):
            connection.talk("cat /dev/zero").read_to_end(30)


def test_a_scan_shows_the_keys_of_the_host_and_not_of_the_jump_host(
    container: OpenSSHServer, bastion: OpenSSHServer
) -> None:
    start = container.log.stat().st_size
    found = ssh.scan(container.host, container.port, policy=POLICY, jump=through(bastion)).keys
    assert [key.line for key in found] == [key.line for key in container.host_keys]
    assert "publickey" not in since(container, start)


def test_the_jump_host_resolves_the_name(
    container: OpenSSHServer, bastion: OpenSSHServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def resolve_nothing(*_: object, **__: object) -> NoReturn:
        raise AssertionError("the portal resolved a name")

    monkeypatch.setattr(socket, "getaddrinfo", resolve_nothing)
    target = dataclasses.replace(behind(container, through(bastion)), host="localhost")
    with connect(target) as connection:
        assert connection.talk("echo in").read_line(5) == b"in\n"


def test_an_address_behind_a_jump_host_is_vetted_before_the_login(
    container: OpenSSHServer, bastion: OpenSSHServer
) -> None:
    start = bastion.log.stat().st_size
    narrow = ssh.AddressPolicy(allow_loopback=True, networks=(ip_network(f"{BASTION}/32"),))
    with pytest.raises(ssh.AddressNotAllowed):
        ssh.Connection.open(behind(container, through(bastion)), key=CLIENT_KEY, policy=narrow)
    assert "publickey" not in since(bastion, start)


def test_a_name_behind_a_jump_host_is_vetted_by_its_port() -> None:
    policy = ssh.AddressPolicy(ports=frozenset({22}))
    assert policy.vet_unresolved("app.internal", 22) == "app.internal"
    with pytest.raises(ssh.AddressNotAllowed):
        policy.vet_unresolved("app.internal", 6379)


# What is wrong with the jump host


def test_a_jump_host_that_is_not_there(container: OpenSSHServer, bastion: OpenSSHServer) -> None:
    for wrong in ({"port": free_port(BASTION)}, {"host": "no-such-host.invalid"}):
        jump = dataclasses.replace(through(bastion), **wrong)
        with pytest.raises(ssh.JumpHostUnreachable):
            connect(behind(container, jump))


def test_a_jump_host_outside_the_allowed_networks(container: OpenSSHServer, bastion: OpenSSHServer) -> None:
    narrow = ssh.AddressPolicy(allow_loopback=True, networks=(ip_network("127.0.0.1/32"),))
    with pytest.raises(ssh.JumpHostNotAllowed):
        ssh.Connection.open(behind(container, through(bastion)), key=CLIENT_KEY, policy=narrow)


@pytest.mark.parametrize("pinned", [(), (f"{SERVER_KEY.get_name()} {SERVER_KEY.get_base64()}",)])
def test_a_jump_host_with_another_key_sees_no_login(
    container: OpenSSHServer, bastion: OpenSSHServer, pinned: tuple[str, ...]
) -> None:
    start = bastion.log.stat().st_size
    jump = dataclasses.replace(through(bastion), host_keys=pinned)
    with pytest.raises(ssh.JumpHostKeyChanged) as caught:
        connect(behind(container, jump))
    assert caught.value.offered.line == bastion.host_keys[0].line
    assert "publickey" not in since(bastion, start)


def test_a_jump_host_with_outdated_algorithms(container: OpenSSHServer, start_openssh: StartOpenSSH) -> None:
    old = start_openssh(host=BASTION, options={"MACs": "hmac-sha1", "Ciphers": "aes128-ctr"})
    with pytest.raises(ssh.JumpHostTooOld):
        connect(behind(container, through(old)))


@pytest.mark.parametrize(
    ("restrictions", "options"),
    [
        ("", {"AllowTcpForwarding": "no"}),
        ("", {"DisableForwarding": "yes"}),
        ("", {"PermitOpen": "10.0.0.1:22"}),
        ("restrict", {}),  # the line that is right for a container
    ],
)
def test_a_jump_host_that_forbids_forwarding(
    container: OpenSSHServer, start_openssh: StartOpenSSH, restrictions: str, options: dict[str, str]
) -> None:
    strict = start_openssh(host=BASTION, options=options)
    strict.authorize(ME, ssh.public_line(CLIENT_KEY, ""), restrictions=restrictions)
    with pytest.raises(ssh.ForwardingForbidden):
        connect(behind(container, through(strict)))


def test_a_jump_host_that_cannot_reach_the_host(container: OpenSSHServer, bastion: OpenSSHServer) -> None:
    target = behind(container, through(bastion))
    for wrong in ({"port": free_port()}, {"host": "no-such-host.invalid"}):
        with pytest.raises(ssh.NoWayBehind):
            connect(dataclasses.replace(target, **wrong))


# What is wrong with the host behind it has the same code as without a jump host


def test_a_changed_key_behind_a_jump_host(container: OpenSSHServer, bastion: OpenSSHServer) -> None:
    target = dataclasses.replace(
        behind(container, through(bastion)), host_keys=tuple(key.line for key in bastion.host_keys)
    )
    with pytest.raises(ssh.HostKeyChanged) as caught:
        connect(target)
    assert caught.value.offered.line == container.host_keys[0].line


def test_a_refused_login_behind_a_jump_host(container: OpenSSHServer, bastion: OpenSSHServer) -> None:
    stranger = ssh.load_private_key(ssh.generate_private_key())
    with pytest.raises(ssh.LoginRefused):
        ssh.Connection.open(behind(container, through(bastion)), key=stranger, policy=POLICY)


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [
        (silent, ssh.Silent),
        (drips_a_banner, ssh.NotSSH),
        (banner_only, ssh.TimedOut),
        (floods_a_banner, ssh.NotSSH),
        (hangs_up, ssh.TurnedAway),
        (server(NeverAuthenticates), ssh.TimedOut),
    ],
)
def test_a_host_behind_a_jump_host_that_does_not_behave(
    bastion: OpenSSHServer, behaviour: Behaviour, error: type[ssh.SSHError]
) -> None:
    before = threading.active_count(), descriptors()
    with peer(behaviour) as port, ended_in_time(30):
        pinned = f"{SERVER_KEY.get_name()} {SERVER_KEY.get_base64()}"
        target = ssh.Target("127.0.0.1", port, "neolane", (pinned,), through(bastion))
        with pytest.raises(error) as caught:
            connect(target, SHORT)
        assert type(caught.value) is error
    wait_for_count(before)


def test_a_host_that_floods_before_its_channel_is_noticed(
    bastion: OpenSSHServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy machine all that the window admits may be there first; it is still the host's failure."""
    opening = paramiko.Transport.open_channel

    def open_late(transport: paramiko.Transport, *args: object, **options: object) -> paramiko.Channel:
        channel: paramiko.Channel = opening(transport, *args, **options)  # type: ignore[arg-type]
        wait_until(lambda: len(channel.in_buffer) == WINDOW or channel.closed, within=120, what="the flood")
        if not transport.is_active():  # as Paramiko does that finds the connection gone
            raise paramiko.SSHException
        return channel

    monkeypatch.setattr(paramiko.Transport, "open_channel", open_late)
    with peer(floods_a_banner) as port:
        target = ssh.Target("127.0.0.1", port, "neolane", (), through(bastion))
        with pytest.raises(ssh.NotSSH):
            connect(target, SHORT)


def test_a_connection_that_breaks_before_the_jump_host(
    container: OpenSSHServer, start_openssh: StartOpenSSH
) -> None:
    bastion = start_openssh()
    bastion.authorize(ME, ssh.public_line(CLIENT_KEY, ""))
    before = threading.active_count(), descriptors()
    with Cable(bastion.port) as cable:
        jump = dataclasses.replace(through(bastion), port=cable.port)
        with connect(behind(container, jump)) as connection:
            talk = connection.talk("echo on; sleep 5")
            assert talk.read_line(10) == b"on\n"
            cable.cut()
            with pytest.raises(ssh.ConnectionLost):
                talk.read_line(10)
    wait_for_count(before)


# A jump host that hangs: every stage has its end


class Forwards(Server):
    """Says yes to every forwarding, and leads nowhere."""

    def check_channel_direct_tcpip_request(
        self, chanid: int, origin: tuple[str, int], destination: tuple[str, int]
    ) -> int:
        return paramiko.common.OPEN_SUCCEEDED


class NeverForwards(Forwards):
    def check_channel_direct_tcpip_request(
        self, chanid: int, origin: tuple[str, int], destination: tuple[str, int]
    ) -> int:
        self.over.wait()
        return paramiko.common.OPEN_SUCCEEDED


class HangsUpInstead(Forwards):
    def check_channel_direct_tcpip_request(
        self, chanid: int, origin: tuple[str, int], destination: tuple[str, int]
    ) -> int:
        raise EOFError  # ends the transport


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [
        (silent, ssh.JumpHostUnreachable),
        (drips_a_banner, ssh.JumpHostUnreachable),
        (banner_only, ssh.JumpHostUnreachable),
        (hangs_up, ssh.JumpHostUnreachable),
        (server(NeverAuthenticates), ssh.JumpHostUnreachable),
        (server(NeverForwards), ssh.NoWayBehind),
        (server(HangsUpInstead), ssh.JumpHostUnreachable),
        (server(Forwards), ssh.Silent),
    ],
)
def test_a_jump_host_that_hangs(behaviour: Behaviour, error: type[ssh.SSHError]) -> None:
    before = threading.active_count(), descriptors()
    with peer(behaviour) as port, ended_in_time(30):
        pinned = f"{SERVER_KEY.get_name()} {SERVER_KEY.get_base64()}"
        jump = ssh.Jump("127.0.0.1", port, "portal", (pinned,), CLIENT_KEY)
        with pytest.raises(error) as caught:
            connect(ssh.Target("10.0.0.1", 22, "neolane", (pinned,), jump), SHORT)
        assert type(caught.value) is error
    wait_for_count(before)


def test_a_tick_ends_the_wait_for_a_jump_host() -> None:
    def tick() -> None:
        raise InterruptedError

    with peer(silent) as port:
        target = ssh.Target("10.0.0.1", 22, "x", (), ssh.Jump("127.0.0.1", port, "portal", (), CLIENT_KEY))
        with ended_in_time(15), pytest.raises(InterruptedError):
            ssh.Connection.open(target, key=CLIENT_KEY, policy=POLICY, tick=tick)


def test_the_key_of_a_jump_is_not_shown() -> None:
    assert "key" not in repr(ssh.Jump("bastion", 22, "portal", (), CLIENT_KEY)).replace("host_keys", "")
