"""Delivering: rollouts, pushes, attempts."""

from django.apps import AppConfig


class RolloutsConfig(AppConfig):
    name = "credentials.rollouts"
    label = "rollouts"

    def ready(self) -> None:
        from credentials.rollouts import metrics, reconciler, restored  # noqa: F401  # they connect themselves
