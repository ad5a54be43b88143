"""`import_inventory`: import instances and containers from a CSV file, all or nothing."""

import json
import sys
import time
from argparse import ArgumentParser
from collections.abc import Sequence

from django.conf import settings
from django.core.management.base import CommandError

from instances.inventory import csv_format
from instances.inventory.importing import ImportRefused, Plan, PlanOutdated, apply_import, plan_import
from portal.audit.operator import operator
from portal.command_line import read_input
from portal.no_secrets import Command as SafeCommand

Errors = Sequence[csv_format.RowError]


class Command(SafeCommand):
    help = "Import instances, containers and host keys from a CSV file: all of it, or nothing."

    group = "Inventory"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", help="the CSV file, or - for standard input")
        parser.add_argument("--dry-run", action="store_true", help="only say what would change")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: str, file: str, dry_run: bool, json: bool, **options: object) -> None:
        self.started = self.shown = time.monotonic()
        data = read_input(file, most=csv_format.MAX_BYTES + 1)
        parsed = csv_format.parse(data, allow_loopback=settings.ALLOW_LOOPBACK_TARGETS)
        self._say(f"{len(parsed.rows)} rows read")
        plan, errors = self._run(parsed, dry_run=dry_run)
        listed = errors[: csv_format.MAX_LISTED]
        write = self._write_json if json else self._write_text
        write(plan, listed, parsed.unlisted_errors + len(errors) - len(listed), dry_run)
        if errors:
            sys.exit(1)

    def _run(self, parsed: csv_format.ParsedInventory, *, dry_run: bool) -> tuple[Plan, Errors]:
        if dry_run or parsed.errors:
            plan = plan_import(parsed=parsed, actor=operator())
            return plan, plan.errors
        try:
            return apply_import(parsed=parsed, actor=operator(), progress=self._progress), ()
        except ImportRefused as refused:
            return Plan(), refused.errors
        except PlanOutdated as error:
            raise CommandError("The inventory changed at the same moment. Run it again.") from error

    def _progress(self, done: int, total: int) -> None:
        self._say(f"{done} of {total} written")

    def _say(self, text: str) -> None:
        """Show progress on standard error, at most once a second, and nothing for a short run."""
        if time.monotonic() - self.shown >= 1:
            self.shown = time.monotonic()
            self.stderr.write(text, style_func=str)

    def _write_json(self, plan: Plan, errors: Errors, unlisted: int, dry_run: bool) -> None:
        listed = [{"row": e.row_number, "column": e.column, "reason": str(e.reason)} for e in errors]
        answer = {**plan.counts, "imported": not errors and not dry_run, "errors": listed}
        self.stdout.write(json.dumps({**answer, "errors_not_listed": unlisted}, ensure_ascii=False))

    def _write_text(self, plan: Plan, errors: Errors, unlisted: int, dry_run: bool) -> None:
        for error in errors:
            column = f", column {error.column}" if error.column else ""
            self.stderr.write(f"row {error.row_number}{column}: {error.reason}")
        if errors:
            more = f" ({unlisted} more not listed)" if unlisted else ""
            self.stderr.write(f"Errors: {len(errors)}{more}. Nothing was imported.")
            return
        word = "Would be imported" if dry_run else "Imported"
        counts = f"{plan.created} created, {plan.updated} changed, {plan.unchanged} as before"
        self.stdout.write(f"{word}: {counts}.")
