"""`backup`: a consistent copy of the database while the portal works, and of the keys if asked."""

import json as json_module
from argparse import ArgumentParser
from pathlib import Path

from django.core.management.base import CommandError
from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from portal.audit.operator import operator
from portal.audit.trail import record
from portal.backup import BackupError, head, save_database, save_keys
from portal.no_secrets import Command as SafeCommand


class Command(SafeCommand):
    help = gettext_lazy(
        "Copy the database into FOLDER while web server and workers go on. The keys are copied only if "
        "asked, and into another folder: anybody who has both has every secret."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("folder", type=Path, help=_("folder for the copy of the database"))
        parser.add_argument(
            "--with-keys", type=Path, metavar="FOLDER", help=_("copy the keys too, into this folder")
        )
        parser.add_argument("--json", action="store_true", help=_("print one JSON object"))

    def handle(self, *args: str, folder: Path, with_keys: Path | None, json: bool, **options: object) -> None:
        if with_keys and _is_within(with_keys, folder):
            raise CommandError(_("Keys do not belong next to the database: give another folder."))
        try:
            noted = head()  # before the copy is begun, so that the copy has it
            saved = {"database": str(save_database(folder)), "head": noted}
            if with_keys:
                saved["keys"] = str(save_keys(with_keys))
            # After the copy, which is therefore never the proof of itself; monitoring watches its age.
            details: dict[str, object] = {
                "file": Path(saved["database"]).name,
                "with_keys": with_keys is not None,
            }
            with transaction.atomic():
                record("portal.backed_up", actor=operator(), details=details)
        except (BackupError, OSError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(json_module.dumps(saved) if json else _as_text(saved))


def _is_within(one: Path, other: Path) -> bool:
    first, second = one.resolve(), other.resolve()
    return first.is_relative_to(second) or second.is_relative_to(first)


def _as_text(saved: dict[str, str]) -> str:
    lines = [f"{name}: {value}" for name, value in saved.items()]
    return "\n".join([*lines, _("Note the head elsewhere: verify_audit --expect-head compares with it.")])
