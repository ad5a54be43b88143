"""The processes of the web server: one that holds the socket and starts the others, and those that serve."""

import logging
import os
import signal
import socket
import sys
import time
from types import FrameType
from typing import NoReturn

from portal.exit_status import REFUSED
from portal.webserver import limits

logger = logging.getLogger("portal.webserver")
RESTART_PAUSE = 1.0  # seconds
PATIENCE = limits.STOP_SECONDS + 5  # seconds that a process gets to end after SIGTERM
SIGNALS = (signal.SIGTERM, signal.SIGINT)


def listen(address: str, port: int) -> socket.socket:
    """Return a socket that listens; `OSError` if the address is taken or none of this machine's."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return socket.create_server((address, port), family=family, backlog=1024)


class Processes:
    """Keeps a number of serving processes running on one socket."""

    def __init__(self, listener: socket.socket, number: int) -> None:
        self._listener = listener
        self._number = number
        self._running: set[int] = set()
        self._is_stopping = False

    def run(self) -> int:
        """Serve until SIGTERM or SIGINT; return the exit status."""
        for each in SIGNALS:
            signal.signal(each, self._on_signal)
        for _ in range(self._number):
            self._start()
        while self._running:
            if self._is_stopping:
                self._wait_for_all()
                break
            pid, status = os.wait()
            if pid not in self._running:
                continue
            self._running.discard(pid)
            code = os.waitstatus_to_exitcode(status)
            if code == REFUSED and not self._is_stopping:  # after any other status another one is started
                self._on_signal(signal.SIGTERM, None)
                self._wait_for_all()
                return REFUSED
            if not self._is_stopping:
                self._replace(code)
        logger.info("web server stopped")
        return 0

    def _replace(self, code: int) -> None:
        """Start a process for one that ended with this status: 0 if it made way."""
        if code:
            logger.error("a web process ended, and another one is started", extra={"status": code})
            time.sleep(RESTART_PAUSE)
        if not self._is_stopping:
            self._start()

    def _start(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # a signal in between would be the wrong process's
        pid = os.fork()
        if pid == 0:
            for each in SIGNALS:
                signal.signal(each, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            _serve(self._listener)
        self._running.add(pid)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._is_stopping = True
        for pid in self._running:
            os.kill(pid, signal.SIGTERM)

    def _wait_for_all(self) -> None:
        """Let what still runs end, by force once its time is over."""
        deadline = time.monotonic() + PATIENCE
        while self._running:
            pid, _ = os.waitpid(-1, os.WNOHANG)
            self._running.discard(pid)
            if pid == 0 and time.monotonic() > deadline:
                for each in self._running:
                    os.kill(each, signal.SIGKILL)
            time.sleep(0.05)


def _serve(listener: socket.socket) -> NoReturn:
    """Be a serving process. Until it serves, a signal ends it at once, also while it waits for a database."""
    status = 1
    try:
        from portal.webserver.connections import Server  # the first process needs none of it
        from portal.wsgi import application  # its import checks keys and settings

        server = Server(application, listener)
        for each in SIGNALS:
            signal.signal(each, server.stop)
        logger.info("web process serves")
        server.run()
        status = 0
    except SystemExit as ending:
        status = ending.code if isinstance(ending.code, int) else 1
    except BaseException:
        logger.exception("a web process failed")
    finally:
        logging.shutdown()
        sys.stderr.flush()
        os._exit(status)  # a thread that still answers must not hold it up
