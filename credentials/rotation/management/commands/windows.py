"""`windows`: when rotations may push to each environment."""

from argparse import ArgumentParser
from uuid import UUID

from django.core.management.base import CommandError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from credentials.rotation.maintenance import as_recorded, remove_window, save_window
from credentials.rotation.models import MaintenanceWindow, Weekday
from credentials.rotation.openings import Openings, openings
from credentials.rotation.pages.schedule_forms import WindowForm
from credentials.rotation.window_words import in_words, lines
from credentials.rotation.windows import closes, opens
from instances.models import Instance
from portal.audit.operator import operator
from portal.command_line import add_json, as_json, table, wrong_call
from portal.no_secrets import Command as SafeCommand
from portal.punctuation import labelled

HEADINGS = (gettext_lazy("ENVIRONMENT"), gettext_lazy("WINDOW"), gettext_lazy("NOW"), gettext_lazy("ID"))


class Command(SafeCommand):
    help = gettext_lazy(
        "Show, add or remove maintenance windows: when rotations may push to an environment. Without any, "
        "they always may. What is still queued when a window closes is pushed in the next one."
    )
    group = "Accounts and secrets"
    summary = gettext_lazy("When rotations may push to each environment")

    def add_arguments(self, parser: ArgumentParser) -> None:
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--add", choices=Instance.Environment.values, help=_("add one of this environment"))
        what.add_argument("--remove", metavar="ID", help=_("remove this window"))
        parser.add_argument("--days", default="", help=_("with --add: of %s") % ",".join(Weekday.values))
        parser.add_argument("--start", default="", metavar="HH:MM", help=_("with --add: when it begins"))
        parser.add_argument(
            "--minutes", default="", help=_("with --add: how long it is, in minutes, at most 1440")
        )
        parser.add_argument("--zone", default="", help=_("with --add: its time zone, such as Europe/Paris"))
        add_json(parser)

    def handle(
        self,
        *args: str,
        add: str | None = None,
        remove: str | None = None,
        json: bool = False,
        **options: str,
    ) -> None:
        if add:
            _add(add, options)
        if remove:
            _remove(remove)
        if json:
            known = openings()
            facts = [_facts(known, each) for each in Instance.Environment]
            self.stdout.write(as_json({"environments": facts}))
            return
        self.stdout.write(table(HEADINGS, _rows()))


def _add(environment: str, options: dict[str, str]) -> None:
    """Add a window; what is wrong with it is said as the page says it."""
    typed = {
        "environment": environment,
        "weekdays": [each.strip() for each in options["days"].split(",") if each.strip()],
        "starts": options["start"],
        "minutes": options["minutes"],
        "zone": options["zone"],
    }
    form = WindowForm(typed)
    if not form.is_valid():
        texts = [labelled(form[name].label, " ".join(map(str, found))) for name, found in form.errors.items()]
        raise wrong_call(" ".join(texts))
    save_window(form.save(commit=False), actor=operator())


def _remove(text: str) -> None:
    try:
        row = MaintenanceWindow.objects.filter(pk=UUID(text)).first()
    except ValueError:
        row = None
    if row is None:
        raise CommandError(_("There is no window %s.") % text)
    remove_window(row, actor=operator())


def _rows() -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for line in lines():
        found += [(line.environment, in_words(row), line.now, str(row.pk)) for row in line.rows]
        found += [] if line.rows else [(line.environment, "-", line.now, "-")]
    return found


def _facts(known: Openings, environment: str) -> dict[str, object]:
    rows = MaintenanceWindow.objects.filter(environment=environment)
    found = known.of(environment)
    return {
        "environment": str(environment),
        "is_open": known.is_open(environment),
        "opens": opens(found, known.now),
        "closes": closes(found, known.now),
        "windows": [{"id": str(row.pk)} | as_recorded(row) for row in rows],
    }
