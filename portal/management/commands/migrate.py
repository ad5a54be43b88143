"""`migrate`: Django's own, with the portal's keys held against the database before it writes anything."""

from contextlib import nullcontext
from typing import Any

from django.core.management.commands.migrate import Command as Migrate

from portal.checks import TAG
from portal.keys.gate import gate
from portal.no_secrets import Command as SafeCommand


class Command(SafeCommand, Migrate):
    """It makes the keys of a new portal, on an empty database, and records which keys there are."""

    summary = "Bring the database's tables up to date"

    def execute(self, *args: Any, **options: Any) -> str | None:  # Any: Django's signature
        if not options.get("skip_checks"):
            self.check(tags=[TAG])  # before the keys of an empty database are made: it may be the wrong one
        only_looks = options.get("plan") or options.get("check_unapplied")
        with nullcontext() if only_looks else gate.migrating():
            return super().execute(*args, **options)
