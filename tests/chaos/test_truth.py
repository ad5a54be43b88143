"""The comparison with the containers can fail: each kind of lie is told here once, and must be seen."""

import uuid

import pytest

from tests.chaos.desk import PushRow
from tests.chaos.site import Site
from tests.chaos.truth import Facts, Judgement, contradiction, judge_installation


def push(state: str, code: str = "", *, rollout: int = 7, written: bool | None = None) -> PushRow:
    return PushRow(uuid.uuid4(), "one", "mail", rollout, state, code, written, 1, "")


def judged(facts: Facts, *pushes: PushRow) -> Judgement:
    judgement = Judgement()
    judge_installation(judgement, facts, pushes, sorted({each.rollout for each in pushes} | {7}))
    return judgement


def facts(*written: int, held: int | None = None, is_torn: bool = False) -> Facts:
    return Facts("mail on one", written, (written or (0,))[-1] if held is None else held, is_torn)


def test_what_agrees_is_clean() -> None:
    assert judged(facts(7), push("succeeded")).is_clean
    assert judged(facts(), push("failed", "connection_refused", written=False)).is_clean
    assert judged(facts(6, 8), push("superseded", rollout=7), push("succeeded", rollout=8)).is_clean


@pytest.mark.parametrize("state", ["queued", "running"])
def test_a_push_that_never_ends_is_lost(state: str) -> None:
    assert judged(facts(), push(state)).lost == [f"mail on one, rollout 7: {state}"]


def test_a_push_that_is_not_there_is_lost() -> None:
    assert judged(facts()).lost == ["mail on one: no push of rollout 7"]


def test_an_unknown_push_is_unresolved_not_lost() -> None:
    judgement = judged(facts(7), push("unknown", "no_report"))
    assert (judgement.unresolved, judgement.lost) == (["mail on one, rollout 7: unknown no_report"], [])


@pytest.mark.parametrize(
    ("push_", "written", "held", "reason"),
    [
        (push("succeeded"), False, 6, "it was never written"),
        (push("succeeded"), True, 6, "the file holds 6"),
        (push("succeeded"), True, 0, "the file holds 0"),
        (push("failed", "connection_lost"), True, 7, "it was written"),
        (push("failed", "connection_lost", written=True), True, 7, "it was written"),
        (push("failed", "refused_by_nlserver"), True, 8, "it was written"),
        (push("failed", "reload_failed"), False, 6, "it was never written"),
        (push("failed", "reload_not_confirmed", written=True), False, 6, "it was never written"),
        (push("failed", "reload_failed", written=False), True, 7, "it was written"),
        (push("cancelled"), True, 7, "it was written"),
        (push("cancelled", "timed_out", written=True), True, 7, "it was written"),
        (push("superseded", written=False), True, 7, "it was written"),
    ],
)
def test_a_wrong_verdict_is_seen(push_: PushRow, written: bool, held: int, reason: str) -> None:
    assert contradiction(push_, written, held) == reason
    told = judged(Facts("mail on one", (7,) if written else (), held), push_).wrong
    assert told == [f"mail on one, rollout 7: {push_.state} {push_.code}".rstrip() + f": {reason}"]


@pytest.mark.parametrize("written", [True, None])
def test_a_failure_that_nobody_confirmed_contradicts_neither(written: bool | None) -> None:
    for applied in (True, False):
        assert not contradiction(push("failed", "write_not_confirmed", written=written), applied, 6)


@pytest.mark.parametrize("code", ["reload_failed", "reload_not_confirmed"])
@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_a_failure_that_says_it_is_in_the_file_is_true_and_counted(state: str, code: str) -> None:
    judgement = judged(facts(7), push(state, code, written=True))
    assert (judgement.is_clean, judgement.told_written) == (True, 1)


def test_an_older_version_over_a_newer_one_is_stale() -> None:
    both = push("superseded", rollout=7), push("succeeded", rollout=8)
    assert judged(facts(8, 7), *both).stale == [
        "mail on one: written in the order (8, 7)",
        "mail on one: 7 stands where 8 was written",
    ]
    assert judged(facts(8, 7, 8), *both).stale == ["mail on one: written in the order (8, 7, 8)"]


def test_an_older_file_than_what_was_written_is_stale() -> None:
    assert judged(facts(7, held=3), push("failed", "refused_by_nlserver")).stale


def test_the_same_version_twice_is_a_duplicate_and_no_harm() -> None:
    judgement = judged(facts(7, 7, 7), push("succeeded"))
    assert (judgement.duplicates, judgement.is_clean) == (2, True)


def test_a_torn_file_is_told_and_no_push_to_it_has_succeeded() -> None:
    judgement = judged(facts(6, held=0, is_torn=True), push("failed", "refused_by_nlserver"))
    assert (judgement.torn, judgement.is_clean) == (["mail on one: 7: failed refused_by_nlserver"], True)
    assert judged(facts(6, held=0, is_torn=True), push("succeeded")).wrong


def test_a_process_id_that_comes_again_is_another_write() -> None:
    site = Site.__new__(Site)
    site.events = [
        {"event": event, "pid": 7, "action": "setimsoauth", "instance": "first", "fingerprint": name} | more
        for name in ("one", "two")
        for event, more in (("started", {}), ("waiting", {"gate": "written"}), ("ended", {"exit": 0}))
    ]
    assert [write.secret for write in site.writes()] == ["one", "two"]
