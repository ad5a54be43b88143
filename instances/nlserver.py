"""The only room that knows nlserver: builds what is sent to a container, and reads what comes back.

A conversation has one commit point, the newline after the account. Before it nothing can have changed; after
it the outcome is known only from a report, or later from a look at the file.
"""

import html
import re
import shlex
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Literal, Self
from uuid import uuid4

from instances import ssh
from instances.failures import Code
from portal.plaintext import Secret

SCRIPT = Path(__file__).with_suffix(".sh")
MIN_BUILD = 9383
"""Campaign 7.4.1, the first build that knows `-setimsoauth` (domain.md §5)."""

INSTANCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
ROOT = re.compile(r"(/[A-Za-z0-9._-]+)+")
USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,31}")
LINE = re.compile(r"[^/\x00-\x20\x7f]+(?:/[^/\x00-\x20\x7f]+){3}")
"""What is sent as one line: a line break inside would be a commit point before its time."""
BUILD = re.compile(rb"build (\d{1,9})@?([0-9a-f]*)")
ERROR_LINE = re.compile(rb"[^>\n]{0,39}>>>")
STOPPED = frozenset({124, 137, 143})
"""Exit codes of GNU timeout, and of a shell whose command died of SIGKILL or SIGTERM."""

READY_SECONDS = 60
"""env.sh 10, pdump 15 + 5 and a slow host; the script itself has no other waits before `ready`."""
FOLLOW_UP_SECONDS = 37
"""One reload or restart: 30, 5 until it is killed, 2 of grace."""
LOOK_SECONDS = 150
"""READY_SECONDS, 70 for the lock and reading the file."""
VALUES_LIMIT = 100

Become = Literal["none", "sudo", "su"]
Mode = Literal["apply", "look"]


@dataclass(frozen=True)
class Job:
    """One installation's delivery or look. `ValueError` for what must never reach a command line.

    `fence` and `attempt` order the conversations of an installation: an apply is refused unless its pair is
    higher than every pair seen there; a look may repeat its own. `limit` (seconds) bounds `nlserver config`.
    """

    instance: str
    install_root: str
    become: Become
    fence: int
    attempt: int
    reload: bool = True
    restart_pipelined: bool = False
    limit: int = 60
    user: str = "neolane"

    def __post_init__(self) -> None:
        if not INSTANCE.fullmatch(self.instance) or self.instance == "default":
            raise ValueError("not the name of an instance")
        if not ROOT.fullmatch(self.install_root) or ".." in self.install_root:
            raise ValueError("not an install root")
        if not USER.fullmatch(self.user) or self.become not in {"none", "sudo", "su"}:
            raise ValueError("not a way to become the user")
        if not all(0 <= number < 10**15 for number in (self.fence, self.attempt, self.limit)):
            raise ValueError("a number is out of range")

    @property
    def flags(self) -> str:
        """The follow-ups, as the script wants them."""
        names = (("reload", self.reload), ("pipelined", self.restart_pipelined))
        return ",".join(name for name, wanted in names if wanted) or "none"

    @property
    def report_seconds(self) -> int:
        """How long after the newline the report may take: lock, nlserver and its end, follow-ups, margin."""
        return 5 + self.limit + 7 + FOLLOW_UP_SECONDS * (self.reload + self.restart_pipelined) + 15


@dataclass(frozen=True)
class Account:
    """The three values of an account that are no secret."""

    organization_id: str
    client_id: str
    technical_account_id: str


def command(job: Job, mode: Mode, nonce: str) -> str:
    """Return the command line for the login shell. It carries no value of the account.

    It first says that the login shell runs commands at all: what fails after that is sudo or su.
    """
    words = [nonce, mode, job.instance, job.install_root, str(job.fence), str(job.attempt), job.flags]
    inner = shlex.join(["sh", "-c", script(), "portal", *words, str(job.limit), job.user])
    return f"echo; echo PORTAL {nonce} shell=yes; {_become(job, inner)}"


def _become(job: Job, inner: str) -> str:
    if job.become == "sudo":
        return f"sudo -n -u {job.user} -- {inner}"
    if job.become == "su":
        return f"su - {job.user} -c {shlex.quote(inner)}"
    return inner


@cache
def script() -> str:
    """The text of the fixed script."""
    return SCRIPT.read_text(encoding="ascii")


def review_command(instance: str, account: Account) -> str:
    """Return the command that a person would have typed, for showing; the secret is not in it."""
    return f"nlserver config -instance:{instance} -setimsoauth:{_line(account, '********')}"


