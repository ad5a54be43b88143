"""The newest head of the history that this portal saw, kept in a file outside the database.

A database that was set back to an older copy is consistent: its last event, its head and the head's seal fit
each other. Only a newer head that was kept elsewhere shows what is missing. So each process keeps the newest
one in a file, and compares: the event with that number must still have that hash.

A head that is not in the history stays in the file, and the alarm stays on, until somebody gives it up by an
act that is itself recorded: a restore, a sealed break, or `accept_audit_head`.
"""

import fcntl
import json
import logging
import math
import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.dispatch import receiver
from django.utils import timezone
from django.utils.translation import gettext as _

from portal.audit.chain import audit_keys
from portal.audit.chain.audit_keys import seal
from portal.audit.chain.findings import Problem
from portal.audit.models import FIRST, AuditEvent, AuditHead
from portal.audit.trail import Actor, record, recorded
from portal.private_files import folder

logger = logging.getLogger(__name__)
KEEP_SECONDS = 5.0
"""Recording is frequent: a process keeps the head at most this often."""
SAY_SECONDS = 3600.0
GIVES_UP = ("portal.restored", "history.head_accepted", "history.break_sealed")
"""Acts by which somebody accepts that the history no longer contains what was kept before."""
_FORM = re.compile(r"([0-9]{1,18}):([0-9a-fA-F]{64})")


class UnreadableHead(Exception):
    """Why the file says nothing."""

    def __init__(self, code: str, **params: str) -> None:
        super().__init__(code)
        self.problem = Problem(code, {"path": str(path()), **params})


class NothingToAccept(Exception):
    """The kept head is in the history."""


@dataclass(frozen=True)
class Head:
    """A place in the chain: the number of an event, and its hash."""

    seq: int
    hash: str

    @classmethod
    def parse(cls, text: str) -> "Head":
        """Read `SEQ:HASH`, as commands, pages and log lines show it; raise `ValueError` for anything else."""
        found = _FORM.fullmatch(text.strip())
        if not found:
            raise ValueError(_("A head is a number, a colon and 64 hexadecimal digits."))
        return cls(int(found[1]), found[2].lower())

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"

    @property
    def is_in_chain(self) -> bool:
        if self.seq == 0:
            return self.hash == FIRST
        return AuditEvent.objects.filter(seq=self.seq, hash=self.hash).exists()


@dataclass(frozen=True)
class KeptHead:
    """What the file says."""

    head: Head
    at: datetime

    def expected_seal(self, key: str = "") -> str:
        return seal(self._text, key)

    def is_sealed(self, found: str) -> bool:
        """Whether a key of this process sealed it; a former one may have."""
        return bool(audit_keys.sealed_with(self._text, found))

    @property
    def _text(self) -> str:
        return f"kept head|{self.head}|{self.at.isoformat()}"


@dataclass(frozen=True)
class Comparison:
    """The kept head against the database."""

    kept: KeptHead | None = None
    found: Problem | None = None
    given_up_by: int | None = None
    """The event by which somebody accepted that the kept head is no longer in the chain."""

    @property
    def problem(self) -> str:
        """Why the history does not fit the kept head, in words; empty if it does."""
        return str(self.found) if self.found else ""


@dataclass
class _Process:
    """What this process remembers."""

    due: float = 0.0
    said_head: str = ""
    said_at: dict[str, float] = field(default_factory=dict)


process = _Process()


def path() -> Path:
    return Path(settings.AUDIT_HEAD_PATH)


def read() -> KeptHead | None:
    """Return what the file says, or None where there is none; raise `UnreadableHead`."""
    try:
        text = path().read_text()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableHead("kept_head_unreadable", error=type(error).__name__) from error
    try:
        found = json.loads(text)
        kept = KeptHead(Head.parse(found["head"]), datetime.fromisoformat(found["at"]))
        fits = kept.is_sealed(str(found["seal"]))
    except (ValueError, KeyError, TypeError) as error:
        raise UnreadableHead("kept_head_nonsense") from error
    if not fits:
        raise UnreadableHead("kept_head_foreign")
    return kept


def compare() -> Comparison:
    """Say whether the history still contains the kept head."""
    try:
        kept = read()
    except UnreadableHead as error:
        return Comparison(found=error.problem)
    if kept is None or kept.head.is_in_chain:
        return Comparison(kept)
    if accepted := _given_up(kept):
        return Comparison(kept, given_up_by=accepted)
    when = kept.at.strftime("%Y-%m-%d %H:%M:%S %Z")
    return Comparison(kept, Problem("kept_head_missing", {"head": str(kept.head), "at": when}))


def _given_up(kept: KeptHead) -> int | None:
    """Return the event by which somebody gave up what was kept before it; the audit key vouches for it."""
    for event in AuditEvent.objects.filter(action__in=GIVES_UP, at__gt=kept.at).order_by("-seq")[:10]:
        if event.is_as_recorded:
            return event.seq
    return None


