"""`worker_alive`: for the health check of a worker's container. A worker has no port that could be asked."""

import socket

from django.core.management.base import CommandError

from portal.health.models import Worker
from portal.no_secrets import Command as SafeCommand


class Command(SafeCommand):
    help = "The exit code is 0 only if a worker of this machine was seen within three heartbeats."
    requires_system_checks: list[str] = []

    def handle(self, *args: str, **options: object) -> None:
        here = Worker.objects.at_work().filter(name__startswith=f"{socket.gethostname()}:")
        if not here.exists():
            raise CommandError("No worker of this machine was seen lately.")
