"""Makes the portal suffer, and counts what became of every push.

    python -m tests.chaos --seeds 1..75
    python -m tests.chaos --seeds 417            repeat one round alone
    python -m tests.chaos --seeds 1..500 --injections 1000 --minutes 40 --record docs/chaos-figures.md

Each round is determined by its seed. Exit status: 0 if every goal is met.
"""

import argparse
import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.chaos.services import Services, may_step_clocks
from tests.figures import say
from tests.services.postgres_server import reason_against_postgres
from tests.services.programs import everything_is_required, find_program
from tests.services.small_disk import may_mount


def main(arguments: Sequence[str]) -> int:
    options = _options(arguments)
    if reason := missing():
        sys.stderr.write(f"The chaos suite cannot run: {reason}\n")
        return 2
    if without := unavailable_faults():
        told = f"faults that cannot be had here: {', '.join(sorted(without))}"
        if everything_is_required():
            sys.stderr.write(f"REQUIRE_ALL=1, but there are {told}\n")
            return 2
        say(f"Without {told}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    small_disks = may_mount()
    with Services(small_disks=small_disks) as services:
        os.environ.update(services.own_environment)
        import django

        django.setup()
        logging.getLogger("credentials").setLevel(logging.WARNING)  # what is done here is told in other words
        from tests.chaos.campaign import run  # it needs Django, and Django its database's address

        return run(services, options, without=without, small_disks=small_disks)


def missing() -> str:
    """Why nothing of this can run here, or an empty string."""
    for name in ("sshd", "ssh-keygen", "redis-server"):
        if find_program(name) is None:
            return f"no {name} here"
    return reason_against_postgres() or ""


def unavailable_faults() -> frozenset[str]:
    """Faults that cannot be had on this machine."""
    disks = set() if may_mount() else {"container disk full", "postgres disk full"}
    clocks = set() if may_step_clocks() else {"clock forward", "clock back"}
    return frozenset(disks | clocks)


def seeds(text: str) -> list[int]:
    """Read `7`, `1..75` or `3,9,12..14`."""
    found: list[int] = []
    for each in text.split(","):
        first, dots, last = each.partition("..")
        found += range(int(first), int(last if dots else first) + 1)
    return found


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=seeds, default=seeds("1..200"), help="7, 1..75 or 3,9,12")
    injections = "stop after so many; from 1,000 on not before every fault has met every stage"
    parser.add_argument("--injections", type=int, default=1000, help=injections)
    parser.add_argument("--every-seed", action="store_true", help="do not stop after so many")
    parser.add_argument("--minutes", type=float, default=55, help="begin no round after so many minutes")
    parser.add_argument("--sites", type=int, default=16, help="containers; part of what a seed means")
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--record", type=Path, help="write the figures to this file, too")
    parser.add_argument("--keep", type=Path, default=Path("var/chaos"), help="folder for failing rounds")
    options = parser.parse_args(arguments)
    options.ends = time.monotonic() + options.minutes * 60
    return options


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
