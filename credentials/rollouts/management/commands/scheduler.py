"""`scheduler`: the reconciler and the hourly housekeeping in a process of their own."""

import signal
import threading

from credentials.rollouts import housekeeping, reconciler
from portal.no_secrets import Command as SafeCommand
from portal.startup import refuse_unsafe_service


class Command(SafeCommand):
    help = (
        "Look for lost messages and abandoned pushes, remove expired sessions, and log the end of the audit "
        "chain once an hour, until SIGTERM or SIGINT. Workers reconcile too; one of all at a time does it."
    )

    def handle(self, *args: str, **options: object) -> None:
        refuse_unsafe_service()
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        housekeeper = threading.Thread(target=housekeeping.run, args=(stop,), name="housekeeping")
        housekeeper.start()
        self.stdout.write("The scheduler runs.")
        self.stdout.flush()
        reconciler.run(stop)
        housekeeper.join()
