"""Delivering: rollouts, pushes, attempts."""

from django.apps import AppConfig


class RolloutsConfig(AppConfig):
    name = "credentials.rollouts"
    label = "rollouts"

    def ready(self) -> None:
        # they connect themselves
        from credentials.rollouts import errand, kept, mended, metrics, reconciler, restored, retired  # noqa: F401
        from credentials.rollouts.pages import exports  # noqa: F401
