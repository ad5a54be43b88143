"""HTTP as bytes on a socket: what no client library would send."""

import contextlib
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass

SECONDS = 60.0


@dataclass(frozen=True)
class Answer:
    """An answer; `status` 0 means that the connection ended without one."""

    status: int
    head: str
    body: bytes

    def header(self, name: str) -> str:
        """Return a header's value, or an empty string."""
        found = re.search(rf"^{re.escape(name)}: *(.*?)\r?$", self.head, re.MULTILINE | re.IGNORECASE)
        return found[1] if found else ""


def connect(port: int, *, seconds: float = SECONDS) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=seconds)


def request(
    line: str = "GET /login/",
    headers: dict[str, str] | None = None,
    body: bytes = b"",
    *,
    host: str = "localhost",
) -> bytes:
    """Return a request as bytes. Without a Content-Length among the headers it gets the right one."""
    fields = {"Host": host, "Connection": "close", **(headers or {})}
    if body and not {"Content-Length", "Transfer-Encoding"} & fields.keys():
        fields["Content-Length"] = str(len(body))
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{line} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body


def read(connection: socket.socket) -> Answer:
    """Read until the server closes the connection."""
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(1 << 16):
            data += piece
    return parsed(data)


def parsed(data: bytes) -> Answer:
    head, _, body = data.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n").partition(b"\r\n\r\n")
    found = re.match(rb"HTTP/1\.[01] (\d{3})", head)
    return Answer(int(found[1]) if found else 0, head.decode("latin-1"), body)


def ask(port: int, data: bytes, *, seconds: float = SECONDS) -> Answer:
    """Send bytes and return the answer. A server that ends the connection early is no error."""
    with connect(port, seconds=seconds) as connection:
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            connection.sendall(data)
        return read(connection)


@contextlib.contextmanager
def held_open(port: int, beginnings: list[bytes]) -> Iterator[list[socket.socket]]:
    """Send each beginning on a connection of its own, and keep them all open."""
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(connect(port)) for _ in beginnings]
        for connection, beginning in zip(connections, beginnings, strict=True):
            connection.sendall(beginning)
        yield connections
