"""What a try is judged by: the containers' own files, and every secret that must stand nowhere else."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from portal.sandbox.container import Container, read_account
from tests.deployment.stack import Stack, run

SITES = ("mkt-1", "mkt-2", "mkt-3", "mid-1", "mid-2", "rt-1", "rt-2", "rt-3")

OUTCOMES = """
    SELECT push.id, instance.name AS instance, container.name AS container, push.state, push.code,
           push.finished, (SELECT count(*) FROM rollouts_attempt a WHERE a.push_id = push.id) AS attempts
    FROM rollouts_push push JOIN instances_installation installation ON installation.id = push.installation_id
    JOIN instances_instance instance ON instance.id = installation.instance_id
    JOIN instances_container container ON container.id = push.container_id
    ORDER BY instance.name, container.name
"""
Row = dict[str, Any]  # Any: whatever a query returns


@dataclass(frozen=True)
class Truth:
    """What the containers' own folders hold, copied out of them."""

    folder: Path

    @classmethod
    def of(cls, stack: Stack, folder: Path) -> "Truth":
        """Copy each container's folder out of that very container."""
        for site in SITES:
            (container,) = stack.of(site)
            run(["docker", "cp", f"{container.id}:/campaign/{site}", str(folder / site)])
        return cls(folder)

    def holds(self, site: str, instance: str, secret: str) -> bool:
        held = read_account(Container(self.folder / site), instance).secret
        return held is not None and held.reveal() == secret

    def written(self, site: str, instance: str) -> int:
        """How many times nlserver was asked to write this instance's account."""
        events = Container(self.folder / site).invocations()
        return sum(event["event"] == "started" and event["instance"] == instance for event in events)

    def was_writing(self, site: str, at: float) -> bool:
        """Whether nlserver was at work on an account at this moment, by its own log."""
        events = Container(self.folder / site).invocations()
        before = [event["event"] for event in events if float(str(event["time"])) <= at]
        return before.count("started") > before.count("ended")


def leaks(stack: Stack) -> list[str]:
    """Return the names of the secret files whose content stands in a log or in what the engine tells."""
    found = []
    text = stack.logs() + stack.inspection()
    for name, values in _secret_values(stack.config).items():
        found += [name for value in values if value in text]
    return found


def _secret_values(config: Path) -> dict[str, list[str]]:
    harmless = {"portal.env", "ssh_key.pub", "sandbox_account"}
    values = {file.name: [file.read_text().strip()] for file in config.iterdir() if file.name not in harmless}
    for name in ("ssh_key", "signing_key"):
        values[name] = values[name][0].splitlines()[1:-1]
    values["sandbox_account"] = [account_secret(config)]
    return values


def account_secret(config: Path) -> str:
    return str(json.loads((config / "sandbox_account").read_text())["CLIENT_SECRETS"][0])
