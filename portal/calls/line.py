"""The sockets of one call, so that it can be ended from outside however long its server takes."""

import socket
import threading
from contextlib import suppress


class Line:
    """The sockets of one call, so that another thread can cut them in the middle of a blocking read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._is_cut = False

    def watch(self, sock: socket.socket) -> None:
        """Have a socket cut along with the others, at once if they were cut already."""
        with self._lock:
            # A duplicate, because TLS takes the original away; a shutdown reaches the connection through any.
            self._sockets.append(sock.dup())
            if self._is_cut:
                self._shut_down()

    def cut(self) -> None:
        """End whatever waits for one of the sockets, now and from now on."""
        with self._lock:
            self._is_cut = True
            self._shut_down()

    def refuse_cut(self) -> None:
        """Raise `ConnectionAbortedError` if the line was cut."""
        if self._is_cut:
            raise ConnectionAbortedError

    def close(self) -> None:
        """Let go of the sockets, which others close."""
        with self._lock:
            while self._sockets:
                self._sockets.pop().close()

    def _shut_down(self) -> None:
        for sock in self._sockets:
            with suppress(OSError):  # the other side was faster
                sock.shutdown(socket.SHUT_RDWR)
