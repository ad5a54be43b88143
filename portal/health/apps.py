"""What an operator sees: is it alive, is it ready, how does it go."""

from django.apps import AppConfig


class HealthConfig(AppConfig):
    name = "portal.health"
    label = "health"

    def ready(self) -> None:
        from portal.health import checks, workers  # noqa: F401  # they register themselves
