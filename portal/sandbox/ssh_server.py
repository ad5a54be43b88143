"""An SSH server in this process, for containers of the sandbox: public keys only, commands only, no terminal.

A command runs in a real `/bin/sh -c` and behaves as under OpenSSH without a terminal: when the connection
breaks, its input ends and nobody reads its output any more, but it keeps running. `stop()` ends what is left.
"""

import base64
import contextlib
import os
import secrets
import selectors
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

import paramiko
from paramiko.common import (
    AUTH_FAILED,
    AUTH_SUCCESSFUL,
    OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED,
    OPEN_SUCCEEDED,
)

MARK = "SANDBOX_SERVER"
"""Every process that a server starts carries this variable: so `stop` finds it, and no one else's process."""

LINGER = 10.0
"""Seconds that `stop` waits for each thread."""


@dataclass(kw_only=True)
class SSHFaults:
    """What is wrong with a server; may be changed while it runs, and counts for connections from then on."""

    refuse: bool = False
    """The port is taken but nobody listens. Read by `start` only."""
    silent: bool = False
    """Connections are accepted, and nothing is ever said."""
    refuse_login: bool = False
    other_host_key: bool = False
    """Another host key is presented than the one in `SSHServer.host_key`."""
    drop_at_byte: int | None = None
    """The connection breaks when a command has been given this many bytes of input."""
    drop_after_newline: int = 0
    """The connection breaks when a command has been given this many complete lines; 0 is never."""
    drops_left: int | None = None
    """How many connections the two `drop_` faults still break; None is all of them."""

    def takes_of(self, received: int, lines: int, data: bytes) -> int | None:
        """Return how many bytes of `data` still reach the command before the break; None if there is none.

        `received` and `lines` are how many bytes and complete lines it has been given already.
        """
        if self.drops_left == 0:
            return None
        if self.drop_at_byte is not None and received + len(data) >= self.drop_at_byte:
            return max(self.drop_at_byte - received, 0)
        ends = [at for at, byte in enumerate(data, start=1) if byte == ord("\n")]
        left = self.drop_after_newline - lines
        return ends[left - 1] if 0 < left <= len(ends) else None

    def count_drop(self) -> None:
        if self.drops_left is not None:
            self.drops_left -= 1


def make_host_key(path: Path | None = None) -> paramiko.ECDSAKey:
    """Return the host key kept in `path`, made if there is none yet; without a path, a new one."""
    if path is not None and path.exists():
        return paramiko.ECDSAKey.from_private_key_file(str(path))
    key = paramiko.ECDSAKey.generate()
    if path is not None:
        key.write_private_key_file(str(path))
    return key


def key_line(key: paramiko.PKey) -> str:
    """Return the public half of a key as known_hosts and authorized_keys have it: type and base64."""
    return f"{key.get_name()} {key.get_base64()}"


@dataclass(frozen=True)
class KeyFile:
    """The lines of a file, as they are each time: an added one counts from the next login on."""

    path: Path

    def __iter__(self) -> Iterator[str]:
        return iter(self.path.read_text().splitlines())


