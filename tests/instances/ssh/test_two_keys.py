"""Two keys: the new one first, then the former one. Real OpenSSH servers, and servers that lie."""

import re
import socket
import threading

import paramiko
import pytest

from instances import ssh
from tests.instances.ssh.ssh_peers import POLICY, SERVER_KEY, Behaviour, Server, peer
from tests.services.fixtures import StartOpenSSH
from tests.services.openssh_server import OpenSSHServer

NEW, FORMER = (ssh.load_private_key(ssh.generate_private_key()) for _ in range(2))
NEW_NAME, FORMER_NAME = ssh.name_of(NEW), ssh.name_of(FORMER)
KEYS = {"new": NEW, "former": FORMER}
PATIENT = ssh.Deadlines(connect=20, negotiate=30, login=30)
BASTION = "127.0.0.11"


def offer() -> ssh.Offer:
    return ssh.Offer(NEW, FORMER)


def installed(server: OpenSSHServer, *names: str, restrictions: str = "") -> OpenSSHServer:
    for name in names:
        server.authorize(server.accounts[0], ssh.public_line(KEYS[name], ""), restrictions=restrictions)
    return server


def target(server: OpenSSHServer, jump: ssh.Jump | None = None) -> ssh.Target:
    keys = tuple(key.line for key in server.host_keys)
    return ssh.Target(server.host, server.port, server.accounts[0], keys, jump)


def log_in(server: OpenSSHServer, keys: ssh.Offer, jump: ssh.Jump | None = None) -> None:
    with ssh.Connection.open(target(server, jump), key=keys, policy=POLICY, deadlines=PATIENT):
        pass


def through(server: OpenSSHServer, keys: ssh.Offer) -> ssh.Jump:
    lines = tuple(key.line for key in server.host_keys)
    return ssh.Jump(server.host, server.port, server.accounts[0], lines, keys)


def asked(server: OpenSSHServer) -> list[tuple[str, str]]:
    """What the server's own log says of our keys, in its order."""
    found = re.findall(r"^(Accepted|Failed) publickey .*(SHA256:\S+)", server.log.read_text(), re.MULTILINE)
    names = {NEW_NAME: "new", FORMER_NAME: "former"}
    return [(word, names[name]) for word, name in found]


def connections(server: OpenSSHServer) -> int:
    return server.log.read_text().count("Connection from")


ON_NEW, ON_FORMER = ssh.Login(NEW_NAME, ""), ssh.Login(FORMER_NAME, NEW_NAME)


@pytest.mark.parametrize(
    ("names", "login", "order"),
    [
        (["former"], ON_FORMER, [("Failed", "new"), ("Accepted", "former")]),
        (["new"], ON_NEW, [("Accepted", "new")]),
        (["former", "new"], ON_NEW, [("Accepted", "new")]),
    ],
)
def test_the_new_key_is_offered_first_and_the_former_one_over_the_same_connection(
    start_openssh: StartOpenSSH, names: list[str], login: ssh.Login, order: list[tuple[str, str]]
) -> None:
    server, keys = installed(start_openssh(), *names), offer()
    log_in(server, keys)
    assert keys.login == login
    assert (asked(server), connections(server)) == (order, 1)


@pytest.mark.parametrize(("tries", "expected"), [("6", 1), ("2", 2), ("1", 2)])
def test_a_server_that_knows_neither_has_refused_both_by_name(
    start_openssh: StartOpenSSH, tries: str, expected: int
) -> None:
    server, keys = start_openssh(options={"MaxAuthTries": tries}), offer()
    with pytest.raises(ssh.LoginRefused) as caught:
        log_in(server, keys)
    assert type(caught.value) is ssh.LoginRefused
    said = " ".join(caught.value.details)
    assert f"newest key {NEW_NAME} was" in said
    assert f"former key {FORMER_NAME} was refused" in said
    assert keys.login
    assert (keys.login.taken, keys.login.refused) == ("", NEW_NAME)
    assert connections(server) == expected


