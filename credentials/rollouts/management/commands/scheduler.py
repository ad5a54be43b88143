"""`scheduler`: the reconciler and the hourly housekeeping in a process of their own."""

import os
import signal
import threading
from argparse import ArgumentParser

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from credentials.rollouts import housekeeping, reconciler
from portal.command_line import add_json, as_json
from portal.no_secrets import Command as SafeCommand
from portal.startup import refuse_unsafe_service


class Command(SafeCommand):
    help = gettext_lazy(
        "Look for lost messages and abandoned pushes, remove expired sessions, and log the end of the audit "
        "chain once an hour, until SIGTERM or SIGINT. Workers reconcile too; one of all at a time does it."
    )

    summary = gettext_lazy("Ring again for what was lost, and tidy up hourly, until it is stopped")

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_json(parser)

    def handle(self, *args: str, json: bool = False, **options: object) -> None:
        refuse_unsafe_service()
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        housekeeper = threading.Thread(target=housekeeping.run, args=(stop,), name="housekeeping")
        housekeeper.start()
        said = _("The scheduler runs.")
        self.stdout.write(as_json({"scheduler": "running", "pid": os.getpid()}) if json else said)
        self.stdout.flush()
        reconciler.run(stop)
        housekeeper.join()
