"""The decision table, row by row: what a report, or a look after a lost one, proves about a push."""

from dataclasses import replace
from typing import Any

import pytest

from instances import nlserver
from instances.failures import Code
from instances.nlserver import (
    FileState,
    Job,
    Journal,
    Known,
    Last,
    Look,
    Mark,
    Ready,
    Report,
    StepExits,
    Verdict,
)
from tests.instances.nlserver.shell_fleet import ACCOUNT

OLD, NEW, THIRD = "0" * 64, "1" * 64, "2" * 64
DONE = StepExits(config=0, reload=0)
REFUSED = StepExits(config=1)
THIS, OTHER, BOTH = Known(this=True), Known(others=True), Known(this=True, others=True)
CANDIDATE = Known(candidate=True)


def job(**changes: Any) -> Job:  # Any: a test's way to vary one value
    values: dict[str, Any] = {"instance": "prod1", "install_root": "/usr/local/neolane", "become": "none"}
    return Job(**(values | {"fence": 7, "attempt": 2} | changes))


def file(*secrets: str, **changes: Any) -> FileState:
    """A file that shows the account, with these encrypted secrets."""
    ids = ((ACCOUNT.client_id,), (ACCOUNT.technical_account_id,))
    return replace(FileState((), *ids, secrets, read=True), **changes)


WRONG_IDS = {"client_ids": ("other",)}
UNREAD = FileState()
TORN = FileState(torn=True)


def report(held: FileState, written: FileState, after: FileState, **changes: Any) -> Report:
    values: dict[str, Any] = {"job": job(), "outcome": DONE, "took": 1}
    return Report(held=held, written=written, after=after, **(values | changes))


def steady(held: FileState, after: FileState, **changes: Any) -> Report:
    """A report in which nothing happens to the file once nlserver has ended."""
    return report(held, after, after, **changes)


ROTATED = (file(OLD), file(NEW))
SAME = (file(OLD), file(OLD))


