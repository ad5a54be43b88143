"""What a report, or a look after a lost report, proves about a push."""

from dataclasses import dataclass, replace
from typing import Literal

from instances.failures import Code
from instances.nlserver.job import Account, Job
from instances.nlserver.report import FileState, Look, Outcome, Report

STOPPED = frozenset({124, 137, 143})
"""Exit codes of GNU timeout, and of a shell whose command died of SIGKILL or SIGTERM."""


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
