"""`coverage`: what every installation holds, now or as of a moment."""

import csv
from argparse import ArgumentParser
from datetime import datetime

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from credentials.by_name import active_account
from credentials.coverage.cells import Cell, Wanted, cells_now
from credentials.coverage.export import COLUMNS, as_dict, as_row
from credentials.coverage.past import cells_as_of
from credentials.coverage.states import Cover, Need
from credentials.coverage.tallies import counts, tallied
from instances.models import Instance
from instances.pages.moments import parse_moment
from portal.command_line import add_json, as_json, table, wrong_call
from portal.no_secrets import Command as SafeCommand
from portal.punctuation import labelled

HEADINGS = (
    gettext_lazy("INSTANCE"),
    gettext_lazy("CONTAINER"),
    gettext_lazy("ACCOUNT"),
    gettext_lazy("STATE"),
    gettext_lazy("HOLDS"),
    gettext_lazy("TO HOLD"),
    gettext_lazy("GOAL"),
    gettext_lazy("KNOWN"),
)


class Command(SafeCommand):
    help = gettext_lazy(
        "Show what every installation holds, what it is to hold, and why a person is needed. With --at, as "
        "of a moment: known between two equal sights, else likely, between two different sights, not seen "
        "since, or not known."
    )
    group = "Accounts and secrets"
    summary = gettext_lazy("What every installation holds, now or as of a moment")

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--account", help=_("only installations that use this account"))
        parser.add_argument("--environment", choices=Instance.Environment.values)
        parser.add_argument("--role", choices=Instance.Role.values)
        parser.add_argument(
            "--state", choices=[*Cover.values, *Need.values], help=_("only those in this state")
        )
        parser.add_argument(
            "--at", metavar="MOMENT", help=_("such as 2026-03-14T09:30, in the portal's time zone")
        )
        parser.add_argument("--csv", action="store_true", help=_("print CSV"))
        add_json(parser)

    def handle(
        self,
        *args: str,
        account: str | None = None,
        environment: str | None = None,
        role: str | None = None,
        state: str | None = None,
        at: str | None = None,
        csv: bool = False,
        json: bool = False,
        **options: object,
    ) -> None:
        wanted = Wanted(
            environment=environment or "",
            role=role or "",
            account=active_account(account).pk if account else None,
            state=state or "",
        )
        cells = cells_as_of(wanted, _moment(at)) if at else cells_now(wanted)
        if json:
            self.stdout.write(as_json({"cells": [as_dict(cell) for cell in cells]}))
        elif csv:
            self._write_csv(cells)
        elif cells:
            self.stdout.write(table(HEADINGS, map(_row, cells)))
            self.stdout.write(", ".join(f"{count} {cover.value}" for cover, count in counts(tallied(cells))))
        else:
            self.stdout.write(_("No installation."))

    def _write_csv(self, cells: list[Cell]) -> None:
        writer = csv.writer(self.stdout, quoting=csv.QUOTE_ALL)
        writer.writerow(COLUMNS)
        writer.writerows(map(as_row, cells))


def _moment(text: str) -> datetime:
    """Return the moment that somebody typed; one that does not exist, or comes twice, is refused."""
    try:
        return parse_moment(text)
    except ValidationError as error:
        raise wrong_call(labelled(text, " ".join(error.messages))) from None


def _row(cell: Cell) -> tuple[str, ...]:
    facts = as_dict(cell)
    state = f"{facts['state']} ({facts['need']})" if facts["need"] else str(facts["state"])
    known = cell.certainty if cell.certainty != "now" else str(facts["how"] or "-")
    numbers = [f"v{facts[name]}" if facts[name] else "-" for name in ("holds", "desires", "goal")]
    return (cell.instance, cell.container, cell.account, state, *numbers, known)
