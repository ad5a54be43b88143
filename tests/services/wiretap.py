"""A listener between a browser and a server: everything the server sends is kept, whole."""

import contextlib
import socket
import socketserver
import threading
import time
from types import TracebackType
from typing import Any, Self


class Wiretap:
    """While entered, passes connections to `port` on to a server on this machine and keeps its answers."""

    def __init__(self, server_port: int) -> None:
        self.arrivals: list[float] = []
        """When each connection came, on the monotonic clock."""
        self._sent: list[bytes] = []
        self._server = _Passing(server_port, self._sent, self.arrivals)
        self._thread = threading.Thread(target=self._server.serve_forever, name="wiretap", daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def sent(self) -> bytes:
        """All bytes that the server sent so far, of all connections in the order of their arrival."""
        return b"".join(self._sent)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Passing(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, target: int, sent: list[bytes], arrivals: list[float]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = target
        self.sent = sent
        self.arrivals = arrivals

    def get_request(self) -> tuple[socket.socket, Any]:
        request = super().get_request()
        self.arrivals.append(time.monotonic())
        return request


class _Handler(socketserver.BaseRequestHandler):
    server: _Passing

    def handle(self) -> None:
        with socket.create_connection(("127.0.0.1", self.server.target)) as upstream:
            asking = threading.Thread(target=_pump, args=(self.request, upstream, None), daemon=True)
            asking.start()
            _pump(upstream, self.request, self.server.sent)


def _pump(source: socket.socket, sink: socket.socket, kept: list[bytes] | None) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            if kept is not None:
                kept.append(data)
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
