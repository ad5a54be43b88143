"""`portal_key`: print the portal's public SSH key; a portal that never had one gets it."""

from argparse import ArgumentParser

from django.core.management.base import CommandError

from instances.reaching import portal_key
from portal.command_line import add_json, as_json
from portal.no_secrets import Command as SafeCommand


class Command(SafeCommand):
    help = "Print the line for authorized_keys on the containers. A portal that never had a key gets one."

    group = "Inventory"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--plain", action="store_true", help="the key alone, without restrict")
        add_json(parser)

    def handle(self, *args: str, plain: bool, json: bool = False, **options: object) -> None:
        try:
            portal_key.make_if_none()
            key, line = portal_key.public_line(), portal_key.authorized_line()
        except (OSError, portal_key.KeyNotUsable) as error:
            raise CommandError(f"The portal's SSH key cannot be used: {error}") from error
        said = key if plain else line
        self.stdout.write(as_json({"key": key, "authorized_keys": line}) if json else said)
