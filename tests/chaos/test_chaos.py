"""A few rounds of the chaos suite, with seeds that never change; `make chaos` runs a thousand injections."""

import os
import sys
from pathlib import Path

import pytest

from tests.chaos.__main__ import missing, seeds
from tests.chaos.plan import DOUBLE, LONG_HOLES, SITE_FAULTS, STEPS, make_plan, possible
from tests.services.portal import ROOT
from tests.services.processes import Process
from tests.services.programs import require_that

SEEDS = "1,2,7,10"
KINDS = ("worker", "redis", "postgres")
SITES = 6
SECONDS = 400.0
MANY = 400
WHOLE_RUN = 60
"""So many rounds of sixteen containers bring a thousand injections, or somewhat fewer."""


def test_a_seed_always_means_the_same_round() -> None:
    assert make_plan(417, sites=16) == make_plan(417, sites=16)
    assert make_plan(417, sites=16) != make_plan(418, sites=16)


def test_every_fault_meets_every_stage_that_it_can() -> None:
    plans = [make_plan(seed, sites=16) for seed in range(1, WHOLE_RUN)]
    assert set().union(*(plan.cards for plan in plans)) == set(possible())


def test_black_holes_and_clock_steps_come_in_every_length() -> None:
    plans = [make_plan(seed, sites=16) for seed in range(1, MANY)]
    for fault, (shortest, _) in LONG_HOLES.items():
        lengths = {plan.seconds >= shortest for plan in plans if plan.fault == fault}
        assert lengths == {True, False}
    for fault in ("clock forward", "clock back"):
        assert {plan.step for plan in plans if plan.fault == fault} == set(STEPS)


def test_the_short_rounds_meet_faults_of_every_kind() -> None:
    plans = [make_plan(seed, sites=SITES) for seed in seeds(SEEDS)]
    for kind in KINDS:
        assert any(plan.fault.startswith(kind) for plan in plans)
    assert any(each.fault in SITE_FAULTS for plan in plans for each in plan.injections)


def test_seeds_are_given_one_by_one_and_in_rows() -> None:
    assert seeds("7") == [7]
    assert seeds("1..3,9,12..13") == [1, 2, 3, 9, 12, 13]


def test_a_container_meets_one_fault_in_a_round() -> None:
    for seed in range(MANY):
        plan = make_plan(seed, sites=16)
        met = [site for site, _ in plan.anchors] + [each.site for each in plan.injections]
        assert sorted(met) == list(range(16))
        assert all(site < DOUBLE for site, stage in plan.anchors if stage == "between")


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 30)
def test_no_push_is_lost_and_no_verdict_is_wrong(tmp_path: Path) -> None:
    reason = missing()
    require_that(not reason, reason)
    command = [sys.executable, "-m", "tests.chaos", "--seeds", SEEDS, "--sites", str(SITES)]
    command += ["--workers", "2", "--injections", "12", "--every-seed", "--keep", str(tmp_path / "kept")]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DJANGO_")}
    with Process(command, log=tmp_path / "chaos.log", env=environment, cwd=ROOT) as suite:
        status = suite.wait_for_exit(within=SECONDS)
    assert status == 0, suite.output()
