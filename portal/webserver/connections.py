"""Connections and the loop over them: every state that waits for a client ends in time and in number."""

import logging
import os
import time
from collections.abc import Callable, Iterable
from http import HTTPStatus
from io import BytesIO
from socket import socket
from typing import Any

from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.server import TcpWSGIServer
from waitress.task import ThreadedTaskDispatcher, WSGITask

from portal.web.request_shape import REFUSED, Misfit
from portal.webserver import limits
from portal.webserver.requests import Dropped, Request

logger = logging.getLogger("portal.webserver")
Application = Callable[[dict[str, Any], Any], Iterable[bytes]]  # Any: WSGI's own mixture
TOLD_SECONDS = 60.0  # closed connections are told about in one line a minute


class Answer(WSGITask):
    """Has the application answer a request."""

    def execute(self) -> None:
        try:
            super().execute()
        except OSError as error:  # the application's: Waitress takes it for the client's, and says nothing
            raise RuntimeError("the application failed") from error


class Refusal(WSGITask):
    """Answers a request that was refused while it came: the application makes the page, as for all others."""

    def get_environment(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environment()
        error = self.request.error
        status = 400 if error.code == HTTPStatus.NOT_IMPLEMENTED else error.code
        environ[REFUSED] = Misfit(error.reason.lower(), status)
        environ["wsgi.input"] = BytesIO()
        environ.pop("HTTP_X_FORWARDED_PROTO", None)
        environ["wsgi.url_scheme"] = "https"  # no redirect, which would need the host's name
        return environ

    def execute(self) -> None:
        self.set_close_on_finish()
        try:
            super().execute()
        except Exception:
            logger.exception("refusing a request failed")
            if not self.wrote_header:
                self.complete, self.status = True, f"{HTTPStatus.INTERNAL_SERVER_ERROR} Internal Server Error"
                self.response_headers.clear()
                self.content_length = 0
                self.write(b"")


class Connection(HTTPChannel):
    """One client's connection. It is always in one phase, and no phase that waits for the client lasts."""

    task_class = Answer
    error_task_class = Refusal
    request: Any  # Waitress's own, without types
    _served = 0
    _seen: tuple[object, str, int] = (None, "idle", 0)
    _is_receiving = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.began = time.monotonic()
        """When its phase began, as far as the maintenance has seen."""
        super().__init__(*args, **kwargs)

    def parser_class(self, adj: Adjustments) -> Request:
        """Return what receives the next request; one that came too early is dropped."""
        return Dropped(adj, self.requests[0]) if self.requests and self._is_receiving else Request(adj)

    def received(self, data: bytes) -> bool:
        self._is_receiving = True
        try:
            return bool(super().received(data))
        finally:
            self._is_receiving = False

    def service(self) -> None:
        self._served += 1  # two idle times with an answer in between are two
        super().service()

    @property
    def phase(self) -> str:
        if self.total_outbufs_len:
            return "answer"
        if self.requests:
            return "work"
        if self.request is None:
            return "idle"
        if not self.request.headers_finished:
            return "head"
        return "large body" if self.request.is_large else "body"

    def notice(self, now: float) -> str:
        """Notice a phase that has begun; return the present one."""
        seen = (self.request, self.phase, self._served)
        if seen != self._seen:
            self._seen, self.began = seen, now
        return seen[1]

    def look(self, now: float) -> None:
        """Close the connection if the time of its phase is over."""
        phase = self.notice(now)
        stalled = phase == "answer" and time.time() - self.last_activity > limits.STALL_SECONDS
        if stalled or now - self.began > SECONDS[phase]:
            self.server.closed["slow"] += 1
            self.handle_close()  # not will_close, which waits until the client takes more

    def handle_close(self) -> None:
        if self.request is not None:
            self.request.give_place_back()
        super().handle_close()


SECONDS = {
    "idle": limits.IDLE_SECONDS,
    "head": limits.HEAD_SECONDS,
    "body": limits.BODY_SECONDS,
    "large body": limits.LARGE_BODY_SECONDS,
    "work": float("inf"),  # ours to do, not the client's
    "answer": limits.ANSWER_SECONDS,
}


class Server(TcpWSGIServer):
    """Serves one application on a socket that listens already, until `stop`.

    It closes connections of its own accord only between two rounds of Waitress's `poll2`, which goes by
    descriptors. A round lists the connections and asks each whether it wants to read (that is where Waitress
    calls `maintenance`), polls those descriptors, accepts one client, and gives each event to the client that
    has its descriptor by then. If a connection is closed on the way, the client accepted next gets its
    descriptor, and with that the old one's event: "closed", say, and it is closed itself, without an answer.
    """

    channel_class = Connection
    accepting: bool

    def __init__(self, application: Application, listener: socket) -> None:
        adjustments = Adjustments(
            sockets=[listener],
            threads=limits.THREADS,
            ident="",
            clear_untrusted_proxy_headers=False,  # portal.web.middleware.client_ip knows whose to believe
            connection_limit=limits.CONNECTIONS + 100,
            log_socket_errors=False,
            max_request_header_size=limits.HEAD_BYTES,
            max_request_body_size=limits.STRANGER_BYTES + 1,
            inbuf_overflow=2 * limits.IMPORT_BYTES,  # never a temporary file
            outbuf_overflow=64 * limits.ANSWER_BYTES,
            outbuf_high_watermark=limits.ANSWER_BYTES,
        )
        dispatcher = ThreadedTaskDispatcher()
        dispatcher.set_thread_count(limits.THREADS)
        info = (listener.family, listener.type, listener.proto, listener.getsockname())
        super().__init__(
            application,
            {},
            True,
            listener,
            dispatcher=dispatcher,
            adj=adjustments,
            sockinfo=info,
            bind_socket=False,
        )
        self.closed = {"slow": 0, "for others": 0}
        self._told = 0.0
        self.next_look = 0.0
        self._stop_by: float | None = None
        self._parent = os.getppid()

    def run(self) -> None:
        """Serve; come back once `stop` was called and what was being answered is answered."""
        while not self._is_over():
            wasyncore.poll2(1.0, self._map)
            self._tidy_up()
        self.task_dispatcher.shutdown(timeout=1)
        wasyncore.close_all(self._map, ignore_all=True)

    def stop(self, *_: object) -> None:
        """Take no more connections, and let `run` come back soon. A signal handler may call it."""
        if self._stop_by is None:
            self._stop_by = time.monotonic() + limits.STOP_SECONDS
            self.pull_trigger()

    def _is_over(self) -> bool:
        if self._stop_by is None:
            return False
        if self.accepting:
            self.accepting = False
            wasyncore.dispatcher.close(self)  # the listener; the trigger stays
            self.pull_trigger()
            return False  # one more round at once, for requests that have come and are not read yet
        now = time.monotonic()
        busy = [each for each in self.active_channels.values() if each.phase in ("work", "answer")]
        for each in list(self.active_channels.values()):
            if each in busy:
                each.look(now)
            else:
                each.handle_close()
        return not busy or now > self._stop_by

    def maintenance(self, now: float) -> None:
        """Do nothing: this is in the middle of a round. `run` looks after the connections."""

    def _tidy_up(self) -> None:
        """Close what has to go, and once a second look after all connections and this process."""
        if len(self.active_channels) > limits.CONNECTIONS:
            self._make_room()
        now = time.monotonic()
        if now >= self.next_look:
            self.next_look = now + 1
            self.maintain(now)

    def _make_room(self) -> None:
        """Close a tenth of the connections: of those that wait for a client, the longest in their phase."""
        now = time.monotonic()
        for each in self.active_channels.values():
            each.notice(now)
        waiting = [each for each in self.active_channels.values() if not each.requests]
        waiting.sort(key=lambda each: each.began)
        number = max(1, limits.CONNECTIONS // 10)
        for each in waiting[:-1][:number]:  # never the one that has just come
            each.handle_close()
            self.closed["for others"] += 1

    def maintain(self, now: float) -> None:
        """Look after all connections, and after this process itself; `now` is in monotonic seconds."""
        for each in list(self.active_channels.values()):
            each.look(now)
        if any(self.closed.values()) and now - self._told > TOLD_SECONDS:
            fields = {name.replace(" ", "_"): number for name, number in self.closed.items()}
            logger.info("connections closed that waited for their client", extra=fields)
            self.closed, self._told = dict.fromkeys(self.closed, 0), now
        if os.getppid() != self._parent:
            self.stop()  # the process that started this one is gone
        elif resident_megabytes() > limits.RECYCLED_MEGABYTES:
            logger.warning(
                "this process has grown, and makes way for another",
                extra={"limit_mb": limits.RECYCLED_MEGABYTES},
            )
            self.stop()


def resident_megabytes() -> float:
    """Return the memory that this process holds."""
    with open("/proc/self/statm") as file:  # noqa: PTH123  # once a second
        pages = int(file.read().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
