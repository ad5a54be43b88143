"""`sync_roles`: brings Django's groups in step with `portal/roles.py`."""

from argparse import ArgumentParser

from django.utils.translation import gettext_lazy, ngettext

from portal.command_line import add_json, as_json
from portal.no_secrets import Command as SafeCommand
from portal.people.services import sync_roles


class Command(SafeCommand):
    help = gettext_lazy(
        "Give the groups Admin, Helpdesk and Auditor exactly the permissions of portal/roles.py."
    )

    group = "People"

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_json(parser)

    def handle(self, *args: str, verbosity: int = 1, json: bool = False, **options: object) -> None:
        counts = sync_roles()
        if json:
            self.stdout.write(as_json({"roles": counts}))
            return
        for role, count in counts.items():
            if verbosity:
                self.stdout.write(
                    ngettext("%(role)s: %(count)s permission", "%(role)s: %(count)s permissions", count)
                    % {"role": role, "count": count}
                )
