"""The alerts of `docs/monitoring.md`, evaluated by Prometheus' own promtool on series of figures."""

import re
import subprocess
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.portal.monitoring_page import documents, rules
from tests.services.programs import require

STEP = 4  # minutes; Prometheus takes a figure for stale after five
STEPS = 30 * 60 // STEP  # longer than the longest `for`
WELL = {
    "portal_up": 1,
    "portal_pushes": 7,
    "portal_pushes_needing_attention": 0,
    "portal_oldest_due_push_age_seconds": 0,
    "portal_oldest_unknown_push_age_seconds": 0,
    "portal_expired_leases": 0,
    "portal_workers": 3,
    "portal_audit_events_total": 40,
    "portal_audit_intact": 1,
    "portal_audit_kept_head_in_chain": 1,
    "portal_audit_sealed_breaks": 0,
    "portal_append_only_protected": 1,
    "portal_scrape_seconds": 0.1,
    "portal_broker_up": 1,
    "portal_installations_of_other_portals": 0,
}
RECONCILED = "portal_reconciler_last_run_timestamp_seconds"
VERIFIED = "portal_audit_verified_timestamp_seconds"
SAVED = "portal_backup_timestamp_seconds"


def for_ever(value: float) -> str:
    return f"{value}+0x{STEPS}"


@dataclass(frozen=True)
class Case:
    """What differs from a portal that is well, and the alerts that ring in the end; no other does."""

    name: str
    alerts: Collection[str]
    gone: Collection[str] = ()
    series: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def test(self) -> dict[str, object]:
        """Return the case as promtool reads it."""
        well = {name: for_ever(value) for name, value in WELL.items()}
        clocks = dict.fromkeys((RECONCILED, VERIFIED, SAVED), f"0+{60 * STEP}x{STEPS}")
        series = {**well, **clocks, **self.series}
        return {
            "name": self.name,
            "interval": f"{STEP}m",
            "input_series": [
                {"series": name, "values": values} for name, values in series.items() if name not in self.gone
            ],
            "alert_rule_test": [self._expected(rule) for rule in rules()],
        }

    def _expected(self, rule: dict[str, Any]) -> dict[str, object]:
        labels = {**rule.get("labels", {}), **self.labels}
        ringing = {"exp_labels": labels, "exp_annotations": rule["annotations"]}
        alerts = [ringing] if rule["alert"] in self.alerts else []
        return {"eval_time": f"{STEP * STEPS}m", "alertname": rule["alert"], "exp_alerts": alerts}


def value(name: str, bad: float, alert: str) -> Case:
    return Case(f"{name} is {bad:g}", {alert}, series={name: for_ever(bad)})


def missing() -> dict[str, str]:
    """Return the figures that some alert looks for, each with that alert's name."""
    return {
        name: rule["alert"]
        for rule in rules()
        for name in re.findall(r"absent\((portal_[a-z_]+)", rule["expr"])
    }


CASES = [
    Case("all is well", ()),
    Case("nobody answers", set(missing().values()), gone=[*WELL, RECONCILED, VERIFIED, SAVED]),
    *[Case(f"{name} is missing", {alert}, gone=[name]) for name, alert in missing().items()],
    value("portal_up", 0, "PortalFiguresMissing"),
    value(RECONCILED, 0, "PortalReconcilerStale"),
    value("portal_workers", 0, "PortalNoWorkers"),
    value("portal_oldest_due_push_age_seconds", 601, "PortalPushesWait"),
    value("portal_oldest_unknown_push_age_seconds", 1801, "PortalUnknownNotSettled"),
    value("portal_expired_leases", 1, "PortalLeasesExpired"),
    value("portal_pushes_needing_attention", 1, "PortalPushesNeedAttention"),
    value("portal_audit_intact", 0, "PortalAuditBroken"),
    value("portal_audit_kept_head_in_chain", 0, "PortalAuditSetBack"),
    value("portal_append_only_protected", 0, "PortalAppendOnlyUnprotected"),
    value(VERIFIED, 0, "PortalAuditNotVerified"),
    value("portal_scrape_seconds", 2.1, "PortalScrapeSlow"),
    value("portal_broker_up", 0, "PortalBrokerAway"),
    value("portal_installations_of_other_portals", 1, "PortalAnotherPortal"),
    value(SAVED, 0, "PortalBackupOld"),
    Case(
        "a web server that is restarted again and again",
        {"PortalNoWorkers"},
        series={"portal_workers": " ".join(["0+0x1 _"] * (STEPS // 3))},
    ),
    Case(
        "a break of the history was sealed",
        {"PortalAuditBreakSealed"},
        series={"portal_audit_sealed_breaks": f"0+0x{STEPS - 5} 1+0x5"},
    ),
    Case(
        "the history became shorter",
        {"PortalAuditWentBack"},
        series={"portal_audit_events_total": f"40+0x{STEPS - 150} 12+0x150"},
    ),
]


@pytest.fixture
def promtool() -> Path:
    return require("promtool")


@pytest.fixture
def alerts(tmp_path: Path) -> Path:
    """The rules alone, as somebody would copy them."""
    [page] = [document for document in documents() if "groups" in document]
    file = tmp_path / "alerts.yml"
    file.write_text(yaml.safe_dump(page))
    return file


def run(promtool: Path, *arguments: str | Path) -> str:
    done = subprocess.run([promtool, *arguments], capture_output=True, text=True, timeout=60, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_prometheus_takes_the_rules(promtool: Path, alerts: Path) -> None:
    assert run(promtool, "check", "rules", "--lint-fatal", alerts) == ""


@pytest.mark.slow
def test_in_each_case_its_alerts_ring_and_no_others(promtool: Path, alerts: Path, tmp_path: Path) -> None:
    """All cases in one run, which names those that are wrong."""
    file = tmp_path / "cases.yml"
    tests = [case.test for case in CASES]
    text = {"rule_files": [str(alerts)], "evaluation_interval": f"{STEP}m", "tests": tests}
    file.write_text(yaml.safe_dump(text))
    assert run(promtool, "test", "rules", file) == ""


def test_every_alert_rings_in_some_case_of_its_own() -> None:
    alone = {alert for case in CASES if len(case.alerts) == 1 for alert in case.alerts}
    assert alone == {rule["alert"] for rule in rules()}
