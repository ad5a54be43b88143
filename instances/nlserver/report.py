"""What a container answers, taken apart: a file's state, exit codes, a report, a journal."""

import html
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

from instances import ssh
from instances.failures import Code
from instances.nlserver.job import Account, Job

BUILD = re.compile(r"(\d{1,9})@?([0-9a-f]*)")
PAD_BYTE, PAD_BYTES = "[0-9a-f]{2}", 1024
"""Four values of 200 characters, their slashes, a blank and a nonce take 836."""
DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Mark:
    """The secret in a file at one moment, as far as two moments are compared.

    `digests` are those of all encrypted secrets that were found. `read`: they are known to be all there were.
    """

    read: bool = False
    digests: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, word: str) -> Self | None:
        """Read a word of the journal: a digest, `empty`, `none`, `many`, `unread`, or `-`: not yet read."""
        if word == "-":
            return None
        if word in ("many", "unread"):
            return cls()
        return cls(True, frozenset() if word == "none" else frozenset({word}))


@dataclass(frozen=True)
class FileState:
    """What an instance's configuration file showed: every occurrence of the account's attributes.

    `secrets` are SHA-256 digests of encrypted values, or `empty`. `read` says that the file was read to its
    end, `torn` that it ends before its root element does. `stamp` changes when the file is written or
    replaced, and means nothing else; empty if it was not asked for, or changed during the reading.
    """

    organization_ids: tuple[str, ...] = ()
    client_ids: tuple[str, ...] = ()
    technical_account_ids: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    jwt: bool = False
    read: bool = False
    torn: bool = False
    stamp: str = ""

    @property
    def digest(self) -> str:
        """The digest of the one encrypted secret in the file; empty if there is none, or more than one."""
        found = set(self.secrets)
        return found.pop() if len(found) == 1 and found != {"empty"} else ""

    @property
    def mark(self) -> Mark:
        return Mark(self.read, frozenset(self.secrets))

    def shows(self, account: Account) -> bool:
        """Whether the file was read, has the account's ids and no others, and a secret that is not empty."""
        return (
            self.read
            and set(self.client_ids) == {account.client_id}
            and set(self.technical_account_ids) == {account.technical_account_id}
            and set(self.organization_ids) - {""} <= {account.organization_id}
            and bool(set(self.secrets) - {"empty"})
        )


READINGS = ("before", "held", "written", "after")
STEPS = ("config", "reload", "restart")
OCCURRENCES = 40
"""The script prints no more of our attributes than this for one reading."""
TEXT = r"[^\x00-\x1f\x7f]{0,200}"
STAMP = "[0-9a-zA-Z:.+ -]{1,120}"
YES = "yes"
ANYWHERE = -1


@dataclass(frozen=True)
class Shape:
    """How a field may look, where in the conversation it comes, and how often it may be said."""

    phase: int
    value: re.Pattern[str]
    times: int = 1


def _shapes() -> dict[str, Shape]:
    def shape(phase: int, value: str, times: int = 1) -> Shape:
        return Shape(phase, re.compile(value), times)

    shapes = {
        "shell": shape(0, YES),
        "argument": shape(1, "[a-z]{1,20}"),
        "tools": shape(1, "[a-z0-9 -]{1,200}"),
        "user": shape(2, r"[^\s\x00-\x1f\x7f]{0,100}"),
        "nlserver": shape(3, r"missing|(/[A-Za-z0-9._-]+)+"),
        "config": shape(4, "missing|readonly|present"),
        "rc.probe": shape(5, r"[0-9]{1,3}", 2),
        "errors.probe": shape(5, "[01-]", 2),
        "relay.probe": shape(5, "cut", 2),
        "build": shape(5, "[0-9]{1,9}@?[0-9a-f]{0,64}", 2),
        "environment": shape(5, "unusable"),
        "stdin": shape(7, "terminal"),
        "listening": shape(7, YES),
        "heard": shape(8, "[A-Za-z0-9]{0,200}"),
        "pad": shape(9, f"{PAD_BYTE}(?: {PAD_BYTE}){{{PAD_BYTES - 1}}}"),
        "ready": shape(9, ""),
        "late": shape(10, YES),
        "busy": shape(10, YES),
        "newer": shape(10, "[0-9]{1,15} [0-9]{1,15}"),
        "journal": shape(11, "[ -~]{0,600}"),
        "took.config": shape(12, "[0-9]{1,6}"),
        "done": shape(17, YES),
        # These end the conversation, and have no place of their own.
        "state": shape(ANYWHERE, "unwritable"),
        "elsewhere": shape(ANYWHERE, "[A-Za-z0-9]{1,64}"),
        "line": shape(ANYWHERE, "malformed|garbled|unread"),
        "exit": shape(ANYWHERE, "[0-9]{1,3}"),
    }
    for phase, reading in zip((6, 11, 13, 16), READINGS, strict=True):
        for name in ("client_id", "technical_account_id", "organization_id"):
            shapes[f"{reading}.{name}"] = shape(phase, TEXT, OCCURRENCES)
        shapes[f"{reading}.secret"] = shape(phase, f"{DIGEST.pattern}|empty", OCCURRENCES)
        shapes[f"{reading}.jwt"] = shape(phase, "yes|", OCCURRENCES)
        shapes[f"{reading}.read"] = shape(phase, "yes|no|torn")
    for phase, reading in ((11, "held"), (16, "after")):
        shapes[f"{reading}.stamp"] = shape(phase, STAMP)
    for phase, step in zip((12, 14, 15), STEPS, strict=True):
        shapes[f"rc.{step}"] = shape(phase, "[0-9]{1,3}")
        shapes[f"errors.{step}"] = shape(phase, "[01-]")
        shapes[f"relay.{step}"] = shape(phase, "cut")
    return shapes


