"""A few rounds of the chaos suite, with seeds that never change; `make chaos` runs a thousand injections."""

import os
import sys
from pathlib import Path

import pytest

from tests.chaos.__main__ import missing
from tests.chaos.plan import DOUBLE, PORTAL_FAULTS, SITE_FAULTS, STAGES, make_plan
from tests.services.portal import ROOT
from tests.services.processes import Process
from tests.services.programs import require_that

SEEDS = "28,29"
SITES = 6
SECONDS = 150.0
MANY = 400


def test_a_seed_always_means_the_same_round() -> None:
    assert make_plan(417, sites=16) == make_plan(417, sites=16)
    assert make_plan(417, sites=16) != make_plan(418, sites=16)


def test_every_fault_meets_every_stage_that_it_can() -> None:
    plans = [make_plan(seed, sites=16) for seed in range(MANY)]
    portal = {(plan.fault, stage) for plan in plans for _, stage in plan.anchors}
    containers = {(each.fault, each.stage) for plan in plans for each in plan.injections}
    assert portal == {(fault, stage) for fault in PORTAL_FAULTS for stage in STAGES}
    assert containers == {(fault, stage) for fault in SITE_FAULTS for stage in STAGES if stage != "outcome"}


def test_a_container_meets_one_fault_in_a_round() -> None:
    for seed in range(MANY):
        plan = make_plan(seed, sites=16)
        met = [site for site, _ in plan.anchors] + [each.site for each in plan.injections]
        assert sorted(met) == list(range(16))
        assert all(site < DOUBLE for site, stage in plan.anchors if stage == "between")


@pytest.mark.timeout(SECONDS + 30)
def test_no_push_is_lost_and_no_verdict_is_wrong(tmp_path: Path) -> None:
    reason = missing()
    require_that(not reason, reason)
    command = [sys.executable, "-m", "tests.chaos", "--seeds", SEEDS, "--sites", str(SITES)]
    command += ["--workers", "2", "--injections", "8", "--keep", str(tmp_path / "kept")]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DJANGO_")}
    with Process(command, log=tmp_path / "chaos.log", env=environment, cwd=ROOT) as suite:
        status = suite.wait_for_exit(within=SECONDS)
    assert status == 0, suite.output()
