"""`restore`: fills an empty database from a copy that `backup` made."""

from argparse import ArgumentParser
from pathlib import Path

from django.core import checks
from django.core.management.base import CommandError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from portal.audit.operator import operator
from portal.backup import BackupError, restore_database
from portal.command_line import add_json, as_json
from portal.key_changes import replaceable
from portal.no_secrets import Command as SafeCommand


class Command(SafeCommand):
    help = gettext_lazy(
        "Fill the empty database from FILE, which backup made. Stop the portal first, put its keys in place, "
        "and start it afterwards. With keys that do not fit the copy, the database stays empty. Pushes that "
        "were open in the copy are cancelled."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help=_("the copy of the database"))
        parser.add_argument(
            "--accept",
            action="append",
            default=[],
            choices=replaceable(),
            help=_("a key that is lost and was replaced by another one; may be given several times"),
        )

        add_json(parser)

    def handle(
        self, *args: str, file: Path, accept: list[str], json: bool = False, **options: object
    ) -> None:
        try:
            restore_database(file, actor=operator(), accepted=accept)
        except BackupError as error:
            raise CommandError(str(error)) from error
        problems = [each for each in checks.run_checks(databases=["default"]) if each.is_serious()]
        if problems:
            raise CommandError(
                _("The database was restored, but does not fit:") + "\n" + "\n".join(map(str, problems))
            )
        said = _("Restored from %s. Next: verify_audit --expect-head, then start the portal.") % file
        self.stdout.write(as_json({"restored": str(file), "accepted": accept}) if json else said)
