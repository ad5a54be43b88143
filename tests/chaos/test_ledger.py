"""Every goal of the chaos suite can be missed: each is, here, by a round that shows just that."""

import argparse
from collections.abc import Callable

import pytest

from tests.chaos.ledger import WHOLE, Ledger, in_words
from tests.chaos.plan import Plan, calm_plan, make_plan
from tests.chaos.rounds import Hit, Miss, Result
from tests.chaos.truth import Judgement
from tests.figures import Report

OPTIONS = argparse.Namespace(injections=1, workers=3)


def calm_round(plan: Plan | None = None) -> Result:
    """A round that shows nothing wrong."""
    result = Result(plan or calm_plan(), is_chain_whole=True)
    if plan:
        result.misses = [Miss(*card, "") for card in [("reset", "cut")] * (plan.planned - 1)]
        result.hits = [Hit("reset", "cut", "one", bound=10.0, over=5.0, settled=8.0)]
    return result


def missed(result: Result, options: argparse.Namespace = OPTIONS) -> list[str]:
    ledger, report = Ledger(frozenset()), Report("")
    ledger.add(result)
    ledger._goals(report, options)
    told = any(ledger.problems(result))
    goals = [goal.what for goal in report.missed]
    assert told == bool(set(goals) - {"injections that hit", "faults x stages that were never hit"})
    assert result.is_clean != told
    return goals


PLAN = make_plan(7, sites=6)


def test_a_round_with_nothing_wrong_misses_no_goal() -> None:
    assert missed(calm_round(PLAN)) == []


@pytest.mark.parametrize(
    ("kind", "goal"),
    [
        ("lost", "pushes lost"),
        ("wrong", "wrong verdicts"),
        ("stale", "stale overwrites"),
        ("unresolved", "unknown left unresolved"),
    ],
)
@pytest.mark.parametrize("when", ["judgement", "after_retry"])
def test_what_the_containers_contradict_misses_its_goal(kind: str, goal: str, when: str) -> None:
    result = calm_round(PLAN)
    judgement = Judgement()
    getattr(judgement, kind).append("told")
    setattr(result, when, judgement)
    assert missed(result) == [goal]


def late(result: Result) -> None:
    result.hits[0].settled = 15.1


def never(result: Result) -> None:
    result.hits[0].settled = None


def vanished(result: Result) -> None:
    result.misses.pop()


def broken(result: Result) -> None:
    result.is_chain_whole = False


def leaking(result: Result) -> None:
    result.leaks.append("worker-1.log")


def troubled(result: Result) -> None:
    result.troubles.append("worker-1 ended with 1")


def torn(result: Result) -> None:
    result.after_retry = Judgement(torn=["mail on one"])


@pytest.mark.parametrize(
    ("spoil", "goal"),
    [
        (late, "outcomes later than their bound"),
        (never, "outcomes later than their bound"),
        (vanished, "planned injections in no book"),
        (broken, "rounds with a broken audit chain"),
        (leaking, "secrets in logs, queue or dump"),
        (troubled, "other troubles"),
        (torn, "files still torn after a retry"),
    ],
)
def test_what_a_round_shows_misses_its_goal(spoil: Callable[[Result], None], goal: str) -> None:
    result = calm_round(PLAN)
    spoil(result)
    assert missed(result) == [goal]


def test_duplicates_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    result = calm_round(PLAN)
    result.after_retry = Judgement(duplicates=3)
    ledger = Ledger(frozenset())
    ledger.add(result)
    ledger._totals(Report(""))
    assert "| duplicates executed (same version) | 3 |" in capsys.readouterr().out


def test_a_whole_run_brings_every_fault_to_every_stage() -> None:
    options = argparse.Namespace(injections=WHOLE, workers=3)
    assert missed(calm_round(PLAN), options) == ["injections that hit", "faults x stages that were never hit"]


def test_seeds_are_told_as_they_are_given() -> None:
    assert in_words([1, 2, 3, 7, 9, 10]) == "1..3,7,9..10"