def _line(account: Account, secret: str) -> str:
    # Not the order in which the console shows them.
    return f"{account.organization_id}/{account.client_id}/{account.technical_account_id}/{secret}"


@dataclass(frozen=True)
class FileState:
    """What an instance's configuration file showed: every occurrence of the account's attributes.

    `secrets` are SHA-256 digests of encrypted values, or `empty`. `stamp` is opaque (inode, size, times) and
    only good for comparing. `read` says that the file was read to its end.
    """

    stamp: str = ""
    organization_ids: tuple[str, ...] = ()
    client_ids: tuple[str, ...] = ()
    technical_account_ids: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    jwt: bool = False
    read: bool = False

    @property
    def digest(self) -> str:
        """One text for all encrypted secrets in the file; empty if there is none."""
        return ",".join(sorted(set(self.secrets)))

    def shows(self, account: Account) -> bool:
        """Whether the ids are those of the account and a secret is there.

        Where nlserver writes the organization is not documented, so it counts only where the file has one.
        """
        return (
            set(self.client_ids) == {account.client_id}
            and set(self.technical_account_ids) == {account.technical_account_id}
            and set(self.organization_ids) - {""} <= {account.organization_id}
            and bool(self.secrets)
            and "empty" not in self.secrets
        )


@dataclass
class Fields:
    """The marked lines of a conversation: key -> values in the order they came, in bounded number."""

    values: dict[str, list[str]] = field(default_factory=dict)

    def add(self, text: str) -> None:
        key, equals, value = text.partition("=")
        known = self.values.setdefault(key, []) if equals and len(self.values) < VALUES_LIMIT else []
        if len(known) < VALUES_LIMIT:
            known.append(value)

    def last(self, key: str) -> str:
        return self.values.get(key, [""])[-1]

    def has(self, key: str) -> bool:
        return key in self.values

    def number(self, key: str) -> int | None:
        return _number(self.last(key))

    def file_state(self, stage: str) -> FileState:
        """The state reported under `before`, `held` or `after`."""

        def values(name: str) -> tuple[str, ...]:
            return tuple(html.unescape(value) for value in self.values.get(f"{stage}.{name}", ()))

        return FileState(
            stamp=self.last(f"{stage}.file"),
            organization_ids=values("organization_id"),
            client_ids=values("client_id"),
            technical_account_ids=values("technical_account_id"),
            secrets=values("secret"),
            jwt="yes" in values("jwt"),
            read=self.last(f"{stage}.read") == "yes",
        )


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[0-9]{1,15}", text) else None


class Transcript:
    """Takes a conversation apart: marked lines into fields, everything else into what people may read."""

    def __init__(self, nonce: str) -> None:
        self._mark = f"PORTAL {nonce} ".encode()
        self._at_start = True
        self._blank = True
        self.fields = Fields()
        self.output = ssh.Excerpt()
        self.failed_steps: set[str] = set()
        self.ready = False
        self.build: re.Match[bytes] | None = None

    def feed(self, line: bytes) -> None:
        """Take one line (with its line end) or one piece of a longer line."""
        starts, self._at_start = self._at_start, line.endswith(b"\n")
        if starts and line.startswith(self._mark):
            # PostgreSQL takes no text with a NUL in it.
            text = line[len(self._mark) :].replace(b"\0", b"")
            self._feed_field(text.decode("utf-8", "replace").rstrip("\r\n"))
        else:
            self._feed_output(line, starts=starts)

    def _feed_field(self, text: str) -> None:
        if text == "ready":
            self.ready = True
        self.fields.add(text)

    def _feed_output(self, line: bytes, *, starts: bool) -> None:
        if starts and ERROR_LINE.match(line):
            self.failed_steps.add(self.fields.last("run"))
        # Not earlier: the login shell may greet with the build of something else.
        if self.fields.last("run") == "probe":
            self.build = self.build or BUILD.search(line)
        blank = not line.strip()
        # Each marked line brings an empty one with it.
        if not (blank and self._blank):
            self.output.add(line)
        self._blank = blank


@dataclass(frozen=True)
class Ready:
    """What the container said before anything was sent. `build` is 0 where none was recognized."""

    user: str = ""
    nlserver: str = ""
    build: int = 0
    build_sha: str = ""
    before: FileState = field(default_factory=FileState)


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

    code: str = Code.NO_REPORT

    def __init__(self, output: bytes) -> None:
        super().__init__(self.code)
        self.output = output


