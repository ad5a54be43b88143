"""One bounded mail: the mail server decides neither how long it takes nor when it ends."""

import smtplib
import socket
import ssl
import threading
from dataclasses import dataclass, field
from email.message import EmailMessage
from enum import StrEnum

from portal.calls.line import Line

DEADLINE = 30.0
STARTTLS, TLS, PLAIN = SECURITY = ("starttls", "tls", "none")


@dataclass(frozen=True)
class MailServer:
    """A server that takes mail, and how. `security` is one of `SECURITY`; times are seconds.

    `timeout` bounds each wait, `deadline` all of it. Without `user` there is no login.
    """

    host: str
    port: int
    security: str = STARTTLS
    user: str = ""
    password: str = field(default="", repr=False)
    timeout: float = 10
    deadline: float = DEADLINE


class Failure(StrEnum):
    """Why a mail was not taken; those that web requests have too have the same names."""

    NAME_NOT_FOUND = "name_not_found"
    REFUSED = "refused"
    NO_CONNECTION = "no_connection"
    TLS = "tls"
    LOGIN = "login"
    NOT_ACCEPTED = "not_accepted"
    TIMED_OUT = "timed_out"
    NOT_IN_TIME = "not_in_time"
    BROKEN_OFF = "broken_off"


class NotTaken(Exception):
    """The server did not say yes to the whole mail; `status` is its number, if it gave one.

    What broke off in the middle may have arrived all the same.
    """

    def __init__(self, failure: Failure, status: int | None = None) -> None:
        super().__init__(failure)
        self.failure = failure
        self.status = status


def send(message: EmailMessage, server: MailServer) -> None:
    """Hand a mail over to a server; `NotTaken` unless it said yes. Nothing else is raised."""
    handover = _Handover(message, server)
    # A thread, as in `portal.calls.http`: no timeout of smtplib covers a name server, or one that drips.
    threading.Thread(target=handover.run, name="mail-call", daemon=True).start()
    handover.over.wait(server.deadline)
    outcome = handover.outcome
    handover.line.cut()
    if outcome is None:
        raise NotTaken(Failure.NOT_IN_TIME)
    if isinstance(outcome, NotTaken):
        raise outcome


_here = threading.local()
"""`line`: the Line of the mail that is handed over in this thread."""


class _Watched(smtplib.SMTP):
    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        sock: socket.socket = super()._get_socket(host, port, timeout)  # type: ignore[misc]  # not in the stubs
        _here.line.watch(sock)
        return sock


class _WatchedTLS(smtplib.SMTP_SSL, _Watched):
    """In this order the socket is watched before TLS takes it away."""


@dataclass
class _Handover:
    message: EmailMessage
    server: MailServer
    line: Line = field(default_factory=Line)
    over: threading.Event = field(default_factory=threading.Event)
    outcome: NotTaken | bool | None = None

    def run(self) -> None:
        _here.line = self.line
        try:
            with self._connected() as smtp:
                self._greet(smtp)
                smtp.send_message(self.message)
                self._end(True)  # before the server's good-bye, which nobody needs
        except (smtplib.SMTPException, OSError, ValueError) as error:
            self._end(_not_taken(error))
        finally:
            self.line.close()

    def _end(self, outcome: NotTaken | bool) -> None:
        if self.outcome is None:
            self.outcome = outcome
            self.over.set()

    def _connected(self) -> smtplib.SMTP:
        where, timeout = (self.server.host, self.server.port), self.server.timeout
        if self.server.security == TLS:
            return _WatchedTLS(*where, timeout=timeout, context=ssl.create_default_context())
        return _Watched(*where, timeout=timeout)

    def _greet(self, smtp: smtplib.SMTP) -> None:
        if self.server.security == STARTTLS:
            smtp.starttls(context=ssl.create_default_context())
        if self.server.user:
            smtp.login(self.server.user, self.server.password)


def _not_taken(error: Exception) -> NotTaken:
    status = getattr(error, "smtp_code", None)
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        status = next((code for code, _text in error.recipients.values()), None)
    is_number = isinstance(status, int) and 100 <= status <= 999  # -1: the server spoke something else
    return NotTaken(_failure(error), status if is_number else None)


def _failure(error: Exception) -> Failure:
    for kinds, failure in _KINDS:
        if isinstance(error, kinds):
            return failure
    return Failure.BROKEN_OFF


_KINDS: tuple[tuple[tuple[type[Exception], ...], Failure], ...] = (
    ((smtplib.SMTPAuthenticationError,), Failure.LOGIN),
    ((smtplib.SMTPServerDisconnected,), Failure.BROKEN_OFF),
    ((smtplib.SMTPNotSupportedError,), Failure.TLS),
    ((smtplib.SMTPException, ValueError), Failure.NOT_ACCEPTED),
    ((ssl.SSLError,), Failure.TLS),
    ((socket.gaierror,), Failure.NAME_NOT_FOUND),
    ((TimeoutError,), Failure.TIMED_OUT),
    ((ConnectionRefusedError,), Failure.REFUSED),
)
