"""Seeing what containers hold."""

from django.apps import AppConfig


class DiscoveryConfig(AppConfig):
    name = "instances.discovery"
    label = "discovery"

    def ready(self) -> None:
        from instances.discovery import dismissals, errand  # noqa: F401  # they register themselves