def test_a_server_that_hangs_up_on_the_new_key_is_asked_with_the_former_one_alone(
    start_openssh: StartOpenSSH,
) -> None:
    server, keys = installed(start_openssh(options={"MaxAuthTries": "1"}), "former"), offer()
    log_in(server, keys)
    assert keys.login == ssh.Login(FORMER_NAME, NEW_NAME, hung_up=True)
    assert connections(server) == 2
    log_in(server, keys)  # the same visit: it does not ask for what was refused
    assert asked(server)[-1] == ("Accepted", "former")
    assert connections(server) == 3


def test_a_server_that_allows_two_tries_is_asked_once(start_openssh: StartOpenSSH) -> None:
    server, keys = installed(start_openssh(options={"MaxAuthTries": "2"}), "former"), offer()
    log_in(server, keys)
    assert (keys.login, connections(server)) == (ON_FORMER, 1)


def test_two_keys_that_together_are_not_enough_are_a_refused_login(start_openssh: StartOpenSSH) -> None:
    methods = {"AuthenticationMethods": "publickey,password", "PasswordAuthentication": "yes"}
    server, keys = installed(start_openssh(options=methods), "new", "former"), offer()
    with pytest.raises(ssh.LoginRefused):
        log_in(server, keys)
    assert keys.login
    assert keys.login.taken == ""


def test_one_key_alone_is_refused_without_more_words(start_openssh: StartOpenSSH) -> None:
    keys = ssh.Offer(NEW)
    with pytest.raises(ssh.LoginRefused) as caught:
        log_in(start_openssh(), keys)
    assert caught.value.details == ()
    assert keys.login == ssh.Login("", NEW_NAME)


# Through a jump host


@pytest.mark.parametrize("tries", ["6", "1"])
@pytest.mark.parametrize(("there", "here"), [("former", "new"), ("new", "former"), ("former", "former")])
def test_each_server_on_the_way_takes_a_key_of_its_own(
    start_openssh: StartOpenSSH, tries: str, there: str, here: str
) -> None:
    options = {"MaxAuthTries": tries}
    bastion = installed(start_openssh(host=BASTION, options=options), there)
    container = installed(start_openssh(options=options), here)
    at_bastion, at_container = offer(), offer()
    log_in(container, at_container, through(bastion, at_bastion))
    assert at_bastion.login
    assert at_container.login
    assert at_bastion.login.taken == ssh.name_of(KEYS[there])
    assert at_container.login.taken == ssh.name_of(KEYS[here])
    assert connections(bastion) <= 3


def test_a_jump_host_that_knows_neither_is_named_with_both(start_openssh: StartOpenSSH) -> None:
    bastion, container = start_openssh(host=BASTION), installed(start_openssh(), "new")
    at_bastion, at_container = offer(), offer()
    with pytest.raises(ssh.JumpHostLoginRefused) as caught:
        log_in(container, at_container, through(bastion, at_bastion))
    assert {NEW_NAME, FORMER_NAME} <= set(re.findall(r"SHA256:\S+", " ".join(caught.value.details)))
    assert at_bastion.login == ssh.Login("", NEW_NAME)
    assert at_container.login is None


def test_a_jump_host_that_forwards_for_neither_key_is_said_to_forbid_it(start_openssh: StartOpenSSH) -> None:
    bastion = start_openssh(host=BASTION)
    installed(bastion, "new", restrictions="restrict")
    container, at_bastion = installed(start_openssh(), "new"), offer()
    with pytest.raises(ssh.ForwardingForbidden) as caught:
        log_in(container, offer(), through(bastion, at_bastion))
    said = " ".join(caught.value.details)
    assert f"newest key {NEW_NAME} was taken, but" in said
    assert f"former key {FORMER_NAME} was refused" in said
    assert at_bastion.login is None
    assert connections(bastion) == 2


def test_host_keys_are_scanned_behind_a_jump_host_that_hangs_up_on_the_new_key(
    start_openssh: StartOpenSSH,
) -> None:
    bastion = installed(start_openssh(host=BASTION, options={"MaxAuthTries": "1"}), "former")
    container = start_openssh(host_key_types=("ed25519", "rsa"))
    shown = ssh.scan(
        container.host, container.port, policy=POLICY, deadlines=PATIENT, jump=through(bastion, offer())
    )
    assert {key.line for key in shown.keys} == {key.line for key in container.host_keys}
    assert shown.error is None


