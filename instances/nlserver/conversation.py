"""The conversation with the script on a container, with its one commit point."""

import contextlib
import re
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import NoReturn, Self
from uuid import uuid4

from instances import ssh
from instances.failures import Code
from instances.nlserver.job import Account, Job, Mode, command, spec_line
from instances.nlserver.reading import Reading, ReadingFields, parse_reading
from instances.nlserver.report import (
    BUILD,
    PAD_BYTES,
    Fields,
    Look,
    Ready,
    Report,
    Transcript,
    last_push,
    parse_journal,
    parse_report,
    stopped_by,
)
from portal.plaintext import Secret

MIN_BUILD = 9383
"""Campaign 7.4.1, the first build that knows `-setimsoauth` (Adobe's release notes)."""
LINE = re.compile(r"[^/\x00-\x20\x7f]+(?:/[^/\x00-\x20\x7f]+){3}")
"""What is sent as one line: a line break inside would be a commit point before its time."""
LINE_BYTES = PAD_BYTES - 33
"""A blank and the nonce come after it."""
READY_SECONDS = 60
"""pdump 15 + 5, twice where env.sh ends the shell, and a slow host; nothing else is waited for."""
HEARING_SECONDS = 10
"""From the script's listening to its answer; the lines that it listens for were sent before."""
HARMLESS_LINES = 64
"""8 KiB in all: of half as much, a reader that slept on a pipe got nothing in two of five trials."""
READ_SECONDS = 180
"""READY_SECONDS, 20 for locks in all, and two hundred files."""
LOOK_SECONDS = 150
"""READY_SECONDS, 70 for the lock and reading the file."""


PASSWORD_EXPIRED = b"Password change required but no TTY available."
"""What sshd says instead of running a command; its texts are never translated."""


class Refused(Exception):
    """The container is not in a state to receive the account; nothing was changed.

    `ready` holds what had been learnt so far, `output` the unredacted lines of the remote side.
    """

    def __init__(self, code: str, ready: Ready, output: bytes) -> None:
        super().__init__(code)
        self.code = code
        self.ready = ready
        self.output = output


class ReportLost(Exception):
    """The account was sent, and the connection or the script ended without a report: outcome unknown."""

    def __init__(self, output: bytes, code: str = Code.NO_REPORT) -> None:
        super().__init__(code)
        self.code = code
        self.output = output


