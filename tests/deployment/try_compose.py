"""`make compose`: tries docker-compose.yml for real, and kills a worker in the middle of its pushes.

It brings up a project of its own with three workers and the sandbox's containers on real OpenSSH, starts a
rollout to them, kills the worker that holds most pushes, waits until every push has ended, and then believes
nobody: what a push led to is read from the containers' own files. Then the portal is backed up, lost and
restored, and pushes once more. Everything is removed afterwards, whatever happened. Exit status 0 only if
every goal is met.

    python -m tests.deployment.try_compose [--record FILE]
"""

import argparse
import json
import secrets
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NoReturn

from tests.deployment.disaster import lose_and_restore
from tests.deployment.evidence import OUTCOMES, SITES, Row, Truth, account_secret, leaks
from tests.deployment.stack import INTERVAL, LEASE, Off, Stack, configure, wait_until
from tests.figures import Goal, Report, say, shown

WORKERS = 3
SLOW = 8  # seconds that nlserver takes, so that pushes are under way when the worker is killed
SLACK = 3.0  # seconds for a bell to reach a worker
AT_WORK = 5  # pushes under way before the kill; on a busy machine the eight do not begin together
ENDED = ("succeeded", "failed", "cancelled", "superseded")

HELD = """
    SELECT attempt.id, attempt.worker, attempt.stage, attempt.push_id AS push, container.name AS container
    FROM rollouts_attempt attempt JOIN rollouts_push push ON push.id = attempt.push_id
    JOIN instances_container container ON container.id = push.container_id
    WHERE attempt.finished IS NULL AND push.state = 'running'
"""
ATTEMPTS = """
    SELECT push.id AS push, container.name AS container, attempt.worker, attempt.started
    FROM rollouts_attempt attempt JOIN rollouts_push push ON push.id = attempt.push_id
    JOIN instances_container container ON container.id = push.container_id
    ORDER BY attempt.started
"""
EVENTS = "SELECT target_id AS push, action FROM audit_auditevent WHERE action LIKE 'push.%'"


@dataclass(frozen=True)
class Kill:
    """Which worker was killed, when, and what it held at that moment by the portal's own rows."""

    worker: str
    at: float
    held: list[Row]


def slow_down(stack: Stack, seconds: int) -> None:
    for site in SITES:
        line = f"echo slow={seconds} >/campaign/{site}/faults"
        stack.compose("exec", "-T", "--user", "neolane", site, "sh", "-c", line)


def kill_a_worker(stack: Stack) -> Kill:
    """Kill the worker that holds most pushes whose values are being written at this moment."""

    def held_by_worker() -> dict[str, list[Row]]:
        found: dict[str, list[Row]] = {}
        for row in stack.query(HELD):
            if row["stage"] == "committing":
                found.setdefault(row["worker"].partition(":")[0], []).append(row)
        return found if sum(map(len, found.values())) >= AT_WORK else {}

    held = wait_until(held_by_worker, within=120, what=f"{AT_WORK} pushes at work")
    victim = max(held, key=lambda name: len(held[name]))
    container = next(each for each in stack.of("worker") if each.id.startswith(victim))
    at = stack.kill(container)
    still = {row["id"] for row in stack.query(HELD)}
    return Kill(victim, at, [row for row in held[victim] if row["id"] in still])


def wait_for_end(stack: Stack) -> list[Row]:
    """Return every push once none is open; the wait is what the lease promises, and the pushes themselves."""

    def ended() -> list[Row] | None:
        rows = stack.query(OUTCOMES)
        return rows if rows and all(row["state"] in ENDED for row in rows) else None

    return wait_until(ended, within=LEASE + INTERVAL + 6 * SLOW + 180, what="the end of every push")


@dataclass(frozen=True)
class Recovery:
    """Seconds from the kill until others took over its containers, and took up its very pushes.

    A push may wait behind another one on its container, which was due earlier.
    """

    containers: list[float]
    pushes: list[float]

    @classmethod
    def after(cls, kill: Kill, attempts: list[Row]) -> "Recovery":
        later = [
            each
            for each in attempts
            if _seconds(each["started"]) > kill.at and not each["worker"].startswith(kill.worker)
        ]
        return cls(*(_delays(kill, later, name) for name in ("container", "push")))


