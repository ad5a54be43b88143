"""What a report, or a look after a lost report, proves about a push: the decision table, row by row.

A push has succeeded only if the portal knows that the file holds this version of the secret. Exit 0 is no
proof, nor are the right ids (a rotation leaves them as they are), nor a rewritten file. Two things are: the
encrypted secret changed while nlserver ran, and stayed so; or its digest is one that was proven before.
`docs/decisions/0016-proof-of-a-push.md` explains each row: its L, W and A are `held`, `written` and `after`
here, its K(A) is `Known`. Row 0 is in `judge`, row 1 in `credentials.rollouts.pushing`: the report is lost.
"""

from dataclasses import dataclass, replace
from typing import Literal

from instances.failures import Code
from instances.nlserver.job import Account, Job
from instances.nlserver.report import FileState, Journal, Last, Look, Mark, Report, StepExits

KILLED = frozenset({137, 143})
"""Exit codes of a shell whose command died of SIGKILL or SIGTERM; also GNU timeout's, past its limit."""
TIMED_OUT = 124

Proof = Literal["", "changed", "repeated", "recognized", "candidate"]
"""On what a verdict rests. The first two are root proofs: they make a digest known for a version.

`changed`: the digest changed while nlserver ran. `repeated`: it did so in an attempt that was cut off, and a
clean one left it as it was. `recognized`: the digest was proven before. `candidate`: changed, not confirmed.
"""
State = Literal["succeeded", "failed", "unknown", "requeue", "superseded"]
ROOT: tuple[Proof, ...] = ("changed", "repeated")


@dataclass(frozen=True)
class Known:
    """What the portal knows of the digest that a file shows in the end.

    `this`: it is proven for the version that was pushed; `others`: for another version. `candidate`: an
    earlier, unconfirmed attempt with this version left it on this installation.
    """

    this: bool = False
    others: bool = False
    candidate: bool = False


NOTHING_KNOWN = Known()


@dataclass(frozen=True)
class Verdict:
    """What is known of a push.

    `written`: whether the encrypted secret changed or is known to be this version's; None if nobody can tell.
    `requeue` as a state: nlserver cannot have run, or changed nothing; push the same values again. `again`:
    failed, but to be sent once more without a person. `final`: False where the file may still be written
    although nlserver has ended, so that it has to be read once more before this counts.
    `last`: who pushed there later, where that decided. `notes`: "jwt" if a JWT key is still in the file.
    """

    state: State
    code: str = ""
    written: bool | None = None
    proof: Proof = ""
    again: bool = False
    final: bool = True
    last: Last | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Seen:
    """What a conversation showed: the secret before nlserver and right after it, and the file at the end."""

    job: Job
    outcome: StepExits
    held: Mark
    written: Mark
    after: FileState
    took: int | None
    showed: bool
    """Whether the file held the account when nlserver had ended."""

    @property
    def is_clean(self) -> bool:
        return self.outcome.config == 0 and "config" not in self.outcome.failed_steps

    @property
    def changed(self) -> bool | None:
        """Whether the secret at the end is none of those before; None where either was not read."""
        if not self.held.read or not self.after.read:
            return None
        return not self.after.mark.digests <= self.held.digests

    @property
    def stayed(self) -> bool:
        """Whether the secret at the end is the one that nlserver left."""
        return self.written.read and self.written.digests == self.after.mark.digests

    @property
    def is_over(self) -> bool:
        """Whether it is known how nlserver ended."""
        return self.outcome.config is not None

    @property
    def changed_late(self) -> bool:
        """Whether it is a new one, though nlserver had left the old one: written late, or by somebody."""
        return self.changed is True and self.written.read and self.written.digests <= self.held.digests


def judge(report: Report, account: Account, known: Known = NOTHING_KNOWN) -> Verdict:
    """Judge a report; `known` is about the digest of its last reading."""
    if report.stopped:
        newer = report.stopped == Code.NEWER_PUSH
        state: State = "superseded" if newer else "failed"
        return Verdict(state, report.stopped, written=False, last=report.last)
    seen = _Seen(
        report.job,
        report.outcome,
        report.held.mark,
        report.written.mark,
        report.after,
        report.took,
        showed=report.written.shows(account),
    )
    return _noted(_judge(seen, account, known), report.after)


def _judge(seen: _Seen, account: Account, known: Known) -> Verdict:
    """The table; its rows have the numbers of the decision page."""
    if not seen.after.shows(account):  # 2
        return _judge_missing(seen)
    code = _unclear(seen.after)  # 3
    if code:
        return _failed(code, seen)
    if known.this and known.others:  # 4
        return _failed(Code.DIGEST_AMBIGUOUS, seen)
    if known.others:  # 5
        return _judge_other_version(seen)
    if not seen.is_clean:  # 6
        return _judge_unclean(seen, known)
    proof = _proof(seen, known)
    if proof:  # 7, 8, 9
        return _judge_follow_ups(seen, proof)
    return _not_proven(seen)  # 10, 11, 12


def _judge_missing(seen: _Seen) -> Verdict:
    if not seen.after.read:
        return _failed(_own_code(seen) or Code.FILE_UNREADABLE, seen, final=not seen.is_clean)
    if not seen.is_over and not seen.changed:
        return Verdict("requeue", written=False)
    code = Code.CHANGED_BY_OTHERS if seen.showed or not seen.is_over else Code.NOT_APPLIED
    return _failed(_own_code(seen) or code, seen, final=not seen.is_clean)


def _judge_other_version(seen: _Seen) -> Verdict:
    if not seen.is_over and not seen.changed:
        return Verdict("requeue", written=False)
    code = _own_code(seen) or Code.OTHER_VERSION
    return Verdict("failed", code, written=False, final=not seen.is_clean)


