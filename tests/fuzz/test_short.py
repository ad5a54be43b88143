"""A short part of `make fuzz`: the same goals, over few requests."""

from pathlib import Path

import pytest

from tests.figures import Report
from tests.fuzz.run import ENVIRONMENT, fuzz, prepared
from tests.services.portal import Portal


@pytest.mark.slow  # `make fuzz` does it at length
@pytest.mark.timeout(300)
def test_hostile_requests_are_answered_within_bounds_and_a_person_goes_on_working(tmp_path: Path) -> None:
    portal, report = Portal(tmp_path, dict(ENVIRONMENT)), Report("make fuzz")
    findings = fuzz(portal, prepared(portal), report, requests=250, seed=1, idle=6)
    assert report.missed == []
    assert sum(findings.statuses.values()) == 250
