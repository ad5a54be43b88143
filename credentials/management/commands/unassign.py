"""`unassign`: lets instances use no account any more. What their containers hold stays there."""

from argparse import ArgumentParser

from django.core.management.base import CommandError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from credentials.by_name import instances_named
from credentials.services import AccountError, unassign
from portal.audit.operator import operator
from portal.command_line import add_json, as_json
from portal.no_secrets import Command as SafeCommand


class Command(SafeCommand):
    help = gettext_lazy(
        "Let instances use no account any more, all or none. What their containers hold stays there, and "
        "pushes that are queued for them end unsent."
    )
    group = "Accounts and secrets"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("instance", nargs="+", help=_("names of instances"))
        parser.add_argument("--reason", required=True, help=_("kept in the history"))
        add_json(parser)

    def handle(
        self, *args: str, instance: list[str], reason: str, json: bool = False, **options: object
    ) -> None:
        found = instances_named(instance)
        try:
            changed = unassign(instances=found, actor=operator(), message=reason[:250])
        except AccountError as error:
            raise CommandError(str(error)) from error
        names = sorted(each.name for each in found)
        said = (
            ngettext(
                "%s instance used an account, and uses none now.",
                "%s instances used an account, and use none now.",
                changed,
            )
            % changed
        )
        self.stdout.write(as_json({"instances": names, "changed": changed}) if json else said)