def _failed(code: str, seen: _Seen, *, final: bool = True) -> Verdict:
    return Verdict("failed", code, seen.changed, final=final)


def _unclear(after: FileState) -> str:
    """Why a file that shows the account leaves open what is in force, or an empty string.

    An empty organization in an instance's file overrides the server's (Adobe's documentation of the file).
    """
    if len(set(after.secrets)) > 1:
        return Code.SEVERAL_SECRETS
    return Code.ORGANIZATION_EMPTY if "" in after.organization_ids else ""


def _own_code(seen: _Seen) -> str:
    """What nlserver's end is called where it was not clean; empty if it was, or if nobody knows."""
    config, limit = seen.outcome.config, seen.job.limit
    if config is None or seen.is_clean:
        return ""
    if config == TIMED_OUT or (config in KILLED and seen.took is not None and seen.took >= limit):
        return Code.STOPPED_BY_LIMIT
    return Code.KILLED if config in KILLED else Code.REFUSED_BY_NLSERVER


def _judge_unclean(seen: _Seen, known: Known) -> Verdict:
    code = _own_code(seen)
    if known.this:
        return Verdict("failed", code or Code.RELOAD_NOT_CONFIRMED, written=True, proof="recognized")
    if seen.changed:
        return Verdict("failed", Code.WRITE_NOT_CONFIRMED, written=True, proof="candidate", again=True)
    return _failed(code, seen) if code else Verdict("requeue", written=seen.changed)


def _proof(seen: _Seen, known: Known) -> Proof:
    if seen.changed and seen.stayed:
        return "changed"
    if known.this:
        return "recognized"
    return "repeated" if known.candidate and seen.changed is False and seen.stayed else ""


def _judge_follow_ups(seen: _Seen, proof: Proof) -> Verdict:
    """The account is in the file; it takes effect by a reload or restart."""
    code = ""
    if seen.outcome.follow_ups_missing(seen.job):
        code = Code.RELOAD_NOT_CONFIRMED
    elif seen.outcome.follow_ups_failed:
        code = Code.RELOAD_FAILED
    return Verdict("failed" if code else "succeeded", code, written=True, proof=proof)


def _not_proven(seen: _Seen) -> Verdict:
    if seen.changed_late:
        return Verdict("failed", Code.CHANGED_AGAIN, written=True, proof="candidate", again=True)
    if seen.changed is None:
        return _failed(Code.NOT_COMPARABLE, seen)
    if not seen.stayed:
        return _failed(Code.CHANGED_AGAIN, seen)
    return _failed(Code.NOT_PROVEN, seen, final=False)


def judge_look(
    found: Look,
    account: Account,
    before_digest: str,
    fence: int,
    attempt: int,
    known: Known = NOTHING_KNOWN,
) -> Verdict:
    """Judge a look after the report of the conversation (`fence`, `attempt`) was lost.

    `before_digest` is what that conversation had recorded before it sent anything, `known` is about the
    digest that the look shows.
    """
    order = (fence, attempt)
    verdict = _overtaken(found, order)
    if verdict is None and found.journal and found.journal.order == order:
        verdict = _judge_journal(found, found.journal, account, known)
    return _noted(verdict or _judge_unbegun(found.after, account, before_digest), found.after)


def judge_again(report: Report, found: Look, account: Account, known: Known = NOTHING_KNOWN) -> Verdict:
    """Judge a report whose file was looked at once more; `known` is about the digest that the look shows."""
    overtaken = _overtaken(found, (report.job.fence, report.job.attempt))
    return overtaken or judge(replace(report, after=found.after), account, known)


def _overtaken(found: Look, order: tuple[int, int]) -> Verdict | None:
    """The verdict of a look that says nothing about the conversation `order`, else None."""
    if found.last and found.last.portal:
        # What it left says nothing about our conversation, whose values it may have replaced.
        return Verdict("failed", Code.OTHER_PORTAL, last=found.last)
    if found.stopped == Code.NEWER_PUSH:
        return Verdict("superseded", Code.NEWER_PUSH, last=found.last)
    if found.journal and found.journal.order > order:
        return Verdict("superseded", Code.NEWER_PUSH, last=Last("", *found.journal.order))
    if found.journal_unread:
        return Verdict("unknown", Code.JOURNAL_NOT_UNDERSTOOD)
    return Verdict("unknown", found.stopped) if found.stopped else None


def _judge_journal(found: Look, journal: Journal, account: Account, known: Known) -> Verdict:
    held, written = journal.held or Mark(), journal.written or Mark()
    # The journal has no ids, so it does not say whether nlserver had set them.
    seen = _Seen(found.job, journal.outcome, held, written, found.after, journal.took, showed=False)
    verdict = _judge(seen, account, known)
    if journal.held is None and verdict.code in (Code.NOT_COMPARABLE, Code.NOT_PROVEN):
        # The script of an older release noted no readings, so only an equal digest can be a proof.
        return _judge_follow_ups(seen, "repeated") if known.candidate else Verdict("requeue")
    return verdict


def _judge_unbegun(after: FileState, account: Account, before_digest: str) -> Verdict:
    """Our nlserver never ran, and never will: the look has shut that conversation out."""
    if after.read and not after.shows(account) and after.digest and after.digest != before_digest:
        return Verdict("failed", Code.CHANGED_BY_OTHERS, written=False)
    return Verdict("requeue", written=False)


def _noted(verdict: Verdict, state: FileState) -> Verdict:
    return replace(verdict, notes=("jwt",) if state.jwt else ())