@pytest.mark.parametrize(
    ("found", "known", "expected"),
    [
        # 0: stopped before nlserver ran
        (steady(*SAME, stopped=Code.BUSY), Known(), Verdict("failed", Code.BUSY, False)),
        (steady(*SAME, stopped=Code.NEWER_PUSH), Known(), Verdict("superseded", Code.NEWER_PUSH, False)),
        # 2: the file does not show the account
        (steady(file(OLD), UNREAD), Known(), Verdict("failed", Code.FILE_UNREADABLE, None, final=False)),
        (steady(file(OLD), TORN), THIS, Verdict("failed", Code.FILE_UNREADABLE, None, final=False)),
        (
            steady(file(OLD), file(NEW, **WRONG_IDS)),
            THIS,
            Verdict("failed", Code.NOT_APPLIED, True, final=False),
        ),
        (steady(file(OLD), file()), Known(), Verdict("failed", Code.NOT_APPLIED, False, final=False)),
        (steady(file(OLD), file("empty")), Known(), Verdict("failed", Code.NOT_APPLIED, True, final=False)),
        (
            report(file(OLD), file(NEW), file(OLD, **WRONG_IDS)),
            Known(),
            Verdict("failed", Code.CHANGED_BY_OTHERS, False, final=False),
        ),
        (
            steady(file(OLD), file(OLD, **WRONG_IDS), outcome=REFUSED),
            Known(),
            Verdict("failed", Code.REFUSED_BY_NLSERVER, False),
        ),
        # 3: it leaves open what is in force
        (steady(file(OLD), file(OLD, NEW)), THIS, Verdict("failed", Code.SEVERAL_SECRETS, True)),
        (steady(file(OLD), file(NEW, "empty")), THIS, Verdict("failed", Code.SEVERAL_SECRETS, True)),
        (
            steady(file(OLD), file(NEW, organization_ids=("", ACCOUNT.organization_id))),
            THIS,
            Verdict("failed", Code.ORGANIZATION_EMPTY, True),
        ),
        # 4: known for this version and another
        (steady(*ROTATED), BOTH, Verdict("failed", Code.DIGEST_AMBIGUOUS, True)),
        # 5: known for another version, whatever changed
        (steady(*SAME), OTHER, Verdict("failed", Code.OTHER_VERSION, False, final=False)),
        (steady(*ROTATED), OTHER, Verdict("failed", Code.OTHER_VERSION, False, final=False)),
        (
            report(file(OLD), file(NEW), file(THIRD)),
            OTHER,
            Verdict("failed", Code.OTHER_VERSION, False, final=False),
        ),
        (steady(*SAME, outcome=REFUSED), OTHER, Verdict("failed", Code.REFUSED_BY_NLSERVER, False)),
        # 6: nlserver did not end well
        (
            steady(*SAME, outcome=REFUSED),
            THIS,
            Verdict("failed", Code.REFUSED_BY_NLSERVER, True, "recognized"),
        ),
        (
            steady(*ROTATED, outcome=REFUSED),
            Known(),
            Verdict("failed", Code.WRITE_NOT_CONFIRMED, True, "candidate", again=True),
        ),
        (
            steady(*ROTATED, outcome=StepExits(0, 0, None, frozenset({"config"}))),
            Known(),
            Verdict("failed", Code.WRITE_NOT_CONFIRMED, True, "candidate", again=True),
        ),
        (steady(*SAME, outcome=REFUSED), CANDIDATE, Verdict("failed", Code.REFUSED_BY_NLSERVER, False)),
        (steady(UNREAD, file(NEW), outcome=REFUSED), Known(), Verdict("failed", Code.REFUSED_BY_NLSERVER)),
        (
            steady(*SAME, outcome=StepExits(124), took=60),
            Known(),
            Verdict("failed", Code.STOPPED_BY_LIMIT, False),
        ),
        (
            steady(*SAME, outcome=StepExits(137), took=65),
            Known(),
            Verdict("failed", Code.STOPPED_BY_LIMIT, False),
        ),
        (steady(*SAME, outcome=StepExits(137), took=0), Known(), Verdict("failed", Code.KILLED, False)),
        (steady(*SAME, outcome=StepExits(143), took=59), Known(), Verdict("failed", Code.KILLED, False)),
        # 7: changed while nlserver ran, and stayed so
        (steady(*ROTATED), Known(), Verdict("succeeded", "", True, "changed")),
        (steady(*ROTATED), THIS, Verdict("succeeded", "", True, "changed")),
        (steady(file(), file(NEW)), Known(), Verdict("succeeded", "", True, "changed")),
        (steady(file("empty"), file(NEW)), Known(), Verdict("succeeded", "", True, "changed")),
        # nothing but a node that went away: the one that is left was there before
        (
            steady(file(OLD, THIRD), file(OLD)),
            Known(),
            Verdict("failed", Code.NOT_PROVEN, False, final=False),
        ),
        # 8: known for this version alone
        (steady(*SAME), THIS, Verdict("succeeded", "", True, "recognized")),
        (steady(UNREAD, file(NEW)), THIS, Verdict("succeeded", "", True, "recognized")),
        (report(file(OLD), file(NEW), file(THIRD)), THIS, Verdict("succeeded", "", True, "recognized")),
        # 9: left as an unconfirmed attempt with this version had left it
        (steady(*SAME), CANDIDATE, Verdict("succeeded", "", True, "repeated")),
        # 10: nothing changed, and nothing is known
        (steady(*SAME), Known(), Verdict("failed", Code.NOT_PROVEN, False, final=False)),
        # 11: changed after nlserver had ended
        (report(file(OLD), file(NEW), file(THIRD)), Known(), Verdict("failed", Code.CHANGED_AGAIN, True)),
        (report(file(OLD), file(NEW), file(OLD)), Known(), Verdict("failed", Code.CHANGED_AGAIN, False)),
        (report(file(OLD), file(NEW), file(OLD)), CANDIDATE, Verdict("failed", Code.CHANGED_AGAIN, False)),
        (report(file(OLD), UNREAD, file(NEW)), Known(), Verdict("failed", Code.CHANGED_AGAIN, True)),
        (
            report(file(OLD), file(OLD), file(NEW)),
            Known(),
            Verdict("failed", Code.CHANGED_AGAIN, True, "candidate", again=True),
        ),
        # 12: nothing to compare with
        (steady(UNREAD, file(NEW)), Known(), Verdict("failed", Code.NOT_COMPARABLE)),
        (steady(TORN, file(NEW)), CANDIDATE, Verdict("failed", Code.NOT_COMPARABLE)),
        # the reload decides only between success and "written"
        (
            steady(*ROTATED, outcome=StepExits(0, 1)),
            Known(),
            Verdict("failed", Code.RELOAD_FAILED, True, "changed"),
        ),
        (
            steady(*SAME, outcome=StepExits(0, 1)),
            THIS,
            Verdict("failed", Code.RELOAD_FAILED, True, "recognized"),
        ),
        (
            steady(*SAME, outcome=StepExits(0, 1)),
            Known(),
            Verdict("failed", Code.NOT_PROVEN, False, final=False),
        ),
        (
            steady(*ROTATED, outcome=StepExits(0)),
            Known(),
            Verdict("failed", Code.RELOAD_NOT_CONFIRMED, True, "changed"),
        ),
        (
            steady(*ROTATED, outcome=StepExits(0, 0, 3), job=job(restart_pipelined=True)),
            Known(),
            Verdict("failed", Code.RELOAD_FAILED, True, "changed"),
        ),
        (
            steady(*ROTATED, outcome=StepExits(0), job=job(reload=False)),
            Known(),
            Verdict("succeeded", "", True, "changed"),
        ),
    ],
)
def test_a_report_is_judged(found: Report, known: Known, expected: Verdict) -> None:
    assert nlserver.judge(found, ACCOUNT, known) == expected


