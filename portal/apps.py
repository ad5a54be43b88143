"""Registers the checks that refuse unsafe settings."""

from django.apps import AppConfig


class PortalConfig(AppConfig):
    name = "portal"

    def ready(self) -> None:
        from portal import checks  # noqa: F401  # registers itself; needs the app registry
