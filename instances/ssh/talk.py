"""A running command: lines from it, bytes to it, and an excerpt of what it said."""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import paramiko

from instances.ssh.errors import ConnectionLost, SSHError, TooMuchOutput
from instances.ssh.link import OUTPUT_LIMIT, Link
from instances.ssh.waits import Clock

LINE_LIMIT = 16 * 1024


class Talk:
    """A running command: lines from it (stdout and stderr as one stream), bytes to it."""

    def __init__(self, link: Link, channel: paramiko.Channel) -> None:
        self._link = link
        self._channel = channel
        self._buffer = b""
        self._received = 0

    def send(self, data: bytes) -> None:
        """Hand bytes to the connection, or raise `ConnectionLost` or `TimedOut`. Nothing is added to them."""
        self._link.run(lambda: self._channel.sendall(data), self._link.clock(self._link.deadlines.send))

    def lines(self, seconds: float) -> Iterator[bytes]:
        """Yield lines with their line ends until the command closes its output; one deadline for all.

        A line longer than `LINE_LIMIT` comes in pieces. Raises `TimedOut`, `ConnectionLost`, and
        `TooMuchOutput` once `OUTPUT_LIMIT` bytes came.
        """
        clock = self._link.clock(seconds)
        while line := self._next_line(clock):
            yield line

    def read_line(self, seconds: float) -> bytes:
        """Return the next line with its line end, or `b""` at the end of the output."""
        return next(self.lines(seconds), b"")

    def read_to_end(self, seconds: float) -> bytes:
        """Return the rest of the output, its middle left out if it is long (see `Excerpt`)."""
        excerpt = Excerpt()
        for line in self.lines(seconds):
            excerpt.add(line)
        return excerpt.text()

    def exit_status(self, seconds: float) -> int | None:
        """Return the exit status, or None if the server told none (killed by a signal, connection lost)."""
        clock = self._link.clock(seconds)
        while not self._channel.status_event.wait(min(0.2, clock.step())):
            pass
        status = self._channel.exit_status
        return None if status < 0 else status

    def close(self) -> None:
        """End this conversation; the connection stays usable unless it is broken."""
        with contextlib.suppress(SSHError):
            self._link.run(self._channel.close, self._link.clock(5))

    def _next_line(self, clock: Clock) -> bytes:
        while b"\n" not in self._buffer and len(self._buffer) < LINE_LIMIT:
            chunk = self._chunk(clock)
            self._buffer += chunk
            if not chunk:
                break
        end = self._buffer.find(b"\n", 0, LINE_LIMIT) + 1 or LINE_LIMIT
        line, self._buffer = self._buffer[:end], self._buffer[end:]
        return line

    def _chunk(self, clock: Clock) -> bytes:
        data = self._receive(clock)
        self._received += len(data)
        if self._received > OUTPUT_LIMIT:
            self._link.close()
            raise TooMuchOutput
        if not data and not self._channel.eof_received:
            raise ConnectionLost
        return data

    def _receive(self, clock: Clock) -> bytes:
        """Wait for the next bytes, empty at the end; the one wait that Paramiko itself bounds."""
        while True:
            try:
                self._channel.settimeout(clock.step())
            except BaseException:  # time is up, or what the tick raised
                self._link.close()
                raise
            try:
                return self._channel.recv(LINE_LIMIT)
            except TimeoutError:
                continue
            except (paramiko.SSHException, OSError, EOFError):
                raise ConnectionLost from None
            finally:
                self._channel.settimeout(None)


@dataclass
class Excerpt:
    """Keeps the beginning and the end of an output of any length, in bounded memory.

    The gap lies between two blanks or line ends. A secret has none in it, so it is either whole, and a later
    redaction finds it, or gone.
    """

    head_limit: int = 16 * 1024
    tail_limit: int = 48 * 1024
    _head: bytearray = field(default_factory=bytearray)
    _tail: bytearray = field(default_factory=bytearray)
    _dropped: bool = False

    def add(self, data: bytes) -> None:
        """Take in the next bytes of the output."""
        room = self.head_limit - len(self._head)
        self._head += data[:room]
        self._tail += data[room:]
        excess = len(self._tail) - self.tail_limit
        if excess > 0:
            self._dropped = True
            del self._tail[:excess]

    def text(self) -> bytes:
        """Return what was kept, with a line of its own in the place of what was not."""
        if not self._dropped:
            return bytes(self._head + self._tail)
        return _UNFINISHED_END.sub(b"", self._head) + b"\n[...]\n" + _UNFINISHED_START.sub(b"", self._tail)


_UNFINISHED_END = re.compile(rb"\S*\Z")
_UNFINISHED_START = re.compile(rb"\A\S*")