# Servers that lie


class Judges(Server):
    """Answers each key as `answers` says, and counts what it was asked."""

    answers: dict[str, list[str]]

    def __init__(self, over: threading.Event, sock: socket.socket, answers: dict[str, list[str]]) -> None:
        super().__init__(over)
        self.sock, self.answers = sock, answers

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        which = "new" if key.get_base64() == NEW.get_base64() else "former"
        left = self.answers[which]
        answer = left.pop(0) if len(left) > 1 else left[0]
        if answer == "hangs up":
            self.sock.shutdown(socket.SHUT_RDWR)
        if answer == "says nothing":
            self.over.wait()
        return ANSWERS.get(answer, paramiko.common.AUTH_FAILED)


ANSWERS = {"takes": paramiko.common.AUTH_SUCCESSFUL, "wants more": paramiko.common.AUTH_PARTIALLY_SUCCESSFUL}


def judges(seen: list[int], answers: dict[str, list[str]]) -> Behaviour:
    def behave(sock: socket.socket, over: threading.Event) -> None:
        seen.append(1)
        transport = paramiko.Transport(sock)
        transport.add_server_key(SERVER_KEY)
        transport.start_server(threading.Event(), Judges(over, sock, answers))
        while transport.is_active() and not over.wait(0.02):
            pass
        transport.close()

    return behave


def open_at(port: int, keys: ssh.Offer, tick: ssh.Tick = lambda: None) -> ssh.Connection:
    pinned = f"{SERVER_KEY.get_name()} {SERVER_KEY.get_base64()}"
    deadlines = ssh.Deadlines(negotiate=20, connect=20, login=3)
    there = ssh.Target("127.0.0.1", port, "neolane", (pinned,))
    return ssh.Connection.open(there, key=keys, policy=POLICY, deadlines=deadlines, tick=tick)


@pytest.mark.parametrize("new", ["refuses", "wants more", "hangs up", "says nothing"])
def test_whatever_becomes_of_the_new_key_the_former_one_opens_what_it_opened(new: str) -> None:
    seen: list[int] = []
    with peer(judges(seen, {"new": [new], "former": ["takes"]})) as port:
        keys = offer()
        with open_at(port, keys):
            assert keys.login
            assert (keys.login.taken, keys.login.refused) == (FORMER_NAME, NEW_NAME)
        assert len(seen) == (1 if new == "refuses" else 2)


@pytest.mark.parametrize(
    ("new", "former", "error", "tries"),
    [
        (["hangs up"], ["hangs up"], ssh.LoginBarred, 2),
        (["hangs up"], ["refuses"], ssh.LoginBarred, 3),
        (["refuses"], ["hangs up"], ssh.LoginBarred, 2),
        (["says nothing"], ["refuses"], ssh.LoginRefused, 2),
        (["refuses"], ["says nothing"], ssh.TimedOut, 2),
    ],
)
def test_what_neither_key_opens_ends_after_few_connections(
    new: list[str], former: list[str], error: type[ssh.SSHError], tries: int
) -> None:
    seen: list[int] = []
    with peer(judges(seen, {"new": new, "former": former})) as port:
        with pytest.raises(ssh.SSHError) as caught:
            open_at(port, offer())
        assert type(caught.value) is error
        assert {NEW_NAME, FORMER_NAME} <= set(re.findall(r"SHA256:\S+", " ".join(caught.value.details)))
        assert len(seen) == tries


def test_a_connection_that_broke_over_the_new_key_does_not_bar_it() -> None:
    seen: list[int] = []
    with peer(judges(seen, {"new": ["hangs up", "takes"], "former": ["refuses"]})) as port:
        keys = offer()
        with open_at(port, keys):
            assert keys.login == ON_NEW
        assert len(seen) == 3


def test_a_tick_that_ends_the_wait_for_the_new_key_ends_everything() -> None:
    class Lost(Exception):
        pass

    def tick() -> None:
        raise Lost

    seen: list[int] = []
    with (
        peer(judges(seen, {"new": ["says nothing"], "former": ["takes"]})) as port,
        pytest.raises(Lost),
    ):
        open_at(port, offer(), tick)
    assert len(seen) == 1
