"""`sync_roles`: brings Django's groups in step with `portal/roles.py`."""

from portal.no_secrets import Command as SafeCommand
from portal.people.services import sync_roles


class Command(SafeCommand):
    help = "Give the groups Admin, Helpdesk and Auditor exactly the permissions of portal/roles.py."

    def handle(self, *args: str, verbosity: int = 1, **options: object) -> None:
        for role, count in sync_roles().items():
            if verbosity:
                self.stdout.write(f"{role}: {count} permissions")
