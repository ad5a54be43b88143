"""Seeing what containers hold."""

from django.apps import AppConfig


class DiscoveryConfig(AppConfig):
    name = "instances.discovery"
    label = "discovery"

    def ready(self) -> None:
        from instances.discovery import errand  # noqa: F401  # it registers itself; needs the models
