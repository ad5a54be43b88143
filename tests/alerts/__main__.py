"""Brings every alert of docs/monitoring.md about by its cause, under a real Prometheus, in a few minutes.

    python -m tests.alerts
    python -m tests.alerts --stages history --keep /tmp/logs

Exit status: 0 if each alert fired for its cause, nothing else did, and each was over once its cause was gone.
"""

import argparse
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.alerts.scenes import STAGES, Scene, Stage
from tests.alerts.site import Site
from tests.figures import Goal, Report, say
from tests.portal.monitoring_page import rules
from tests.services.postgres_server import reason_against_postgres
from tests.services.programs import find_program
from tests.services.waiting import wait_until

FIRING_SECONDS = 240.0
RESOLVED_SECONDS = 240.0
SCALES = (
    "Durations of the rules are divided: minutes by 15 or 20; hours and days by 1,500 where they are tried."
)


@dataclass
class Seen:
    """What happened to one alert in one scene; seconds are None for what did not come."""

    alert: str
    cause: str
    fired: float | None = None
    resolved: float | None = None


class Run:
    """One stage: its site, and what was seen there."""

    def __init__(self, stage: Stage, folder: Path, keep: Path | None) -> None:
        self.stage = stage
        self.seen = [Seen(alert, scene.cause) for scene in stage.scenes for alert in scene.alerts]
        self.unexpected: list[str] = []
        self._folder = folder
        self._keep = keep
        self._lasting: set[str] = set()
        self._ended: dict[str, float] = {}

    def run(self) -> None:
        """Play all scenes; a scene that fails ends the stage, and what was not seen is missed."""
        try:
            with Site(
                self.stage.name,
                self._folder,
                scale=self.stage.scale,
                scrape_seconds=self.stage.scrape_seconds,
            ) as site:
                try:
                    self.stage.prepare(site)
                    site.prometheus.start()
                    for scene in self.stage.scenes:
                        self._play(scene, site)
                    self._see_the_last_go(site)
                finally:
                    if self._keep:
                        site.keep_logs(self._keep)
        except Exception:  # noqa: BLE001  # the other stages go on, and the table shows what is missing
            say(f"{self.stage.name}: {traceback.format_exc()}")

    def _play(self, scene: Scene, site: Site) -> None:
        began = time.time()
        with scene.play(site):
            self._wait_for(scene, site, began)
        ending = self._ended[scene.cause] = time.time()
        passing = set(scene.alerts) - set(scene.lasting)
        self._see_go(passing, scene, site, ending)
        companions = set(scene.also)
        wait_until(
            lambda: not site.prometheus.firing() & companions,
            within=RESOLVED_SECONDS,
            what=f"{companions} to end",
        )
        allowed = {*scene.alerts, *scene.also, *self._lasting}
        others = site.prometheus.fired_since(began) - allowed
        self.unexpected += [f"{other} ({scene.cause})" for other in sorted(others)]
        self._lasting |= set(scene.lasting)
        say(
            f"{self.stage.name}: {scene.cause}: {', '.join(scene.alerts)}"
            + (f"; ALSO {others}" if others else "")
        )

    def _wait_for(self, scene: Scene, site: Site, began: float) -> None:
        waited_for = set(scene.alerts)

        def all_fire() -> bool:
            for alert in waited_for & site.prometheus.firing():
                self._of(alert).fired = time.time() - began
                waited_for.discard(alert)
            return not waited_for

        wait_until(
            all_fire,
            within=FIRING_SECONDS,
            what=f"{scene.cause}: {waited_for} to fire",
            hint=lambda: f"{site.prometheus.alerts()}\n{site.prometheus.figures()}",
        )

    def _see_go(self, alerts: set[str], scene: Scene, site: Site, ending: float) -> None:
        def all_are_over() -> bool:
            for alert in alerts - site.prometheus.firing():
                self._of(alert).resolved = time.time() - ending
                alerts.discard(alert)
            return not alerts

        wait_until(
            all_are_over,
            within=RESOLVED_SECONDS,
            what=f"{scene.cause}: {alerts} to be over",
            hint=lambda: f"{site.prometheus.alerts()}\n{site.prometheus.figures()}",
        )

    def _see_the_last_go(self, site: Site) -> None:
        """Wait for the end of what looks back over a day."""
        lasting = [scene for scene in self.stage.scenes if scene.lasting]
        for scene in lasting:
            self._see_go(set(scene.lasting), scene, site, self._ended[scene.cause])

    def _of(self, alert: str) -> Seen:
        return next(each for each in self.seen if each.alert == alert)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="make alerts", description=__doc__.splitlines()[0])
    names = [stage.name for stage in STAGES]
    parser.add_argument(
        "--stages", default=",".join(names), help="only these portals, of " + ", ".join(names)
    )
    parser.add_argument("--keep", type=Path, help="folder for the logs of all processes, for reading")
    options = parser.parse_args(arguments)
    missing = [f"no {name} here" for name in ("prometheus", "redis-server") if find_program(name) is None]
    if reason := reason_against_postgres() or ", ".join(missing):
        sys.stderr.write(f"The alerts cannot be tried: {reason}\n")
        return 2
    stages = [stage for stage in STAGES if stage.name in options.stages.split(",")]
    return run(stages, options.keep)


def run(stages: Sequence[Stage], keep: Path | None) -> int:
    report, began = Report("make alerts"), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="portal-alerts-") as folder:
        runs = [Run(stage, Path(folder), keep) for stage in stages]
        # A thread each: a process ends with the thread that started it.
        with ThreadPoolExecutor(len(runs)) as threads:
            list(threads.map(Run.run, runs))
    seen = [each for each_run in runs for each in each_run.seen]
    columns = ["alert", "seconds until it fired", "seconds until it was over", "cause"]
    rows = [[each.alert, shown(each.fired), shown(each.resolved), each.cause] for each in seen]
    report.table("Alerts", columns, rows, note=SCALES)
    unexpected = [each for each_run in runs for each in each_run.unexpected]
    for each in unexpected:
        say(f"Unexpected: {each}")
    alerts = (
        {rule["alert"] for rule in rules()} if len(stages) == len(STAGES) else {each.alert for each in seen}
    )
    fired = {each.alert for each in seen if each.fired is not None}
    report.goal(Goal("alerts that fired for their cause", len(fired), "at least", len(alerts)))
    over = sum(each.resolved is not None for each in seen)
    report.goal(Goal("alerts that were over without their cause", over, "at least", len(seen)))
    report.goal(Goal("alerts that fired beside them, unexpectedly", len(unexpected), "at most", 0))
    say(f"Took {time.monotonic() - began:.0f} s")
    return report.finish()


def shown(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.0f}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