def keep() -> Comparison:
    """Compare, and then keep the newest head; one that is not in the chain stays as it is."""
    comparison = compare()
    newest = _newest()
    if newest:
        _say_head(newest)
    if comparison.problem:
        _say(logging.ERROR, f"The history does not fit the kept head: {comparison.problem}.")
    elif newest and (not comparison.kept or comparison.given_up_by or newest.seq > comparison.kept.head.seq):
        _move_on(comparison, newest)
    return comparison


def keep_quietly() -> None:
    """Keep the newest head where a failure must not disturb anything else."""
    try:
        keep()
    except DatabaseError as error:
        logger.warning("The head of the history was not compared (%s).", type(error).__name__)
        connection.close_if_unusable_or_obsolete()


@receiver(recorded)
def _after_recording(**_: object) -> None:
    now = time.monotonic()
    if now >= process.due:
        process.due = now + KEEP_SECONDS
        keep_quietly()


def begin() -> None:
    """Compare when a process starts. It starts in any case: an alarm that stops the portal helps nobody."""
    try:
        comparison = keep()
    except DatabaseError:
        return  # there is no table before the first migration
    if comparison.kept is None and not comparison.problem and process.said_head:
        logger.warning("No head of the history was kept here before: %s begins now.", path())


def accept(*, reason: str, actor: Actor) -> AuditEvent:
    """Give up a kept head that is not in the history, and keep the present one from now on."""
    comparison = compare()
    if not comparison.found:
        raise NothingToAccept
    details = {"reason": reason, "found": comparison.found.stored(), **given_up(comparison)}
    with transaction.atomic():
        event = record("history.head_accepted", actor=actor, details=details)
    newest = _newest()
    if newest:
        with _locked(wait=True):
            _write(newest)
    return event


def given_up(comparison: Comparison) -> dict[str, object]:
    """Return what an event says of a kept head that it gives up: nothing, if the history contains it."""
    if not comparison.problem or not comparison.kept:
        return {}
    return {"kept_head": str(comparison.kept.head), "kept_at": comparison.kept.at.isoformat()}


def _newest() -> Head | None:
    """Return the head of the database, if it is what the portal itself wrote there."""
    row = AuditHead.objects.filter(pk=1).first()
    if not row or not row.seq or not row.sealed_with:
        return None
    head = Head(row.seq, row.hash)
    return head if head.is_in_chain else None


def _move_on(comparison: Comparison, newest: Head) -> None:
    """Write the newest head, unless another process of this folder did something meanwhile."""
    if comparison.given_up_by and comparison.kept:
        _say(
            logging.WARNING,
            f"The kept head {comparison.kept.head} was given up by event {comparison.given_up_by}.",
        )
    try:
        with _locked() as is_mine:
            if is_mine and _is_unchanged(comparison):
                _write(newest)
    except OSError as error:
        _say(logging.WARNING, f"The head of the history cannot be kept in {path()}: {error}")


def _is_unchanged(comparison: Comparison) -> bool:
    try:
        return read() == comparison.kept
    except UnreadableHead:
        return False


@contextmanager
def _locked(*, wait: bool = False) -> Iterator[bool]:
    """Lock the folder. False: another process has the lock and is keeping a head."""
    descriptor = os.open(folder(path().parent), os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    else:
        yield True
    finally:
        os.close(descriptor)


def _write(head: Head) -> None:
    """Replace the file in one step: a crash leaves the former one."""
    kept = KeptHead(head, timezone.now())
    row = AuditHead.objects.filter(pk=1).first()  # other processes may not have a key yet that is not in use
    key = row.sealed_with if row else ""
    text = json.dumps({"head": str(head), "at": kept.at.isoformat(), "seal": kept.expected_seal(key)})
    draft = path().with_name(f".{path().name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            _give_to_owner(file.fileno())
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path())
    finally:
        with suppress(FileNotFoundError):
            draft.unlink()


def _give_to_owner(descriptor: int) -> None:
    """Let the portal's own user read what root wrote: an admin may verify the history with sudo."""
    if os.geteuid() == 0:
        owner = path().parent.stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)


def _say_head(head: Head) -> None:
    """Log the head at the start, then once an hour if it moved, so that a log kept elsewhere has it."""
    if str(head) != process.said_head and _is_due("head"):
        process.said_head = str(head)
        logger.info("The audit chain ends at %s (for verify_audit --expect-head).", head)


def _say(level: int, text: str) -> None:
    if _is_due(text):
        logger.log(level, text)


def _is_due(what: str) -> bool:
    """Whether this was not said within the last hour."""
    now = time.monotonic()
    if now - process.said_at.get(what, -math.inf) < SAY_SECONDS:
        return False
    process.said_at = {text: at for text, at in process.said_at.items() if now - at < SAY_SECONDS}
    process.said_at[what] = now
    return True
