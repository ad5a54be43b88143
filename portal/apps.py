"""Makes the places that a process writes to, and registers the checks and the net that keeps secrets out."""

from django.apps import AppConfig
from django.db.backends.signals import connection_created


class PortalConfig(AppConfig):
    name = "portal"

    def ready(self) -> None:
        from portal import checks, no_secrets  # noqa: F401  # checks register themselves; need the app registry
        from portal.places import make_places
        from portal.processes.database import is_back

        make_places()
        connection_created.connect(no_secrets.guard, dispatch_uid="portal.no_secrets")
        connection_created.connect(is_back, dispatch_uid="portal.database")
