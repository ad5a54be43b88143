"""The sandbox's SSH server behaves like OpenSSH without a terminal, and breaks in the ways it is told to."""

import base64
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import paramiko
import pytest

from portal.sandbox.config_files import Shape
from portal.sandbox.container import Container, make_container
from portal.sandbox.ssh_server import SSHFaults, SSHServer, end_processes, key_line, make_host_key


@pytest.fixture(scope="module")
def key() -> paramiko.PKey:
    return paramiko.ECDSAKey.generate()


@pytest.fixture
def container(tmp_path: Path) -> Container:
    return make_container(tmp_path / "mkt-1", instances={"prod1": Shape.PLAIN})


@pytest.fixture
def server(container: Container, key: paramiko.PKey) -> Iterator[SSHServer]:
    with SSHServer(
        environment=container.environment, authorized_keys=[key_line(key)], logins=["neolane", "campaign"]
    ) as running:
        yield running


def broken(container: Container, key: paramiko.PKey, faults: SSHFaults) -> SSHServer:
    return SSHServer(environment=container.environment, authorized_keys=[key_line(key)], faults=faults)


@contextlib.contextmanager
def connected(server: SSHServer, key: paramiko.PKey, user: str = "neolane") -> Iterator[paramiko.SSHClient]:
    client = paramiko.SSHClient()
    kind, data = server.known_host.split()
    known = paramiko.ECDSAKey(data=base64.b64decode(data))
    client.get_host_keys().add(f"[{server.address}]:{server.port}", kind, known)
    try:
        client.connect(
            server.address,
            server.port,
            user,
            pkey=key,
            allow_agent=False,
            look_for_keys=False,
            timeout=5,
            banner_timeout=1,
        )
        yield client
    finally:
        client.close()


def run(client: paramiko.SSHClient, command: str, data: bytes = b"") -> tuple[int, bytes, bytes]:
    stdin, stdout, stderr = client.exec_command(command, timeout=20)
    stdin.write(data)
    stdin.channel.shutdown_write()
    out, err = stdout.read(), stderr.read()
    return stdout.channel.recv_exit_status(), out, err


def start(client: paramiko.SSHClient, command: str) -> paramiko.Channel:
    """Start a command that says `ready` first; its input stays open."""
    transport = client.get_transport()
    assert transport is not None
    channel = transport.open_session(timeout=5)
    channel.settimeout(20)
    channel.exec_command(command)
    assert channel.recv(6) == b"ready\n"
    return channel


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the state was not reached in time"
        time.sleep(0.02)


def is_running(process: int) -> bool:
    """Whether it exists and is not a zombie that only waits for its parent."""
    try:
        return bool(Path(f"/proc/{process}/cmdline").read_bytes())
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_it_runs_a_command_in_a_real_shell(server: SSHServer, key: paramiko.PKey) -> None:
    with connected(server, key) as client:
        assert run(client, "cat; id -un; echo wrong >&2; exit 7", b"in\n") == (
            7,
            b"in\nneolane\n",
            b"wrong\n",
        )


def test_several_commands_share_one_connection(server: SSHServer, key: paramiko.PKey) -> None:
    with connected(server, key) as client:
        assert [run(client, f"exit {n}")[0] for n in range(5)] == [0, 1, 2, 3, 4]
    assert server.connections == 1


def test_many_clients_are_served_at_once(server: SSHServer, key: paramiko.PKey) -> None:
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connected(server, key)) for _ in range(8)]
        channels = [client.exec_command("read go; echo $go")[:2] for client in clients]
        for number, (stdin, _) in enumerate(channels):
            stdin.write(f"{number}\n")
        assert [stdout.read() for _, stdout in channels] == [f"{number}\n".encode() for number in range(8)]


def test_ten_megabytes_come_back_complete(server: SSHServer, key: paramiko.PKey) -> None:
    with connected(server, key) as client:
        status, out, _ = run(client, "head -c 10000000 /dev/zero")
    assert (status, len(out)) == (0, 10_000_000)


def test_the_input_ends_when_the_client_says_so(server: SSHServer, key: paramiko.PKey) -> None:
    with connected(server, key) as client:
        assert run(client, "IFS= read -r line || exit 97", b"no newline")[0] == 97


def test_a_command_killed_by_a_signal_has_no_exit_status(server: SSHServer, key: paramiko.PKey) -> None:
    with connected(server, key) as client:
        assert run(client, "kill -9 $$")[0] == -1


@pytest.mark.parametrize("user", ["root", "nobody"])
def test_other_logins_are_refused(server: SSHServer, key: paramiko.PKey, user: str) -> None:
    with pytest.raises(paramiko.AuthenticationException), connected(server, key, user):
        pass


def test_other_keys_and_passwords_are_refused(server: SSHServer, key: paramiko.PKey) -> None:
    with pytest.raises(paramiko.AuthenticationException), connected(server, paramiko.ECDSAKey.generate()):
        pass
    with paramiko.Transport((server.address, server.port)) as transport:
        transport.start_client(timeout=5)
        with pytest.raises(paramiko.BadAuthenticationType) as refused:
            transport.auth_password("neolane", "password")
    assert refused.value.allowed_types == ["publickey"]


@pytest.mark.parametrize("wish", ["invoke_shell", "open_sftp"])
def test_there_are_commands_and_nothing_else(server: SSHServer, key: paramiko.PKey, wish: str) -> None:
    with connected(server, key) as client, pytest.raises((paramiko.SSHException, EOFError)):
        getattr(client, wish)()


