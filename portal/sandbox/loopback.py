"""What the stand-ins for Adobe's services share: an HTTP server on 127.0.0.1 that logs nothing."""

import contextlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Generic, Self, TypeVar

StandIn = TypeVar("StandIn", bound="LoopbackService")


class LoopbackService:
    """A service at `url`; also a context manager that starts and stops it."""

    def __init__(self, name: str, handler: type[BaseHTTPRequestHandler], port: int) -> None:
        self.stopping = threading.Event()
        self._http: LoopbackServer[LoopbackService] = LoopbackServer(("127.0.0.1", port), handler)
        self._http.service = self
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), name=name)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Answer no more requests, end the slow ones, and wait for all threads."""
        self.stopping.set()
        if self._thread.is_alive():
            self._http.shutdown()
            self._thread.join()
        self._http.server_close()


class LoopbackServer(ThreadingHTTPServer, Generic[StandIn]):
    """The server of one stand-in, which its requests find as `service`."""

    # Waited for in `stop`: a thread that outlives its test would confuse the next one.
    daemon_threads = False
    service: StandIn


class LoopbackRequest(BaseHTTPRequestHandler):
    """One request. Nothing is logged: a request line may hold what does not belong in a log."""

    sys_version = ""
    timeout = 5

    def send_json(self, status: int, body: bytes, **headers: str) -> None:
        """Answer with a body and further headers."""
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        with contextlib.suppress(OSError):  # the client may have given up
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name of the base class
        """Log nothing."""