class Conversation:
    """One conversation with the script, over a logged-in connection. Use as a context manager."""

    def __init__(self, connection: ssh.Connection, job: Job, mode: Mode = "apply") -> None:
        nonce = uuid4().hex
        self.job = job
        self._nonce = nonce
        self._mode = mode
        self._harmless = ""
        self._transcript = Transcript(nonce, ReadingFields() if mode == "read" else None)
        self._connection = connection
        self._command = command(job, mode, nonce)
        self._talk: ssh.Talk | None = None

    def __enter__(self) -> Self:
        self._talk = self._connection.talk(self._command)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.talk.close()

    @property
    def talk(self) -> ssh.Talk:
        if self._talk is None:
            raise RuntimeError("the conversation was not entered")
        return self._talk

    @property
    def output(self) -> bytes:
        """What the remote side said so far besides marked lines; unredacted."""
        return self._transcript.output.text()

    def ready(self, seconds: float = READY_SECONDS) -> Ready:
        """Wait until the script is ready; `Refused` if it never will be, `ssh.SSHError` if it was lost."""
        self._read(self._lines(seconds), until=lambda: self._transcript.fields.has("listening"))
        try:
            self._read(self.talk.lines(HEARING_SECONDS), until=lambda: self._transcript.ready)
        except ssh.TimedOut:
            raise Refused(Code.INPUT_NOT_PRIVATE, self.seen(), self.output) from None
        return self.require_ready()

    def _send_harmless_line(self) -> None:
        """Send what must come back as `heard`, once the script runs as the right user.

        Something else that reads the script's input takes some of it, and the account is never sent. It is
        one line, about as long as the account, many times, which travel while the script looks around, so
        that nobody waits for them.
        """
        if self._harmless or self._mode != "apply" or self._transcript.fields.last("user") != self.job.user:
            return
        self._harmless = uuid4().hex * 4
        # A script that has stopped already said why, and that is still to be read.
        with contextlib.suppress(ssh.SSHError):
            self.talk.send(f"{self._harmless}\n".encode() * HARMLESS_LINES)

    def _read(self, lines: Iterator[bytes], until: Callable[[], bool] = lambda: False) -> None:
        """Read until something was said, at most to the script's last word or the end of the output."""
        while not (self._transcript.has_ended or until()) and (line := next(lines, b"")):
            self._transcript.feed(line)
            self._send_harmless_line()

    def _lines(self, seconds: float) -> Iterator[bytes]:
        """The lines; silence after the login shell spoke is sudo's or su's password prompt."""
        try:
            yield from self.talk.lines(seconds)
        except ssh.TimedOut:
            if self._waits_for_password():
                raise Refused(Code.BECOME_REFUSED, self.seen(), self.output) from None
            raise

    def _waits_for_password(self) -> bool:
        fields = self._transcript.fields
        return self.job.become != "none" and fields.has("shell") and not fields.has("user")

    def seen(self) -> Ready:
        """What is known of the container so far."""
        fields = self._transcript.fields
        build = BUILD.match(fields.last("build"))
        nlserver = fields.last("nlserver")
        return Ready(
            user=fields.last("user"),
            nlserver="" if nlserver == "missing" else nlserver,
            build=int(build[1]) if build else 0,
            build_sha=build[2] if build else "",
            before=fields.file_state("before"),
            elsewhere=fields.last("elsewhere"),
        )

    def require_ready(self) -> Ready:
        ready = self.seen()
        code = refusal(self._transcript, self.job, ready)
        if code:
            raise Refused(code, ready, self.output)
        if not self._transcript.ready:
            raise ssh.ConnectionLost
        if self._transcript.fields.last("heard") != self._harmless:
            raise Refused(Code.INPUT_NOT_PRIVATE, ready, self.output)
        if not self._transcript.fields.has("pad"):
            raise Refused(Code.ANSWER_MALFORMED, ready, self.output)
        return ready

    def commit(self, account: Account, plaintext: Secret, *, before_newline: Callable[[], None]) -> Report:
        """Send the account, and return the report.

        `before_newline` is called when everything but the commit point has been sent; if it raises, nothing
        is executed. An `ssh.SSHError` means that nothing was changed, `ReportLost` that nobody knows. What
        the tick raises after `before_newline` has returned leaves the outcome unknown, too.
        """
        line = spec_line(account, plaintext.reveal())
        if not LINE.fullmatch(line) or len(line.encode()) > LINE_BYTES:
            raise ValueError("not four values on one line")
        self.talk.send(enciphered(f"{line} {self._nonce}".encode(), self._pad()))
        # If this raises, leaving the conversation closes it, and the script's `read` finds no newline.
        before_newline()
        try:
            return self._committed()
        except ssh.SSHError:
            raise ReportLost(self.output) from None

    def _pad(self) -> bytes:
        return bytes.fromhex(self._transcript.fields.last("pad"))

    def _committed(self) -> Report:
        self.talk.send(b"\n")
        report = self.read_report()
        if report is None:
            raise ReportLost(self.output)
        return report

    def read_report(self) -> Report | None:
        """Read to the end; None if the script ended without having said how."""
        self._read(self.talk.lines(self.job.report_seconds))
        # Paramiko may wait for a status that never comes, so only a report without an end asks for it.
        if self._transcript.fields.malformed:
            raise ReportLost(self.output, Code.ANSWER_MALFORMED)
        status = None if self._transcript.has_ended else self.talk.exit_status(5)
        return parse_report(self._transcript, self.job, status)

    def read_look(self, seconds: float) -> Look:
        """Read to the end of a look."""
        self._read(self._lines(seconds))
        fields = self._transcript.fields
        stopped = stopped_by(fields, None)
        if fields.malformed or (not stopped and not fields.has("done")):
            self._raise_unready()
        journal = parse_journal(fields.last("journal"))
        return Look(
            job=self.job,
            ready=self.seen(),
            after=fields.file_state("after"),
            journal=journal,
            journal_unread=journal is None and fields.has("journal"),
            stopped=stopped,
            last=last_push(fields),
            output=self.output,
        )

    def read_reading(self, seconds: float) -> Reading:
        """Read to the end of a reading."""
        self._read(self._lines(seconds))
        fields = self._transcript.fields
        if fields.malformed or not fields.has("done") or not isinstance(fields, ReadingFields):
            self._raise_unready()
        return parse_reading(fields, self.seen(), self.output)

    def _raise_unready(self) -> NoReturn:
        ready = self.seen()
        code = _missing(self._transcript, self.job, ready)
        if code:
            raise Refused(code, ready, self.output)
        raise ssh.ConnectionLost