def test_a_jwt_key_that_is_still_there_is_noted() -> None:
    found = steady(file(OLD), file(NEW, jwt=True))
    assert nlserver.judge(found, ACCOUNT).notes == ("jwt",)


def look(after: FileState, journal: Journal | None, **changes: Any) -> Look:
    return Look(job=job(attempt=3), ready=Ready(), after=after, journal=journal, **changes)


def mark(*digests: str) -> Mark:
    return Mark(True, frozenset(digests))


def newer(fence: int, attempt: int) -> Verdict:
    return Verdict("superseded", Code.NEWER_PUSH, last=Last("", fence, attempt))


def journal(
    stage: str = "done",
    outcome: StepExits = DONE,
    held: Mark | None = None,
    written: Mark | None = None,
    pair: tuple[int, int] = (7, 2),
) -> Journal:
    return Journal(*pair, stage, outcome, held, written, took=1)


ENDED = journal(held=mark(OLD), written=mark(NEW))
DID_NOTHING = journal(held=mark(OLD), written=mark(OLD))
BEGUN = journal("begun", StepExits(), held=mark(OLD))
CONFIGURED = journal("configured", StepExits(0), held=mark(OLD), written=mark(NEW))
FIRST_RELEASE = journal()
REQUEUE = Verdict("requeue", written=False)


