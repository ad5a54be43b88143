"""Web servers that answer as a test wants: real ones, on loopback."""

import contextlib
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator

Answer = Callable[[socket.socket], object]


class Server:
    """A real TCP server on loopback: one connection after another, each answered by `answer`."""

    def __init__(self, answer: Answer, tls: ssl.SSLContext | None = None) -> None:
        self.answer, self.tls = answer, tls
        self.requests: list[bytes] = []
        self.cut = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.listener.getsockname()[1]}"
        self.thread = threading.Thread(target=self.serve)

    def serve(self) -> None:
        with contextlib.suppress(OSError):  # the listener was closed
            while True:
                connection, _ = self.listener.accept()
                with contextlib.suppress(OSError), self.wrapped(connection) as peer:
                    self.requests.append(read_request(peer))
                    self.answer(peer)
                self.cut.set()

    def wrapped(self, connection: socket.socket) -> socket.socket:
        connection.settimeout(10)
        return self.tls.wrap_socket(connection, server_side=True) if self.tls else connection


def read_request(peer: socket.socket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received:
        received += peer.recv(65536) or b"\r\n\r\n"
    head, _, body = received.partition(b"\r\n\r\n")
    length = next(
        (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")), 0
    )
    while len(body) < length:
        body += peer.recv(65536)
    return head + b"\r\n\r\n" + body


@contextlib.contextmanager
def serving(answer: Answer, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    server = Server(answer, tls)
    server.thread.start()
    try:
        yield server
    finally:
        server.listener.shutdown(socket.SHUT_RDWR)
        server.listener.close()
        server.thread.join(10)
        assert not server.thread.is_alive()


def http(status: int, body: bytes | object, *headers: str) -> Answer:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = "\r\n".join([f"HTTP/1.1 {status} X", f"Content-Length: {len(raw)}", "Connection: close", *headers])
    return lambda peer: peer.sendall(head.encode() + b"\r\n\r\n" + raw)


def drip(start: bytes) -> Answer:
    def answer(peer: socket.socket) -> None:
        peer.sendall(start)
        for _ in range(200):
            peer.sendall(b"a")
            time.sleep(0.05)  # the pace of the drip, not a wait for luck

    return answer
