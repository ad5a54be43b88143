"""The rules of `docs/monitoring.md` with their durations divided, so that a day passes in a minute."""

import re
from dataclasses import dataclass
from typing import Any

from tests.portal.monitoring_page import rules

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_RANGE = re.compile(r"\[(\d+)([smhd])\]")
_AGE = re.compile(r"((?:time\(\) - .*|_age_seconds.*) > )(\d+)$")


@dataclass(frozen=True)
class Scale:
    """By how much durations are divided: those below an hour, those of hours, and those of days."""

    minutes: float = 20
    hours: float = 1
    days: float = 1

    def duration(self, number: int, unit: str = "s") -> float:
        """Return the seconds that are left of a duration."""
        seconds = number * _UNITS[unit]
        is_days = unit == "d"
        return seconds / (self.days if is_days else self.hours if seconds >= 3600 else self.minutes)

    def text(self, number: int, unit: str) -> str:
        """Return a duration as Prometheus reads it."""
        return f"{self.duration(number, unit) * 1000:.0f}ms"

    def rule(self, rule: dict[str, Any]) -> dict[str, Any]:  # Any: labels and annotations are mappings
        """Return a rule in which every wait, range and age is shorter.

        How long a scrape takes is no age: it is measured on this machine, and stays.
        """
        expr = _RANGE.sub(lambda found: f"[{self.text(int(found[1]), found[2])}]", rule["expr"])
        expr = _AGE.sub(lambda found: f"{found[1]}{self.duration(int(found[2])):.3f}", expr)
        scaled = {**rule, "expr": expr}
        if "for" in rule:
            scaled["for"] = self.text(int(rule["for"][:-1]), rule["for"][-1])
        return scaled

    def rules(self) -> dict[str, Any]:
        """Return all rules, as Prometheus' rule file has them."""
        return {"groups": [{"name": "campaign-portal", "rules": [self.rule(each) for each in rules()]}]}
