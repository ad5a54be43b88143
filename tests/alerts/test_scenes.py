"""Every alert has a cause that `make alerts` brings about; the rules it watches are those of the page."""

import re
from typing import Any

import pytest

from tests.alerts.scale import Scale
from tests.alerts.scenes import STAGES
from tests.portal.monitoring_page import rules

UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}


def test_every_alert_has_one_cause() -> None:
    caused = [alert for stage in STAGES for scene in stage.scenes for alert in scene.alerts]
    assert sorted(caused) == sorted(rule["alert"] for rule in rules())


def test_every_duration_is_scaled_and_nothing_else_is() -> None:
    a_sixtieth = Scale(minutes=60, hours=60, days=60)
    for rule in rules():
        scaled = a_sixtieth.rule(rule)
        assert durations(scaled) == pytest.approx([each / 60 for each in durations(rule)])
        assert without_numbers(scaled) == without_numbers(rule)
        if not durations(rule):
            assert scaled == rule


def durations(rule: dict[str, Any]) -> list[float]:
    """Return the seconds of every number with a unit, and of every number that an age is compared with."""
    text = f"{rule['expr']} for {rule.get('for', '0s')}"
    found = [float(number) * UNITS[unit] for number, unit in re.findall(r"\b(\d+)(ms|[smhd])\b", text)]
    is_age = "time()" in text or "_age_seconds" in text
    return found + [float(number) for number in re.findall(r"> ([\d.]+)", rule["expr"]) if is_age]


def without_numbers(rule: dict[str, Any]) -> dict[str, Any]:
    return {name: re.sub(r"[\d.]+(ms|[smhd]\b)?", "", str(text)) for name, text in rule.items()}
