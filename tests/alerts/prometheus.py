"""A real Prometheus that watches one portal."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
import yaml

from tests.alerts.scale import Scale
from tests.services.processes import Process, Server
from tests.services.waiting import free_port

_START_SECONDS = 60.0


@dataclass(frozen=True)
class Alert:
    """One alert as Prometheus shows it: pending or firing, and since when."""

    name: str
    state: str
    active_at: str


class Prometheus(Server):
    """Scrapes `target` and evaluates the scaled rules each second.

    No scrape may take longer than `scrape_seconds`: Prometheus gives up then, and ten seconds are usual.
    """

    def __init__(self, *, program: Path, target: str, scale: Scale, scrape_seconds: int) -> None:
        super().__init__()
        self.port = free_port()
        self._program = program
        rules = self.home / "alerts.yml"
        rules.write_text(yaml.safe_dump(scale.rules()))
        every = f"{scrape_seconds}s"
        times = {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": "1s"}
        job = {"job_name": "campaign-portal", "static_configs": [{"targets": [target]}]}
        configuration = {"global": times, "rule_files": [str(rules)], "scrape_configs": [job]}
        self._configuration = self.home / "prometheus.yml"
        self._configuration.write_text(yaml.safe_dump(configuration))

    def launch(self) -> Process:
        return Process(
            [
                self._program,
                f"--config.file={self._configuration}",
                f"--storage.tsdb.path={self.home}/data",
                f"--web.listen-address={self.host}:{self.port}",
                "--log.level=warn",
            ],
            log=self.log,
        )

    def wait_until_ready(self, process: Process) -> None:
        process.wait_for(self._is_ready, within=_START_SECONDS, what="be ready")

    def _is_ready(self) -> bool:
        try:
            return requests.get(f"{self._url}/-/ready", timeout=5).ok
        except requests.ConnectionError:
            return False

    @property
    def _url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def _ask(self, path: str, **parameters: str) -> Any:  # Any: JSON
        answer = requests.get(f"{self._url}/api/v1/{path}", params=parameters, timeout=30)
        answer.raise_for_status()
        return answer.json()["data"]

    def alerts(self) -> dict[str, Alert]:
        """Return what is pending or firing now, by name."""
        found = self._ask("alerts")["alerts"]
        named = [Alert(each["labels"]["alertname"], each["state"], each["activeAt"]) for each in found]
        return {each.name: each for each in named}

    def firing(self) -> set[str]:
        return {each.name for each in self.alerts().values() if each.state == "firing"}

    def fired_since(self, began: float) -> set[str]:
        """Return what was firing at any time since then (seconds since the epoch)."""
        lasted = max(1, int(time.time() - began))
        query = f'count_over_time(ALERTS{{alertstate="firing"}}[{lasted}s])'
        return {each["metric"]["alertname"] for each in self._ask("query", query=query)["result"]}

    def figures(self) -> dict[str, str]:
        """Return the portal's figures as last scraped, to understand what went wrong."""
        found = self._ask("query", query='{__name__=~"portal_.*|up"}')["result"]
        return {each["metric"]["__name__"]: each["value"][1] for each in found}
