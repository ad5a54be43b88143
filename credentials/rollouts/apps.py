"""Delivering: rollouts, pushes, attempts."""

from django.apps import AppConfig


class RolloutsConfig(AppConfig):
    name = "credentials.rollouts"
    label = "rollouts"

    def ready(self) -> None:
        from credentials.rollouts import reconciler  # noqa: F401  # connects to the worker's signals