@dataclass(frozen=True)
class Outcome:
    """Exit codes (None: not run) of the three steps, and the steps that printed a `>>>` line."""

    config: int | None = None
    reload: int | None = None
    restart: int | None = None
    failed_steps: frozenset[str] = frozenset()

    @property
    def refused(self) -> bool:
        return self.config != 0 or "config" in self.failed_steps

    def follow_ups_missing(self, job: Job) -> bool:
        """Whether a wanted reload or restart left no exit code."""
        return (job.reload and self.reload is None) or (job.restart_pipelined and self.restart is None)

    @property
    def follow_ups_failed(self) -> bool:
        return bool(self.reload or self.restart or self.failed_steps & {"reload", "restart"})


@dataclass(frozen=True)
class Report:
    """The end of a conversation. `held` is the file under the lock, just before nlserver ran.

    `stopped` is the code of a conversation that ended by itself before nlserver ran, else empty.
    `output` is unredacted.
    """

    job: Job
    outcome: Outcome = field(default_factory=Outcome)
    held: FileState = field(default_factory=FileState)
    after: FileState = field(default_factory=FileState)
    stopped: str = ""
    output: bytes = b""

    @property
    def exit_codes(self) -> dict[str, int]:
        """Step name -> exit code, of the steps that ran."""
        codes = {name: getattr(self.outcome, name) for name in ("config", "reload", "restart")}
        return {name: code for name, code in codes.items() if code is not None}


@dataclass(frozen=True)
class Journal:
    """What the script noted on the container about the last conversation that reached nlserver."""

    fence: int
    attempt: int
    stage: str
    outcome: Outcome

    @property
    def order(self) -> tuple[int, int]:
        """What decides which of two conversations is the newer one."""
        return self.fence, self.attempt


@dataclass(frozen=True)
class Look:
    """The container's file and journal, with no older conversation able to write any more."""

    job: Job
    ready: Ready
    after: FileState
    journal: Journal | None = None
    stopped: str = ""
    output: bytes = b""


class Conversation:
    """One conversation with the script, over a logged-in connection. Use as a context manager."""

    def __init__(self, connection: ssh.Connection, job: Job, mode: Mode = "apply") -> None:
        nonce = uuid4().hex
        self.job = job
        self._transcript = Transcript(nonce)
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
        for line in self._lines(seconds):
            self._transcript.feed(line)
            if self._transcript.ready:
                break
        return self.require_ready()

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
        build = self._transcript.build
        nlserver = fields.last("nlserver")
        return Ready(
            user=fields.last("user"),
            nlserver="" if nlserver == "missing" else nlserver,
            build=int(build[1]) if build else 0,
            build_sha=build[2].decode() if build else "",
            before=fields.file_state("before"),
        )

    def require_ready(self) -> Ready:
        ready = self.seen()
        code = refusal(self._transcript, self.job, ready)
        if code:
            raise Refused(code, ready, self.output)
        if not self._transcript.ready:
            raise ssh.ConnectionLost
        return ready

    def commit(self, account: Account, secret: Secret, *, before_newline: Callable[[], None]) -> Report:
        """Send the account, and return the report.

        `before_newline` is called when everything but the commit point has been sent; if it raises, nothing
        is executed. An `ssh.SSHError` means that nothing was changed, `ReportLost` that nobody knows. What
        the tick raises after `before_newline` has returned leaves the outcome unknown, too.
        """
        line = _line(account, secret.reveal())
        if not LINE.fullmatch(line):
            raise ValueError("not four values on one line")
        self.talk.send(line.encode())
        # If this raises, leaving the conversation closes it, and the script's `read` finds no newline.
        before_newline()
        try:
            return self._committed()
        except ssh.SSHError:
            raise ReportLost(self.output) from None

    def _committed(self) -> Report:
        self.talk.send(b"\n")
        report = self.read_report()
        if report is None:
            raise ReportLost(self.output)
        return report

    def read_report(self) -> Report | None:
        """Read to the end; None if the script ended without having said how."""
        for line in self.talk.lines(self.job.report_seconds):
            self._transcript.feed(line)
        # Paramiko may wait for a status that never comes, so only a report without an end asks for it.
        ended = self._transcript.fields.has("done")
        return parse_report(self._transcript, self.job, None if ended else self.talk.exit_status(5))

    def read_look(self, seconds: float) -> Look:
        """Read to the end of a look."""
        for line in self._lines(seconds):
            self._transcript.feed(line)
        fields = self._transcript.fields
        stopped = _stopped(fields, None)
        if not stopped and not fields.has("done"):
            self._raise_unready()
        return Look(
            job=self.job,
            ready=self.seen(),
            after=fields.file_state("after"),
            journal=parse_journal(fields.last("journal")),
            stopped=stopped,
            output=self.output,
        )

    def _raise_unready(self) -> None:
        ready = self.seen()
        code = _missing(self._transcript, self.job, ready)
        if code:
            raise Refused(code, ready, self.output)
        raise ssh.ConnectionLost


