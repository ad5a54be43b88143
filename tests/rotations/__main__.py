"""Rotates a secret again and again while everything around it fails, and counts what became of it.

    python -m tests.rotations --seeds 1..100
    python -m tests.rotations --seeds 17             repeat one alone

What a rotation meets is determined by its seed. Exit status: 0 if every goal is met.
"""

import argparse
import logging
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.chaos.__main__ import missing, seeds
from tests.figures import say


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.rotations", description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=seeds, default=seeds("1..100"), help="17, 1..100 or 3,9,12")
    parser.add_argument("--minutes", type=float, default=55, help="begin no rotation after so many minutes")
    parser.add_argument("--record", type=Path, help="write the figures to this file, too")
    options = parser.parse_args(arguments)
    if reason := missing():
        sys.stderr.write(f"The rotations cannot run: {reason}\n")
        return 2
    from tests.rotations.services import RotationServices  # its servers start with it

    with RotationServices() as services:
        os.environ.update(services.own_environment)
        import django

        django.setup()
        for name in ("credentials", "instances"):
            logging.getLogger(name).setLevel(logging.ERROR)  # what is done here is told in other words
        from tests.rotations.campaign import run  # it needs Django, and Django its database's address

        began = time.monotonic()
        figures = run(services, options.seeds, ends=began + options.minutes * 60)
        lines = [*figures.lines(), f"Took {(time.monotonic() - began) / 60:.1f} min"]
        say("\n".join(lines))
        if options.record:
            options.record.write_text("\n".join(lines) + "\n")
        return 0 if figures.is_clean else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