SHAPES = _shapes()
RUNS = {"probe": Shape(5, re.compile("probe"), 2)} | {
    step: Shape(phase, re.compile(step)) for phase, step in zip((12, 14, 15), STEPS, strict=True)
}


@dataclass
class Fields:
    """The marked lines of a conversation: key -> values in the order they came.

    A container may be broken or hostile. A line that the script cannot have said (another key, another shape,
    too often, out of order) makes the conversation `malformed`, and nothing of that line is kept: it could be
    the secret itself.
    """

    values: dict[str, list[str]] = field(default_factory=dict)
    malformed: bool = False
    _phase: int = 0

    def add(self, text: str) -> None:
        """Take one marked line without its mark."""
        key, _equals, value = text.partition("=")
        shape = self.shape(key, value)
        if shape is None or not shape.value.fullmatch(value) or not self._fits(shape, key, value):
            self.malformed = True
            return
        self._phase = max(self._phase, shape.phase)
        self.values.setdefault(key, []).append(value)

    def shape(self, key: str, value: str) -> Shape | None:
        """Return how this line may look; None if the script never says it."""
        return RUNS.get(value) if key == "run" else SHAPES.get(key)

    def _fits(self, shape: Shape, key: str, value: str) -> bool:
        said = self.values.get(key, [])
        times = said.count(value) if key == "run" else len(said)
        return times < shape.times and (shape.phase == ANYWHERE or shape.phase >= self._phase)

    def last(self, key: str) -> str:
        return self.values.get(key, [""])[-1]

    def has(self, key: str) -> bool:
        return key in self.values

    def number(self, key: str) -> int | None:
        return _number(self.last(key))

    def file_state(self, stage: str) -> FileState:
        """The state reported under `before`, `held`, `written` or `after`, or under `now` in a reading."""

        def values(name: str) -> tuple[str, ...]:
            return tuple(html.unescape(value) for value in self.values.get(f"{stage}.{name}", ()))

        return FileState(
            organization_ids=values("organization_id"),
            client_ids=values("client_id"),
            technical_account_ids=values("technical_account_id"),
            secrets=values("secret"),
            jwt="yes" in values("jwt"),
            read=self.last(f"{stage}.read") == "yes",
            torn=self.last(f"{stage}.read") == "torn",
            stamp=self.last(f"{stage}.stamp"),
        )


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[0-9]{1,15}", text) else None


class Transcript:
    """Takes a conversation apart: marked lines into fields, everything else into what people may read.

    No decision rests on an unmarked line: anything on the container may have written it. The script alone
    knows what came from nlserver, and judges it.
    """

    def __init__(self, nonce: str, fields: Fields | None = None) -> None:
        self._mark = f"PORTAL {nonce} ".encode()
        self._at_start = True
        self._blank = True
        self.fields = fields or Fields()
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
    """What the container said before anything was sent. `build` is 0 where none was recognized.

    `elsewhere` is the id of another portal that wrote last, else empty.
    """

    user: str = ""
    nlserver: str = ""
    build: int = 0
    build_sha: str = ""
    before: FileState = field(default_factory=FileState)
    elsewhere: str = ""


@dataclass(frozen=True)
class StepExits:
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
class Last:
    """Who pushed last to an installation: another portal by its id, or else a push by its two numbers."""

    portal: str = ""
    fence: int = 0
    attempt: int = 0

    def __str__(self) -> str:
        return self.portal or f"{self.fence}.{self.attempt}"


