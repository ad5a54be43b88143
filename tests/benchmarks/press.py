"""Starts rollouts as the page does, waits for the last verdict of each, and tells how long that took.

Run as a program of its own with the portal's environment; prints a JSON list, one object per rollout.

    python -m tests.benchmarks.press ACCOUNT [--limit SECONDS] [--times COUNT --pause SECONDS] [CONTAINER…]
"""

import argparse
import json
import random
import sys
import time
from datetime import datetime

import django

django.setup()

from django.db import connection  # noqa: E402  # Django first
from django.db.models import Count, Max, Min  # noqa: E402

from credentials.models import TechnicalAccount  # noqa: E402
from credentials.rollouts.models import Attempt, Push, Rollout  # noqa: E402
from credentials.rollouts.starting import start_rollout  # noqa: E402
from instances.models import Installation  # noqa: E402
from portal.audit.trail import Actor  # noqa: E402

# The time that counts is the database's; this look must only be rare enough to cost nothing.
LOOK_SECONDS = 0.2


def main() -> None:
    """Press as often as told, each time once the rollout before has ended."""
    parser = argparse.ArgumentParser()
    parser.add_argument("account")
    parser.add_argument("containers", nargs="*")
    parser.add_argument("--limit", type=float, default=600, help="seconds to wait for the last verdict")
    parser.add_argument("--times", type=int, default=1, help="how many rollouts")
    parser.add_argument("--pause", type=float, default=0, help="wait up to so many seconds before each")
    options = parser.parse_args()
    connection.ensure_connection()
    # Whatever the portal does at intervals must be met at every phase of it; the same ones in each run.
    pauses = random.Random(options.times)
    told = []
    for _ in range(options.times):
        time.sleep(pauses.uniform(0, options.pause))
        told.append(_press(options.account, options.containers, options.limit))
    json.dump(told, sys.stdout)


def _press(account: str, containers: list[str], limit: float) -> dict[str, object]:
    secret = TechnicalAccount.objects.get(name=account).newest_version
    if secret is None:
        raise LookupError(f"{account} has no secret")
    chosen = Installation.objects.filter(instance__assignment__account=secret.account)
    if containers:
        chosen = chosen.filter(container__name__in=containers)
    installations = list(chosen)
    monotonic, pressed = time.monotonic(), time.time()
    rollout = start_rollout(
        version=secret, installations=installations, reason="repair", actor=Actor("bench")
    )
    answered = time.time() - pressed
    complete = _wait(rollout, limit)
    return {
        "pressed": monotonic,
        "answered": answered,
        "complete": complete,
        **_told(rollout, pressed),
    }


def _wait(rollout: Rollout, limit: float) -> bool:
    until = time.monotonic() + limit
    while Push.objects.open().filter(rollout=rollout).exists():
        if time.monotonic() > until:
            return False
        time.sleep(LOOK_SECONDS)
    return True


def _told(rollout: Rollout, pressed: float) -> dict[str, object]:
    """Return what the portal recorded, times in seconds since the press: its clock is this machine's."""

    def since(moment: datetime | None) -> float | None:
        return moment.timestamp() - pressed if moment else None

    ends = rollout.pushes.values("state", "code").annotate(count=Count("pk"), last=Max("finished"))
    attempts = Attempt.objects.filter(push__rollout=rollout)
    in_vain = attempts.exclude(verdict=Push.State.SUCCEEDED).values("code").annotate(count=Count("pk"))
    return {
        "seconds": since(rollout.pushes.aggregate(last=Max("finished"))["last"]),
        "begun": since(attempts.aggregate(first=Min("started"))["first"]),
        "counts": {f"{each['state']} {each['code']}".strip(): each["count"] for each in ends},
        "ends": {f"{each['state']} {each['code']}".strip(): since(each["last"]) for each in ends},
        "in_vain": {each["code"]: each["count"] for each in in_vain},
    }


if __name__ == "__main__":
    main()
