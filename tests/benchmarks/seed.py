"""Fills an empty portal with a large fleet and its past, through the portal's own keys.

    python -m tests.benchmarks.seed --installations 10000 --attempts 1000000 --events 1000000

Writes to the database that DATABASE_URL names (migrated), or to the one below PORTAL_HOME, and refuses one
that holds anything already. The secrets decrypt and the audit chain verifies; nobody can sign in: make
yourself an admin afterwards with `create_admin`.
"""

import os
import sys
from argparse import ArgumentParser
from collections.abc import Callable
from random import Random

import django

from tests.benchmarks.scale import FULL, Scale

SEED = 20_260_401


def main(arguments: list[str]) -> int:
    """Seed; 1 if the database is not empty."""
    parser = ArgumentParser(prog="python -m tests.benchmarks.seed", description=__doc__)
    parser.add_argument("--installations", type=int, default=FULL.installations)
    parser.add_argument("--attempts", type=int, default=FULL.attempts)
    parser.add_argument("--events", type=int, default=FULL.events)
    parser.add_argument("--sights", type=int, default=FULL.sights, help="of each installation")
    options = parser.parse_args(arguments)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    django.setup()
    return seed(Scale(options.installations, options.attempts, options.events, options.sights), say=_say)


def seed(scale: Scale, *, say: Callable[[str], None] = lambda text: None) -> int:
    """Fill the database; return 0, or 1 if there is something in it."""
    from django.core.management import call_command  # Django has to be set up first

    from tests.benchmarks.filling import fill
    from tests.benchmarks.rows import refresh_statistics

    if reason := _reason_against():
        say(f"Nothing was written: {reason}.")
        return 1
    call_command("sync_roles", verbosity=0)
    fill(scale, Random(SEED), say=say)
    refresh_statistics()
    return 0


def _reason_against() -> str:
    """Why this database is not to be filled; empty if it is."""
    from django.contrib.auth.models import User

    from credentials.models import TechnicalAccount
    from instances.models import Container, Instance
    from portal.audit.models import AuditEvent

    for model in (Instance, Container, TechnicalAccount, AuditEvent, User):
        if model.objects.exists():
            return f"this portal has {model._meta.verbose_name_plural} already"
    return ""


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