@pytest.mark.parametrize(
    ("found", "known", "expected"),
    [
        (look(file(NEW), ENDED), Known(), Verdict("succeeded", "", True, "changed")),
        (look(file(OLD), DID_NOTHING), Known(), Verdict("failed", Code.NOT_PROVEN, False, final=False)),
        (look(file(OLD), DID_NOTHING), THIS, Verdict("succeeded", "", True, "recognized")),
        (look(file(OLD), DID_NOTHING), CANDIDATE, Verdict("succeeded", "", True, "repeated")),
        (look(file(OLD), DID_NOTHING), OTHER, Verdict("failed", Code.OTHER_VERSION, False, final=False)),
        (
            look(file(NEW), DID_NOTHING),
            Known(),
            Verdict("failed", Code.CHANGED_AGAIN, True, "candidate", again=True),
        ),
        (look(file(THIRD), ENDED), Known(), Verdict("failed", Code.CHANGED_AGAIN, True)),
        (look(file(THIRD), ENDED), OTHER, Verdict("failed", Code.OTHER_VERSION, False, final=False)),
        (
            look(file(OLD, **WRONG_IDS), ENDED),
            Known(),
            Verdict("failed", Code.NOT_APPLIED, False, final=False),
        ),
        (
            look(file(OLD, **WRONG_IDS), DID_NOTHING),
            Known(),
            Verdict("failed", Code.NOT_APPLIED, False, final=False),
        ),
        (look(TORN, ENDED), Known(), Verdict("failed", Code.FILE_UNREADABLE, None, final=False)),
        (
            look(file(NEW), CONFIGURED),
            Known(),
            Verdict("failed", Code.RELOAD_NOT_CONFIRMED, True, "changed"),
        ),
        # nobody knows how nlserver ended
        (
            look(file(NEW), BEGUN),
            Known(),
            Verdict("failed", Code.WRITE_NOT_CONFIRMED, True, "candidate", again=True),
        ),
        (look(file(OLD), BEGUN), Known(), REQUEUE),
        (look(file(OLD), BEGUN), OTHER, REQUEUE),
        (look(file(OLD, **WRONG_IDS), BEGUN), Known(), REQUEUE),
        (look(file(OLD), BEGUN), THIS, Verdict("failed", Code.RELOAD_NOT_CONFIRMED, True, "recognized")),
        (look(TORN, BEGUN), Known(), Verdict("failed", Code.FILE_UNREADABLE)),
        (look(file(NEW, **WRONG_IDS), BEGUN), Known(), Verdict("failed", Code.CHANGED_BY_OTHERS, True)),
        # it never ran
        (look(file(OLD), None), Known(), REQUEUE),
        (look(file(NEW), None), THIS, REQUEUE),
        (look(file(OLD), journal(pair=(7, 1))), Known(), REQUEUE),
        (look(file(OLD, **WRONG_IDS), None), Known(), REQUEUE),
        (look(file(NEW, **WRONG_IDS), None), Known(), Verdict("failed", Code.CHANGED_BY_OTHERS, False)),
        # a journal of the first release says nothing about the file
        (look(file(NEW), FIRST_RELEASE), Known(), Verdict("requeue")),
        (look(file(NEW), FIRST_RELEASE), THIS, Verdict("succeeded", "", True, "recognized")),
        (look(file(NEW), FIRST_RELEASE), CANDIDATE, Verdict("succeeded", "", True, "repeated")),
        (look(file(NEW), FIRST_RELEASE), OTHER, Verdict("failed", Code.OTHER_VERSION, False, final=False)),
        (
            look(file(NEW), journal(outcome=REFUSED)),
            Known(),
            Verdict("failed", Code.REFUSED_BY_NLSERVER),
        ),
        # somebody else's word, or nobody's
        (look(file(NEW), journal(pair=(7, 3))), THIS, newer(7, 3)),
        (look(file(NEW), journal(pair=(8, 1))), THIS, newer(8, 1)),
        (look(file(NEW), None, stopped=Code.NEWER_PUSH), THIS, Verdict("superseded", Code.NEWER_PUSH)),
        (look(file(NEW), None, stopped=Code.BUSY), THIS, Verdict("unknown", Code.BUSY)),
        (
            look(file(NEW), None, journal_unread=True),
            THIS,
            Verdict("unknown", Code.JOURNAL_NOT_UNDERSTOOD),
        ),
    ],
)
def test_a_look_is_judged(found: Look, known: Known, expected: Verdict) -> None:
    assert nlserver.judge_look(found, ACCOUNT, OLD, 7, 2, known) == expected


@pytest.mark.parametrize(
    ("found", "known", "expected"),
    [
        (look(file(OLD), DID_NOTHING), Known(), Verdict("failed", Code.NOT_PROVEN, False, final=False)),
        (
            look(file(NEW), DID_NOTHING),
            Known(),
            Verdict("failed", Code.CHANGED_AGAIN, True, "candidate", again=True),
        ),
        (look(file(NEW), DID_NOTHING), THIS, Verdict("succeeded", "", True, "recognized")),
        (look(file(NEW), DID_NOTHING), OTHER, Verdict("failed", Code.OTHER_VERSION, False, final=False)),
        (look(file(NEW), journal(pair=(8, 1))), THIS, newer(8, 1)),
        (look(file(NEW), None, stopped=Code.BUSY), THIS, Verdict("unknown", Code.BUSY)),
    ],
)
def test_a_second_look_is_judged_like_the_report(found: Look, known: Known, expected: Verdict) -> None:
    """nlserver did nothing, as far as its report could tell; the look shows what came later."""
    assert nlserver.judge_again(steady(*SAME), found, ACCOUNT, known) == expected


@pytest.mark.parametrize("known", [Known(), THIS, CANDIDATE])
def test_what_another_portal_left_says_nothing_about_our_push(known: Known) -> None:
    found = replace(look(file(NEW), journal(pair=(7, 2))), last=Last(portal="theirs"))
    verdict = nlserver.judge_look(found, ACCOUNT, OLD, 7, 2, known)
    assert (verdict.state, verdict.code, verdict.proof) == ("failed", Code.OTHER_PORTAL, "")
    assert verdict.last == Last(portal="theirs")