@dataclass(frozen=True)
class Report:
    """The end of a conversation: three readings of the file, and what the steps between them ended with.

    `held` is the file under the lock, just before nlserver ran; `written` as nlserver left it, `after` at the
    end. `took` is how long nlserver ran, in whole seconds. `stopped` is the code of a conversation that ended
    by itself before nlserver ran, else empty. `last` is the push that was there, where it stopped this one.
    `output` is unredacted.
    """

    job: Job
    outcome: StepExits = field(default_factory=StepExits)
    held: FileState = field(default_factory=FileState)
    written: FileState = field(default_factory=FileState)
    after: FileState = field(default_factory=FileState)
    took: int | None = None
    stopped: str = ""
    last: Last | None = None
    output: bytes = b""

    @property
    def exit_codes(self) -> dict[str, int]:
        """Step name -> exit code, of the steps that ran."""
        codes = {name: getattr(self.outcome, name) for name in STEPS}
        return {name: code for name, code in codes.items() if code is not None}


@dataclass(frozen=True)
class Journal:
    """What the script noted on the container about the last conversation that reached nlserver.

    `held` and `written` are None where a script of an older release wrote it, or had not read the file yet.
    """

    fence: int
    attempt: int
    stage: str
    outcome: StepExits
    held: Mark | None = None
    written: Mark | None = None
    took: int | None = None

    @property
    def order(self) -> tuple[int, int]:
        """What decides which of two conversations is the newer one."""
        return self.fence, self.attempt


@dataclass(frozen=True)
class Look:
    """The container's file and journal, with no older conversation able to write any more.

    `journal_unread`: there is one, but it is not understood. `last`: see `Report`.
    """

    job: Job
    ready: Ready
    after: FileState
    journal: Journal | None = None
    journal_unread: bool = False
    stopped: str = ""
    last: Last | None = None
    output: bytes = b""


def stopped_by(fields: Fields, status: int | None) -> str:
    """The code of a conversation that ended by itself before nlserver could run, or an empty string."""
    signs = (
        (fields.has("late"), Code.TOO_LATE),
        (fields.has("busy"), Code.BUSY),
        (fields.has("elsewhere"), Code.OTHER_PORTAL),
        (fields.has("newer"), Code.NEWER_PUSH),
        (fields.last("state") == "unwritable", Code.NOT_WRITABLE),
        (fields.last("line") == "malformed", Code.CONNECTION_LOST),
        (fields.last("line") == "garbled", Code.INPUT_NOT_PRIVATE),
        (fields.last("line") == "unread", Code.NOT_HANDED_OVER),
        (status in {97, 98} and not fields.has("held.read"), Code.CONNECTION_LOST),
    )
    return next((code for sign, code in signs if sign), "")


def last_push(fields: Fields) -> Last | None:
    """Who was there before, where that stopped the conversation."""
    if fields.has("elsewhere"):
        return Last(portal=fields.last("elsewhere"))
    numbers = fields.last("newer").split()
    return Last(fence=int(numbers[0]), attempt=int(numbers[1])) if numbers else None


def parse_report(transcript: Transcript, job: Job, status: int | None) -> Report | None:
    """Return the report of a conversation that is over, None if it does not say how it ended."""
    fields = transcript.fields
    stopped = stopped_by(fields, status)
    if not stopped and not (fields.has("done") and fields.has("rc.config")):
        return None
    return Report(
        job=job,
        outcome=StepExits(
            fields.number("rc.config"),
            fields.number("rc.reload"),
            fields.number("rc.restart"),
            frozenset(_failed_steps(fields)),
        ),
        held=fields.file_state("held"),
        written=fields.file_state("written"),
        took=fields.number("took.config"),
        after=fields.file_state("after"),
        stopped=stopped,
        last=last_push(fields),
        output=transcript.output.text(),
    )


def _failed_steps(fields: Fields) -> Iterable[str]:
    """Steps in which nlserver printed an error line."""
    return (name for name in STEPS if fields.last(f"errors.{name}") == "1")


MARK = f"({DIGEST.pattern}|empty|none|many|unread|-)"
JOURNAL = re.compile(
    r"(\d{1,15}) (\d{1,15}) (begun|configured|done)"
    r" config=(\d{1,3}|-) reload=(\d{1,3}|-) restart=(\d{1,3}|-) errors=([a-z0,]{1,40})"
    rf"(?: held={MARK} written={MARK} took=(\d{{1,6}}|-))?"
    r"(?: (?!held=|written=|took=)[a-z_]+=[!-~]{1,100})*"
)
"""Newer releases add fields, and older ones had fewer: both are read."""


def parse_journal(text: str) -> Journal | None:
    """Read the script's journal line, None if there is none or it is not one."""
    found = JOURNAL.fullmatch(text.strip())
    if not found:
        return None
    fence, attempt, stage, config, reload, restart, errors, held, written, took = found.groups()
    codes = (_number(config), _number(reload), _number(restart))
    outcome = StepExits(*codes, frozenset(errors.split(",")) - {"0"})
    marks = (Mark.parse(held or "-"), Mark.parse(written or "-"))
    return Journal(int(fence), int(attempt), stage, outcome, *marks, _number(took or "-"))
