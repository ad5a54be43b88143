"""`assign`: makes instances use an account. Nothing is pushed: `rollout` does that."""

from argparse import ArgumentParser

from django.core.management.base import CommandError

from credentials.models import TechnicalAccount
from credentials.services import AccountError, assign
from instances.models import Instance
from portal.audit.operator import operator
from portal.no_secrets import Command as SafeCommand


class Command(SafeCommand):
    help = "Make instances use an account, all or none. Then run `rollout` to deliver it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("account", help="name of an active technical account")
        parser.add_argument("instance", nargs="+", help="names of instances")

    def handle(self, *args: str, account: str, instance: list[str], **options: object) -> None:
        found = TechnicalAccount.objects.filter(name=account, state=TechnicalAccount.State.ACTIVE).first()
        if found is None:
            raise CommandError(f"There is no active account {account}.")
        instances = list(Instance.objects.filter(name__in=instance))
        missing = sorted(set(instance) - {each.name for each in instances})
        if missing:
            raise CommandError(f"Not in the inventory: {', '.join(missing)}.")
        try:
            assign(account=found, instances=instances, actor=operator())
        except AccountError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{len(instances)} instances use {found}.")
