"""`assign`: makes instances use an account. Nothing is pushed: `rollout` does that."""

from argparse import ArgumentParser

from django.core.management.base import CommandError

from credentials.by_name import active_account, instances_named
from credentials.services import AccountError, assign
from portal.audit.operator import operator
from portal.command_line import add_json, as_json
from portal.no_secrets import Command as SafeCommand


class Command(SafeCommand):
    help = "Make instances use an account, all or none. Then run `rollout` to deliver it."
    group = "Accounts and secrets"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("account", help="name of an active technical account")
        parser.add_argument("instance", nargs="+", help="names of instances")
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
        said = f"{len(instances)} instances use {found}."
        self.stdout.write(as_json({"account": found.name, "instances": names}) if json else said)
