"""Seeing what containers hold."""

from django.apps import AppConfig


class DiscoveryConfig(AppConfig):
    name = "instances.discovery"
    label = "discovery"

    def ready(self) -> None:
        # they register themselves, and need the models
        from instances.discovery import dismissals, errand, kept, schedule  # noqa: F401