def test_after_a_disconnect_the_command_keeps_running_with_its_input_closed(
    server: SSHServer, key: paramiko.PKey, tmp_path: Path
) -> None:
    seen, done = tmp_path / "seen", tmp_path / "done"
    script = f"trap '' PIPE; echo ready; cat; touch {seen}; sleep 0.3; echo more 2>/dev/null; touch {done}"
    with connected(server, key) as client:
        start(client, script)
        assert not seen.exists()
    wait_until(seen.exists)
    wait_until(done.exists)


def test_after_a_disconnect_nobody_reads_the_output(
    server: SSHServer, key: paramiko.PKey, tmp_path: Path
) -> None:
    outcome = tmp_path / "outcome"
    record = f"echo $? >{outcome}.new; mv {outcome}.new {outcome}"
    script = f"trap '' PIPE; echo ready; cat; sleep 1; echo x; {record}"
    with connected(server, key) as client:
        start(client, script)
    wait_until(outcome.exists)
    assert outcome.read_text() != "0\n"


def test_stop_ends_what_still_runs_and_leaves_no_thread(
    container: Container, key: paramiko.PKey, tmp_path: Path
) -> None:
    before, alive = set(threading.enumerate()), tmp_path / "alive"
    server = SSHServer(environment=container.environment, authorized_keys=[key_line(key)])
    server.start()
    with connected(server, key) as client:
        start(client, f"echo ready; setsid timeout 60 sh -c 'echo $$ >{alive}; sleep 60; :' & sleep 60")
        wait_until(lambda: alive.exists() and bool(alive.read_text()))
    server.stop()
    wait_until(lambda: not is_running(int(alive.read_text())))
    wait_until(lambda: {each for each in threading.enumerate() if each.is_alive()} <= before)


def test_ending_processes_touches_only_those_with_the_mark(server: SSHServer, key: paramiko.PKey) -> None:
    with connected(server, key) as client:
        channel = start(client, "echo ready; read line; echo $line; read wait")
        end_processes("another mark")
        channel.sendall(b"still there\n")
        assert channel.recv(100) == b"still there\n"
        end_processes(server.mark)
        assert channel.recv_exit_status() == -1


def test_a_failed_handshake_leaves_no_thread_and_blocks_nobody(
    container: Container, key: paramiko.PKey
) -> None:
    before = set(threading.enumerate())
    with broken(container, key, SSHFaults()) as server, contextlib.ExitStack() as stack:
        for first_words in (b"GET / HTTP/1.0\r\n\r\n", b"SSH-2.0-silent\r\n", b""):
            peer = stack.enter_context(socket.create_connection((server.address, server.port)))
            peer.sendall(first_words)
        client = stack.enter_context(connected(server, key))
        assert run(client, "true")[0] == 0
    wait_until(lambda: set(threading.enumerate()) <= before)


def test_it_starts_again_on_the_same_port_with_the_same_key(server: SSHServer, key: paramiko.PKey) -> None:
    port, fingerprint = server.port, server.fingerprint
    server.stop()
    server.stop()
    server.start()
    assert (server.port, server.fingerprint) == (port, fingerprint)
    with connected(server, key) as client:
        assert run(client, "true")[0] == 0


def test_a_kept_host_key_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "host_key"
    assert make_host_key(path).fingerprint == make_host_key(path).fingerprint
    assert make_host_key(path).fingerprint.startswith("SHA256:")
    assert path.stat().st_mode & 0o077 == 0


def test_a_refusing_server_keeps_its_port_without_listening(container: Container, key: paramiko.PKey) -> None:
    with broken(container, key, SSHFaults(refuse=True)) as server:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((server.address, server.port))
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with pytest.raises(OSError, match="in use"):
                other.bind((server.address, server.port))


def test_a_silent_server_accepts_and_says_nothing(container: Container, key: paramiko.PKey) -> None:
    with (
        broken(container, key, SSHFaults(silent=True)) as server,
        socket.create_connection((server.address, server.port)) as peer,
    ):
        peer.settimeout(0.3)
        with pytest.raises(TimeoutError):
            peer.recv(1)


def test_another_host_key_is_shown_in_place_of_the_approved_one(
    container: Container, key: paramiko.PKey
) -> None:
    server = broken(container, key, SSHFaults(other_host_key=True))
    with server, pytest.raises(paramiko.BadHostKeyException), connected(server, key):
        pass


def test_a_login_can_be_refused(container: Container, key: paramiko.PKey) -> None:
    server = broken(container, key, SSHFaults(refuse_login=True))
    with server, pytest.raises(paramiko.AuthenticationException), connected(server, key):
        pass


@pytest.mark.parametrize(
    ("faults", "received"),
    [
        (SSHFaults(drop_after_newline=1, drops_left=1), "0 first line\n"),
        (SSHFaults(drop_after_newline=2, drops_left=1), "0 first line\n"),
        (SSHFaults(drop_at_byte=4, drops_left=1), "1 firs\n"),
        (SSHFaults(drop_at_byte=11, drops_left=1), "0 first line\n"),
        (SSHFaults(drop_at_byte=10, drops_left=1), "1 first line\n"),
    ],
)
def test_a_dropped_connection_gives_the_command_exactly_what_was_said(
    container: Container, key: paramiko.PKey, tmp_path: Path, faults: SSHFaults, received: str
) -> None:
    outcome = tmp_path / "outcome"
    record = f'printf "%s\\n" "$? $line" >{outcome}.new; cat >/dev/null; mv {outcome}.new {outcome}'
    with broken(container, key, faults) as server:
        with connected(server, key) as client:
            channel = start(client, f"echo ready; IFS= read -r line; {record}")
            channel.sendall(b"first line\nand more\nand")
            assert channel.recv_exit_status() == -1
        wait_until(outcome.exists)
        with connected(server, key) as client:
            assert run(client, "cat", b"first line\nand more") == (0, b"first line\nand more", b"")
    assert outcome.read_text() == received