def look(connection: ssh.Connection, job: Job, seconds: float = LOOK_SECONDS) -> Look:
    """Look at the container's file and journal, and shut out every older conversation.

    Raises `Refused` where the script cannot look, `ssh.SSHError` where it cannot be reached.
    """
    with Conversation(connection, job, "look") as conversation:
        return conversation.read_look(seconds)


def refusal(transcript: Transcript, job: Job, ready: Ready) -> str:
    """Return the failure code of a conversation that must not go on, or an empty string."""
    code = _missing(transcript, job, ready)
    if code or not transcript.ready:
        return code
    if not ready.build:
        return Code.BUILD_UNKNOWN
    if ready.build < MIN_BUILD:
        return Code.BUILD_TOO_OLD
    return "" if ready.before.read else Code.SCRIPT_NOT_RUN


def _missing(transcript: Transcript, job: Job, ready: Ready) -> str:
    """The first thing that the script did not find, in the order in which it looks."""
    fields = transcript.fields
    signs = (
        (not fields.has("user") and fields.has("tools"), Code.TOOLS_MISSING),
        (not fields.has("user"), _silence(fields, job)),
        (ready.user != job.user, Code.WRONG_USER),
        (fields.last("nlserver") == "missing", Code.NLSERVER_NOT_FOUND),
        (fields.last("config") == "missing", Code.INSTANCE_NOT_FOUND),
        ("readonly" in fields.last("config"), Code.NOT_WRITABLE),
        (fields.last("state") == "unwritable", Code.NOT_WRITABLE),
    )
    return next((code for sign, code in signs if sign), "")


def _silence(fields: Fields, job: Job) -> str:
    """The script said nothing: the login shell did not run it, or sudo or su did not."""
    refused = job.become != "none" and fields.has("shell")
    return Code.BECOME_REFUSED if refused else Code.SCRIPT_NOT_RUN


def _stopped(fields: Fields, status: int | None) -> str:
    """The code of a conversation that ended by itself before nlserver could run, or an empty string."""
    signs = (
        (fields.has("late"), Code.TOO_LATE),
        (fields.has("busy"), Code.BUSY),
        (fields.has("newer"), Code.NEWER_PUSH),
        (fields.last("state") == "unwritable", Code.NOT_WRITABLE),
        (status in {97, 98} and not fields.has("held.file"), Code.CONNECTION_LOST),
    )
    return next((code for sign, code in signs if sign), "")


def parse_report(transcript: Transcript, job: Job, status: int | None) -> Report | None:
    """Return the report of a conversation that is over, None if it does not say how it ended."""
    fields = transcript.fields
    stopped = _stopped(fields, status)
    if not stopped and not (fields.has("done") and fields.has("rc.config")):
        return None
    return Report(
        job=job,
        outcome=Outcome(
            fields.number("rc.config"),
            fields.number("rc.reload"),
            fields.number("rc.restart"),
            frozenset(_failed_steps(transcript)),
        ),
        held=fields.file_state("held"),
        after=fields.file_state("after"),
        stopped=stopped,
        output=transcript.output.text(),
    )


def _failed_steps(transcript: Transcript) -> Iterable[str]:
    """Steps with an error line, as the script counted over everything and as it arrived here."""
    steps = ("config", "reload", "restart")
    told = (name for name in steps if transcript.fields.last(f"errors.{name}") == "1")
    return {*told, *(transcript.failed_steps & set(steps))}


JOURNAL = re.compile(
    r"(\d{1,15}) (\d{1,15}) (begun|configured|done)"
    r" config=(\d{1,3}|-) reload=(\d{1,3}|-) restart=(\d{1,3}|-) errors=([a-z0,]{1,40})"
)


