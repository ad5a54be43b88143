"""`start`: the whole portal on one machine (web server, worker and scheduler), as `make start` runs it."""

import os
import sys
from argparse import ArgumentParser
from contextlib import suppress
from io import StringIO
from pathlib import Path

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from portal.no_secrets import Command as SafeCommand
from portal.private_files import folder
from portal.startup import refuse_unsafe_start
from portal.supervisor import Program, Supervisor, wait_for_port

LOOPBACK = {"127.0.0.1", "::1", "localhost"}


def prepare() -> None:
    """Bring database, roles, static files and the portal's SSH key up to date; safe to repeat."""
    call_command("migrate", verbosity=0)
    refuse_unsafe_start()
    call_command("sync_roles", verbosity=0)
    call_command("collectstatic", interactive=False, verbosity=0)
    call_command("portal_key", stdout=StringIO())  # an older release made none until it was asked for


def programs(address: str, port: int, *, pushes: int) -> list[Program]:
    """Return web server, worker (for this number of pushes at once) and scheduler as programs to supervise.

    Their logs lie below PORTAL_HOME.
    """
    logs = folder(Path(settings.PORTAL_HOME) / "logs")
    environment = {
        **os.environ,
        "PORTAL_HOME": str(settings.PORTAL_HOME),
        "PUSHES_PER_WORKER": str(pushes),
    }
    web = [sys.executable, "-m", "portal.webserver"]
    web += ["--bind", f"{address}:{port}"]
    worker = [sys.executable, "-m", "celery", "-A", "portal", "--quiet", "worker", "--pool", "threads"]
    worker += ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "INFO"]
    scheduler = [sys.executable, str(settings.BASE_DIR / "manage.py"), "scheduler"]
    return [
        Program("web server", web, logs / "web.log", environment),
        Program("worker", worker, logs / "worker.log", environment),
        Program("scheduler", scheduler, logs / "scheduler.log", environment),
    ]


class Command(SafeCommand):
    help = gettext_lazy(
        "Run the portal on this machine: web server, worker and scheduler, with everything they write below "
        "PORTAL_HOME."
    )

    summary = gettext_lazy("Run the whole portal on this machine, as make start does")

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--address", default="127.0.0.1", help=_("address to listen on (default 127.0.0.1)")
        )
        parser.add_argument("--port", type=int, default=8000, help=_("port to listen on (default 8000)"))
        parser.add_argument(
            "--pushes",
            type=int,
            default=settings.PUSHES_PER_WORKER,
            help=_("containers pushed to at once (default: PUSHES_PER_WORKER, 32)"),
        )

    def handle(self, *args: str, address: str, port: int, pushes: int, **options: object) -> None:
        if address not in LOOPBACK and not settings.HTTPS:
            raise CommandError(
                _("Other machines may reach the portal only by TLS: set ALLOWED_HOSTS and HTTPS.")
            )
        prepare()
        call_command("create_admin", if_none=True)
        supervisor = Supervisor(programs(address, port, pushes=pushes))
        supervisor.start()
        try:
            wait_for_port(address, port, 60, supervisor.programs[0])
            self.stdout.write(
                _("The portal runs at http://%(address)s:%(port)s/ (Ctrl-C ends it).")
                % {"address": address, "port": port}
            )
            self.stdout.write(
                _("Everything it writes lies below %(portal_home)s; back that folder up.")
                % {"portal_home": settings.PORTAL_HOME}
            )
            self.stdout.flush()
            supervisor.watch()
        except RuntimeError as error:
            raise CommandError(str(error)) from error
        finally:
            with suppress(BrokenPipeError):  # whatever becomes of the output, the programs are stopped
                self.stdout.write(_("Stopping; a push that runs is allowed to end."))
            supervisor.stop()