def _delays(kill: Kill, attempts: list[Row], name: str) -> list[float]:
    first: dict[str, float] = {}
    for each in attempts:
        first.setdefault(each[name], _seconds(each["started"]) - kill.at)
    return sorted(first[row[name]] for row in kill.held if row[name] in first)


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def judge(stack: Stack, kill: Kill, rows: list[Row], report: Report) -> None:
    """Hold the outcome against the containers' files, the audit trail and the promised times."""
    secret = account_secret(stack.config)
    with tempfile.TemporaryDirectory(prefix="portal-try-truth-") as folder:
        truth = Truth.of(stack, Path(folder))
        holds = {row["id"]: truth.holds(row["container"], row["instance"], secret) for row in rows}
        written = {row["id"]: truth.written(row["container"], row["instance"]) for row in rows}
        working = sum(truth.was_writing(row["container"], kill.at) for row in kill.held)
    report.table(
        "Every push, and what its container's file holds",
        ["installation", "state", "code", "attempts", "nlserver calls", "file holds the secret"],
        [
            [
                f"{row['instance']} on {row['container']}",
                row["state"],
                row["code"] or "-",
                row["attempts"],
                written[row["id"]],
                "yes" if holds[row["id"]] else "no",
            ]
            for row in rows
        ],
    )
    events = {row["push"] for row in stack.query(EVENTS) if row["action"].split(".")[1] in ENDED}
    wrong = [row for row in rows if (row["state"] == "succeeded") != holds[row["id"]]]
    recovery = Recovery.after(kill, stack.query(ATTEMPTS))
    last = max(_seconds(row["finished"]) for row in rows) - kill.at
    chain = json.loads(stack.manage("verify_audit", "--json"))
    found = leaks(stack)
    report.table(
        "The killed worker",
        ["figure", "value"],
        [
            ["workers, one of them killed", WORKERS],
            ["pushes it held, their values just sent", len(kill.held)],
            ["of them, nlserver was at work at that moment", working],
            ["of them, taken up by another worker", len(recovery.pushes)],
            ["seconds until each container was taken over", ", ".join(map(shown, recovery.containers))],
            ["seconds until each push was taken up", ", ".join(map(shown, recovery.pushes))],
            ["seconds until the last push had ended", last],
            ["audit events, chain verified", chain["events"]],
            ["secrets found in logs or by docker inspect", ", ".join(found) or "none"],
        ],
        note=f"From the kill on. Lease {LEASE} s, reconciler every {INTERVAL} s, nlserver takes {SLOW} s.",
    )
    total = len(rows)
    for goal in (
        Goal("pushes accepted", total, "at least", len(SITES)),
        Goal("pushes held by the killed worker", len(kill.held), "at least", 1),
        Goal("of them, with nlserver at work", working, "at least", 1),
        Goal("pushes lost", total - len(events & {row["id"] for row in rows}), "at most", 0),
        Goal("wrong verdicts", len(wrong), "at most", 0),
        Goal("pushes succeeded", sum(row["state"] == "succeeded" for row in rows), "at least", total),
        Goal("abandoned pushes taken up", len(recovery.pushes), "at least", len(kill.held)),
        Goal(
            "until the last container was taken over",
            max(recovery.containers, default=None),
            "at most",
            LEASE + INTERVAL + SLACK,
            "s",
        ),
        Goal("breaks in the audit chain", len(chain["findings"]), "at most", 0),
        Goal("secrets in logs or inspection", len(found), "at most", 0),
    ):
        report.goal(goal)


def attempt(stack: Stack, folder: Path, report: Report) -> None:
    """Bring everything up, disturb it, and judge."""
    began = time.monotonic()
    say(f"Building, and starting {WORKERS} workers and {len(SITES)} containers (project {stack.project})")
    stack.up(workers=WORKERS)
    report.table(
        "Containers",
        ["service", "state", "health"],
        [
            [each.service, each.state, each.health or "-"]
            for each in sorted(stack.containers(), key=lambda each: each.service)
        ],
        note=f"All ready after {time.monotonic() - began:.0f} s, the build of the images included.",
    )
    slow_down(stack, SLOW)
    say("Starting a rollout")
    number = json.loads(stack.manage("rollout", "Sandbox", "--unconfirmed", "--json"))["rollout"]
    kill = kill_a_worker(stack)
    say(f"Rollout {number}: killed worker {kill.worker}, which held {len(kill.held)} pushes")
    rows = wait_for_end(stack)
    say(f"Every push has ended, {time.time() - kill.at:.0f} s after the kill")
    judge(stack, kill, rows, report)
    slow_down(stack, 0)
    lose_and_restore(stack, folder, report)


def _end(number: int, _frame: object) -> NoReturn:
    raise SystemExit(128 + number)


def main(arguments: list[str] | None = None) -> int:
    """Try it; return 0 only if every goal is met."""
    parser = argparse.ArgumentParser(prog="make compose", description="Try docker-compose.yml for real.")
    parser.add_argument("--record", type=Path, help="write the tables to this file, too")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _end)  # what was started is taken down, however this ends
    report, began = Report("make compose"), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="portal-try-") as folder:
        stack = Stack(f"portal-try-{secrets.token_hex(3)}", Path(folder) / "config")
        configure(stack.config)
        try:
            attempt(stack, Path(folder), report)
            say(f"Took {time.monotonic() - began:.0f} s")
            return report.finish(options.record)
        except Off as error:
            say(f"\n{error}")
            return 1
        finally:
            stack.down()


if __name__ == "__main__":
    sys.exit(main())
