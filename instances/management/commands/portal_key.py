"""`portal_key`: print the portal's public SSH key; a portal that never had one gets it."""

from argparse import ArgumentParser

from django.core.management.base import CommandError

from instances import portal_key
from portal.no_secrets import Command as SafeCommand


class Command(SafeCommand):
    help = "Print the line for authorized_keys on the containers. A portal that never had a key gets one."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--plain", action="store_true", help="the key alone, without restrict")

    def handle(self, *args: str, plain: bool, **options: object) -> None:
        try:
            portal_key.make_if_none()
            self.stdout.write(portal_key.public_line() if plain else portal_key.authorized_line())
        except (OSError, portal_key.KeyNotUsable) as error:
            raise CommandError(f"The portal's SSH key cannot be used: {error}") from error
