"""A small real SMTP server on loopback, which stops, refuses or drips where a test wants."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from typing import BinaryIO, cast

TOO_LONG = 30.0  # seconds; longer than any test waits


@dataclass
class SMTPServer:
    """`replies` replace the usual reply to a command; `stops_at` names the command that is never answered.

    `drips_at` names the one whose reply comes letter by letter; `breaks_in_data` closes within a mail.
    """

    replies: dict[str, str] = field(default_factory=dict)
    stops_at: str = ""
    drips_at: str = ""
    breaks_in_data: bool = False
    mails: list[Message] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):  # the listener was closed
            while True:
                peer, _ = self.listener.accept()
                with contextlib.suppress(OSError), peer:
                    peer.settimeout(10)
                    self._talk(peer)

    def _talk(self, peer: socket.socket) -> None:
        lines = cast(BinaryIO, peer.makefile("rb"))
        if not self._say(peer, "CONNECT", "220 here"):
            return
        while line := lines.readline():
            command = line.split(b":")[0].strip().decode().upper()
            word = command.split()[0]
            self.commands.append(command)
            usual = {"EHLO": "250 here", "QUIT": "221 bye", "DATA": "354 go on"}.get(word, "250 ok")
            if not self._say(peer, word, usual):
                return
            if word == "DATA" and self._read_mail(lines) and not self._say(peer, "MAIL_END", "250 taken"):
                return
            if word == "QUIT":
                return

    def _read_mail(self, lines: BinaryIO) -> bool:
        content = b""
        for line in lines:
            if self.breaks_in_data:
                raise ConnectionAbortedError
            if line == b".\r\n":
                self.mails.append(message_from_bytes(content))
                return True
            content += line
        return False

    def _say(self, peer: socket.socket, word: str, usual: str) -> bool:
        if word == self.stops_at:
            self.over.wait(TOO_LONG)
            return False
        reply = self.replies.get(word, usual)
        for letter in reply if word == self.drips_at else [reply]:
            peer.sendall(letter.encode())
            if word == self.drips_at:
                time.sleep(0.05)  # the pace of the drip, not a wait for luck
        peer.sendall(b"\r\n")
        return True


@contextlib.contextmanager
def taking_mail(server: SMTPServer) -> Iterator[SMTPServer]:
    server.thread.start()
    try:
        yield server
    finally:
        server.over.set()
        server.listener.shutdown(socket.SHUT_RDWR)
        server.listener.close()
        server.thread.join(10)
