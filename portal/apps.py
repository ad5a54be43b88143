"""Registers the checks that refuse unsafe settings, and the net below all entrances for secrets."""

from django.apps import AppConfig
from django.db.backends.signals import connection_created


class PortalConfig(AppConfig):
    name = "portal"

    def ready(self) -> None:
        from portal import checks, no_secrets  # noqa: F401  # checks register themselves; need the app registry
        from portal.database import is_back

        connection_created.connect(no_secrets.guard, dispatch_uid="portal.no_secrets")
        connection_created.connect(is_back, dispatch_uid="portal.database")