def parse_journal(text: str) -> Journal | None:
    """Read the script's journal line, None if there is none or it is not one."""
    found = JOURNAL.fullmatch(text.strip())
    if not found:
        return None
    fence, attempt, stage, config, reload, restart, errors = found.groups()
    codes = (_number(config), _number(reload), _number(restart))
    return Journal(int(fence), int(attempt), stage, Outcome(*codes, frozenset(errors.split(",")) - {"0"}))


@dataclass(frozen=True)
class Verdict:
    """What is known of a push.

    `written`: whether the file changed, None if that is not known. `requeue`: nothing was changed; push the
    same values again. `superseded`: a newer push was there. `notes`: "jwt" if a JWT key is still in the file.
    """

    state: Literal["succeeded", "failed", "unknown", "requeue", "superseded"]
    code: str = ""
    written: bool | None = None
    notes: tuple[str, ...] = ()


def judge(
    report: Report, account: Account, before: FileState, *, known_digests: frozenset[str] = frozenset()
) -> Verdict:
    """Judge a report. `before` is what `ready()` showed.

    `known_digests` are digests that earlier, proven pushes of this same secret left on this installation: an
    unchanged file is as good as a written one if its digest is among them.
    """
    if report.stopped:
        newer = report.stopped == Code.NEWER_PUSH
        return Verdict("superseded" if newer else "failed", report.stopped, written=False)
    earlier = report.held if report.held.read else before
    written = (earlier.stamp, earlier.digest) != (report.after.stamp, report.after.digest)
    right = report.after.read and report.after.shows(account)
    proven = written or report.after.digest in known_digests
    code = _failure(report.outcome, report.job, right=right, proven=proven, written=written)
    return _noted(Verdict("failed" if code else "succeeded", code, written), report.after)


def _failure(outcome: Outcome, job: Job, *, right: bool, proven: bool, written: bool) -> str:
    """What is wrong with a conversation of which the exit codes are known, or an empty string."""
    if outcome.config in STOPPED:
        return Code.RELOAD_NOT_CONFIRMED if right and written else Code.STOPPED_BY_LIMIT
    if outcome.refused:
        return Code.REFUSED_BY_NLSERVER
    if not right:
        return Code.NOT_APPLIED
    if not proven:
        return Code.NOT_PROVEN
    if outcome.follow_ups_missing(job):
        return Code.RELOAD_NOT_CONFIRMED
    return Code.RELOAD_FAILED if outcome.follow_ups_failed else ""


def judge_look(
    found: Look,
    account: Account,
    before_digest: str,
    fence: int,
    attempt: int,
    known_digests: frozenset[str] = frozenset(),
) -> Verdict:
    """Judge a look after the report of the conversation (`fence`, `attempt`) was lost.

    `before_digest` is what that conversation had recorded before it sent anything.
    """
    journal = found.journal
    order = (fence, attempt)
    if (journal and journal.order > order) or found.stopped == Code.NEWER_PUSH:
        return Verdict("superseded", Code.NEWER_PUSH)
    if found.stopped or not found.after.read:
        return Verdict("unknown", found.stopped or Code.NO_REPORT)
    written = found.after.digest != before_digest
    right = found.after.shows(account)
    began = journal is not None and journal.order == order
    if right and written and not began:
        # Our nlserver never ran: somebody else wrote these ids, and nobody knows with which secret.
        return _noted(Verdict("requeue"), found.after)
    code = _unjournaled(right=right, written=written)
    if journal and began and journal.outcome.config is not None:
        proven = written or found.after.digest in known_digests
        code = _failure(journal.outcome, found.job, right=right, proven=proven, written=written)
    return _noted(_settled(code, written=written), found.after)


def _settled(code: str, *, written: bool) -> Verdict:
    """An unchanged file means: send the same again. A changed one with other ids: somebody else wrote."""
    if code in {Code.NOT_APPLIED, Code.NOT_PROVEN}:
        if not written:
            return Verdict("requeue", written=False)
        code = Code.CHANGED_BY_OTHERS
    return Verdict("failed" if code else "succeeded", code, written)


def _unjournaled(*, right: bool, written: bool) -> str:
    """The file alone speaks: the values never arrived, or the script died before nlserver's end."""
    if not written:
        return Code.NOT_PROVEN
    return Code.RELOAD_NOT_CONFIRMED if right else Code.NOT_APPLIED


def _noted(verdict: Verdict, state: FileState) -> Verdict:
    return replace(verdict, notes=("jwt",) if state.jwt else ())
