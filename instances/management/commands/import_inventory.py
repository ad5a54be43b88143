"""`import_inventory`: import instances and containers from a CSV file, all or nothing."""

import json
import sys
import time
from argparse import ArgumentParser
from collections.abc import Sequence

from django.conf import settings
from django.core.management.base import CommandError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from instances.inventory import csv_format
from instances.inventory.importing import ImportRefused, Plan, PlanOutdated, apply_import, plan_import
from portal.audit.operator import operator
from portal.command_line import read_input
from portal.no_secrets import Command as SafeCommand
from portal.punctuation import labelled

Errors = Sequence[csv_format.RowError]


class Command(SafeCommand):
    help = gettext_lazy("Import instances, containers and host keys from a CSV file: all of it, or nothing.")

    group = "Inventory"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", help=_("the CSV file, or - for standard input"))
        parser.add_argument("--dry-run", action="store_true", help=_("only say what would change"))
        parser.add_argument("--json", action="store_true", help=_("print one JSON object"))

    def handle(self, *args: str, file: str, dry_run: bool, json: bool, **options: object) -> None:
        self.started = self.shown = time.monotonic()
        data = read_input(file, most=csv_format.MAX_BYTES + 1)
        parsed = csv_format.parse(data, allow_loopback=settings.ALLOW_LOOPBACK_TARGETS)
        self._say(ngettext("%s row read", "%s rows read", len(parsed.rows)) % len(parsed.rows))
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
            raise CommandError(_("The inventory changed at the same moment. Run it again.")) from error

    def _progress(self, done: int, total: int) -> None:
        text = ngettext("%(done)s of %(total)s written", "%(done)s of %(total)s written", done)
        self._say(text % {"done": done, "total": total})

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
            column = _(", column %(column)s") % {"column": error.column} if error.column else ""
            self.stderr.write(
                _("row %(row_number)s%(column)s: %(reason)s")
                % {"row_number": error.row_number, "column": column, "reason": error.reason}
            )
        if errors:
            more = (
                ngettext(" (%s more not listed)", " (%s more not listed)", unlisted) % unlisted
                if unlisted
                else ""
            )
            self.stderr.write(
                _("Errors: %(count)s%(more)s. Nothing was imported.") % {"count": len(errors), "more": more}
            )
            return
        word = _("Would be imported") if dry_run else _("Imported")
        counts = ", ".join(
            (
                ngettext("%s created", "%s created", plan.created) % plan.created,
                ngettext("%s changed", "%s changed", plan.updated) % plan.updated,
                ngettext("%s as before", "%s as before", plan.unchanged) % plan.unchanged,
            )
        )
        self.stdout.write(labelled(word, f"{counts}."))
