"""`assign`: makes instances use an account. Nothing is pushed: `rollout` does that."""

from argparse import ArgumentParser

from django.core.management.base import CommandError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from credentials.by_name import active_account, instances_named
from credentials.services import AccountError, assign
from portal.audit.operator import operator
from portal.command_line import add_json, as_json
from portal.no_secrets import Command as SafeCommand


class Command(SafeCommand):
    help = gettext_lazy("Make instances use an account, all or none. Then run `rollout` to deliver it.")
    group = "Accounts and secrets"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("account", help=_("name of an active technical account"))
        parser.add_argument("instance", nargs="+", help=_("names of instances"))
        add_json(parser)

    def handle(
        self, *args: str, account: str, instance: list[str], json: bool = False, **options: object
    ) -> None:
        found, instances = active_account(account), instances_named(instance)
        try:
            assign(account=found, instances=instances, actor=operator())
        except AccountError as error:
            raise CommandError(str(error)) from error
        names = sorted(each.name for each in instances)
        said = ngettext(
            "%(count)s instance uses %(account)s.", "%(count)s instances use %(account)s.", len(names)
        ) % {"count": len(names), "account": found}
        self.stdout.write(as_json({"account": found.name, "instances": names}) if json else said)
