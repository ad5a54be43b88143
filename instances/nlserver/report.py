"""What a container answers, taken apart: a file's state, exit codes, a report, a journal."""

import html
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from instances import ssh
from instances.failures import Code
from instances.nlserver.job import Account, Job

BUILD = re.compile(r"(\d{1,9})@?([0-9a-f]*)")
VALUES_LIMIT = 100


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
    """Takes a conversation apart: marked lines into fields, everything else into what people may read.

    No decision rests on an unmarked line: anything on the container may have written it. The script alone
    knows what came from nlserver, and judges it.
    """

    def __init__(self, nonce: str) -> None:
        self._mark = f"PORTAL {nonce} ".encode()
        self._at_start = True
        self._blank = True
        self.fields = Fields()
        self.output = ssh.Excerpt()
        self.ready = False

    @property
    def has_ended(self) -> bool:
        """Whether the script said its last word. What comes afterwards is not from it, and never counts."""
        return self.fields.has("done") or self.fields.has("exit")

    def feed(self, line: bytes) -> None:
        """Take one line (with its line end) or one piece of a longer line."""
        starts, self._at_start = self._at_start, line.endswith(b"\n")
        if starts and line.startswith(self._mark) and not self.has_ended:
            # PostgreSQL takes no text with a NUL in it.
            text = line[len(self._mark) :].replace(b"\0", b"")
            self._feed_field(text.decode("utf-8", "replace").rstrip("\r\n"))
        else:
            self._feed_output(line)

    def _feed_field(self, text: str) -> None:
        if text == "ready":
            self.ready = True
        self.fields.add(text)

    def _feed_output(self, line: bytes) -> None:
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


def stopped_by(fields: Fields, status: int | None) -> str:
    """The code of a conversation that ended by itself before nlserver could run, or an empty string."""
    signs = (
        (fields.has("late"), Code.TOO_LATE),
        (fields.has("busy"), Code.BUSY),
        (fields.has("newer"), Code.NEWER_PUSH),
        (fields.last("state") == "unwritable", Code.NOT_WRITABLE),
        (fields.last("line") == "malformed", Code.CONNECTION_LOST),
        (fields.last("line") == "unread", Code.NOT_HANDED_OVER),
        (status in {97, 98} and not fields.has("held.file"), Code.CONNECTION_LOST),
    )
    return next((code for sign, code in signs if sign), "")


def parse_report(transcript: Transcript, job: Job, status: int | None) -> Report | None:
    """Return the report of a conversation that is over, None if it does not say how it ended."""
    fields = transcript.fields
    stopped = stopped_by(fields, status)
    if not stopped and not (fields.has("done") and fields.has("rc.config")):
        return None
    return Report(
        job=job,
        outcome=Outcome(
            fields.number("rc.config"),
            fields.number("rc.reload"),
            fields.number("rc.restart"),
            frozenset(_failed_steps(fields)),
        ),
        held=fields.file_state("held"),
        after=fields.file_state("after"),
        stopped=stopped,
        output=transcript.output.text(),
    )


def _failed_steps(fields: Fields) -> Iterable[str]:
    """Steps in which nlserver printed an error line."""
    return (name for name in ("config", "reload", "restart") if fields.last(f"errors.{name}") == "1")


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