class SSHServer:
    """One server on one address. Also a context manager that starts and stops it.

    `environment` gives the variables of a login's commands; `logins` are the users who may log in (empty:
    all), `authorized_keys` lines as in the file of that name, which are gone through at every login. Port 0
    takes a free one; `port` tells which.
    """

    def __init__(
        self,
        *,
        environment: Callable[[str], Mapping[str, str]],
        authorized_keys: Iterable[str],
        address: str = "127.0.0.1",
        port: int = 0,
        host_key: paramiko.PKey | None = None,
        logins: Iterable[str] = (),
        faults: SSHFaults | None = None,
    ) -> None:
        self.environment = environment
        self.authorized_keys = authorized_keys
        self.address, self.port = address, port
        self.host_key = host_key or make_host_key()
        self.other_host_key = make_host_key()
        self.logins = frozenset(logins)
        self.faults = faults or SSHFaults()
        self.mark = secrets.token_hex(16)
        self.connections = 0
        self._listener: socket.socket | None = None
        self._accepting: threading.Thread | None = None
        self._threads: list[threading.Thread] = []
        self._transports: list[paramiko.Transport] = []
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()

    def authorized(self) -> set[bytes]:
        """Return the public keys that may log in now."""
        words = [word for line in self.authorized_keys for word in line.split()]
        return {base64.b64decode(word) for word in words if word.startswith("AAAA")}

    @property
    def fingerprint(self) -> str:
        """The fingerprint (`SHA256:…`) of `host_key`; with the fault `other_host_key` it is not presented."""
        return self.host_key.fingerprint

    @property
    def known_host(self) -> str:
        return key_line(self.host_key)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Take the port and serve; `OSError` if it is taken."""
        listener = socket.socket()
        # Two sockets that do not listen could share a port with this option, so only who listens may have it.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(not self.faults.refuse))
        try:
            listener.bind((self.address, self.port))
        except OSError:
            listener.close()
            raise
        self.port = listener.getsockname()[1]
        self._listener = listener
        if not self.faults.refuse:
            listener.listen(128)
            self._accepting = self.begin(self._accept, listener)

    def stop(self) -> None:
        """Close everything, end the commands that still run, and wait for all threads. Harmless twice."""
        listener, self._listener = self._listener, None
        if listener is not None:
            _shut(listener)
        if self._accepting is not None:
            self._accepting.join(LINGER)
        for sock in self._sockets:
            _shut(sock)
        for transport in self._transports:
            _end(transport)
        end_processes(self.mark)
        for thread in self._threads:
            thread.join(LINGER)
        self._threads, self._transports, self._sockets = [], [], []

    def begin(self, run: Callable[..., None], *given: object) -> threading.Thread:
        """Start and return a thread that `stop` waits for."""
        thread = threading.Thread(target=run, args=given, daemon=True, name=f"sandbox-ssh-{self.port}")
        with self._lock:
            self._threads = [each for each in self._threads if each.is_alive()] + [thread]
            thread.start()
        return thread

    def _accept(self, listener: socket.socket) -> None:
        while self._listener is listener:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            self.connections += 1
            self._serve(sock)

    def _serve(self, sock: socket.socket) -> None:
        if self.faults.silent:
            self._sockets.append(sock)
            return
        transport = paramiko.Transport(sock)
        transport.add_server_key(self.other_host_key if self.faults.other_host_key else self.host_key)
        ended = [each for each in self._transports if not each.is_alive()]
        for each in ended:
            _end(each)
        self._transports = [each for each in self._transports if each not in ended] + [transport]
        # With an event the handshake runs in the transport's thread: the blocking form would let one
        # peer that says nothing keep all others waiting.
        with contextlib.suppress(paramiko.SSHException):
            transport.start_server(event=threading.Event(), server=_Login(self, transport))


class _Login(paramiko.ServerInterface):
    """Says what one connection may do. Its methods run in the transport's thread and must not wait."""

    def __init__(self, server: SSHServer, transport: paramiko.Transport) -> None:
        self.server, self.transport = server, transport

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        server = self.server
        known = key.asbytes() in server.authorized() and (not server.logins or username in server.logins)
        return AUTH_SUCCESSFUL if known and not server.faults.refuse_login else AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return OPEN_SUCCEEDED if kind == "session" else OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        user = self.transport.get_username() or ""
        environment = {**self.server.environment(user), MARK: self.server.mark}
        self.server.begin(_Command(self, channel, environment).run, command)
        return True


class _Command:
    """One command: passes bytes between a channel and a process. Its input has a thread of its own, so that a
    command that writes before it reads blocks nothing."""

    def __init__(self, login: _Login, channel: paramiko.Channel, environment: Mapping[str, str]) -> None:
        self.login, self.channel, self.environment = login, channel, environment
        self.faults = login.server.faults

    def run(self, command: bytes) -> None:
        process = subprocess.Popen(  # noqa: S603  # running what an authorized client asks for is the purpose
            ["/bin/sh", "-c", command],
            env=self.environment,
            cwd=self.environment.get("HOME", "/"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self.login.server.begin(self._pass_input, process.stdin)
        # Closed as soon as nobody reads any more: the command's next write fails, as it would under OpenSSH.
        with _pipe(process.stdout) as stdout, _pipe(process.stderr) as stderr:
            send, send_error = self.channel.sendall, self.channel.sendall_stderr
            self._pass_output({stdout.fileno(): send, stderr.fileno(): send_error})
        self._report(process.wait())

    def _pass_output(self, senders: dict[int, Callable[[bytes], None]]) -> None:
        with selectors.DefaultSelector() as selector, contextlib.suppress(OSError):
            for output, send in senders.items():
                selector.register(output, selectors.EVENT_READ, send)
            while selector.get_map() and not self.channel.closed:
                for ready, _ in selector.select(timeout=0.1):
                    data = os.read(ready.fd, 32768)
                    ready.data(data)
                    if not data:
                        selector.unregister(ready.fd)

    def _pass_input(self, pipe: IO[bytes] | None) -> None:
        received = lines = 0
        with contextlib.suppress(OSError), _pipe(pipe) as stdin:
            while data := self.channel.recv(32768):
                cut = self.faults.takes_of(received, lines, data)
                stdin.write(data[:cut])
                stdin.flush()
                received += len(data)
                lines += data.count(b"\n")
                if cut is not None:
                    self.faults.count_drop()
                    self.login.transport.close()

    def _report(self, status: int) -> None:
        # A death by signal has no exit status in SSH: then the channel just closes, as it does under OpenSSH.
        with contextlib.suppress(OSError, EOFError):
            if status >= 0 and not self.channel.closed:
                self.channel.send_exit_status(status)
            self.channel.close()


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise ValueError("the process was started without pipes")
    return stream


def _shut(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()


def _end(transport: paramiko.Transport) -> None:
    transport.close()
    transport.join(LINGER)
    # Paramiko leaves the timer of a handshake that failed running for 15 seconds.
    transport.packetizer.complete_handshake()


def _processes() -> Iterator[tuple[int, bytes]]:
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            yield int(folder.name), (folder / "environ").read_bytes()


def end_processes(mark: str) -> None:
    """Kill every process that carries this mark in its environment, whatever session or group it went to."""
    needle = f"{MARK}={mark}\0".encode()
    for _ in range(5):  # a process may start another one while the list is read
        found = [number for number, environ in _processes() if needle in environ]
        for number in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        if not found:
            return