def enciphered(data: bytes, pad: bytes) -> bytes:
    """Return data as the script deciphers it: a one-time pad, in hexadecimal digits.

    A process on the container that shares the script's input cannot read the pad, which only went out.
    """
    return bytes(one ^ other for one, other in zip(data, pad[: len(data)], strict=True)).hex().encode()


def look(connection: ssh.Connection, job: Job, seconds: float = LOOK_SECONDS) -> Look:
    """Look at the container's file and journal, and shut out every older conversation.

    Raises `Refused` where the script cannot look, `ssh.SSHError` where it cannot be reached.
    """
    with Conversation(connection, job, "look") as conversation:
        return conversation.read_look(seconds)


def read(connection: ssh.Connection, job: Job, seconds: float = READ_SECONDS) -> Reading:
    """Read the build and the files of all instances; nothing there is created, changed or stored.

    Raises `Refused` where the script cannot read, `ssh.SSHError` where it cannot be reached.
    """
    with Conversation(connection, job, "read") as conversation:
        return conversation.read_reading(seconds)


def refusal(transcript: Transcript, job: Job, ready: Ready) -> str:
    """Return the failure code of a conversation that must not go on, or an empty string."""
    code = _missing(transcript, job, ready) or (Code.OTHER_PORTAL if ready.elsewhere else "")
    if code or not transcript.ready:
        return code
    if not ready.build:
        return Code.BUILD_UNKNOWN
    if ready.build < MIN_BUILD:
        return Code.BUILD_TOO_OLD
    return "" if ready.before.read or ready.before.torn else Code.FILE_UNREADABLE


def _missing(transcript: Transcript, job: Job, ready: Ready) -> str:
    """The first thing that the script did not find, in the order in which it looks."""
    fields = transcript.fields
    signs = (
        (fields.malformed, Code.ANSWER_MALFORMED),
        (not fields.has("user") and fields.has("tools"), Code.TOOLS_MISSING),
        (not fields.has("user"), _silence(fields, job, transcript.output.text())),
        (ready.user != job.user, Code.WRONG_USER),
        (fields.last("nlserver") == "missing", Code.NLSERVER_NOT_FOUND),
        (fields.last("config") == "missing", Code.INSTANCE_NOT_FOUND),
        ("readonly" in fields.last("config"), Code.NOT_WRITABLE),
        (fields.last("state") == "unwritable", Code.NOT_WRITABLE),
        (fields.last("stdin") == "terminal", Code.INPUT_NOT_PRIVATE),
    )
    return next((code for sign, code in signs if sign), "")


def _silence(fields: Fields, job: Job, output: bytes) -> str:
    """The script said nothing: the login shell did not run it, or sudo or su did not."""
    if PASSWORD_EXPIRED in output:
        return Code.PASSWORD_EXPIRED
    refused = job.become != "none" and fields.has("shell")
    return Code.BECOME_REFUSED if refused else Code.SCRIPT_NOT_RUN
