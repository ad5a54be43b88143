"""`check_drift`: whether any file differs from what the portal wrote, or a person accepted."""

import sys
from argparse import ArgumentParser

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from credentials.coverage.drift import Drift, drifted
from credentials.coverage.findings import record_drift
from portal.command_line import add_json, as_json
from portal.no_secrets import Command as SafeCommand
from portal.punctuation import labelled


class Command(SafeCommand):
    help = gettext_lazy(
        "List files that differ from what the portal wrote, or a person accepted, or else saw first. Judged "
        "by what was seen last: `read --all --wait` looks first. The exit code is 1 if any file differs."
    )
    group = "Accounts and secrets"
    summary = gettext_lazy("Whether files were changed since the portal wrote them")

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_json(parser)

    def handle(self, *args: str, json: bool = False, **options: object) -> None:
        record_drift()
        found = drifted()
        if json:
            self.stdout.write(as_json({"drifted": [_as_dict(each) for each in found]}))
        elif found:
            self.stdout.write("\n".join(_line(each) for each in found))
        else:
            self.stdout.write(_("No file differs."))
        if found:
            sys.exit(1)


def _line(drift: Drift) -> str:
    names = ", ".join(str(each.label) for each in drift.differences)
    version = (
        _(" (it is version %(number)s of %(account)s)")
        % {"number": drift.version.number, "account": drift.version.account}
        if drift.version
        else ""
    )
    return labelled(drift.installation.label, f"{names}{version}")


def _as_dict(drift: Drift) -> dict[str, object]:
    return {
        "instance": drift.installation.instance.name,
        "container": drift.installation.container.name,
        "differs": [each.name for each in drift.differences],
        "version": drift.version.number if drift.version else None,
        "account": drift.version.account if drift.version else None,
        "since": drift.seen.at,
        "observation": drift.seen.pk,
    }
