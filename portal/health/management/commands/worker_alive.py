"""`worker_alive`: for the health check of a worker's container. A worker has no port that could be asked."""

import socket
from argparse import ArgumentParser

from django.core.management.base import CommandError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from portal.command_line import add_json, as_json
from portal.health.models import Worker
from portal.no_secrets import Command as SafeCommand


class Command(SafeCommand):
    help = gettext_lazy(
        "The exit code is 0 only if a worker of this machine was seen within three heartbeats."
    )
    requires_system_checks: list[str] = []

    summary = gettext_lazy("Say by the exit code whether a worker of this machine runs; for health checks")

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_json(parser)

    def handle(self, *args: str, json: bool = False, **options: object) -> None:
        here = Worker.objects.at_work().filter(name__startswith=f"{socket.gethostname()}:")
        names = [each.name for each in here]
        if json:
            self.stdout.write(as_json({"workers": names}))
        if not names:
            raise CommandError(_("No worker of this machine was seen lately."))
