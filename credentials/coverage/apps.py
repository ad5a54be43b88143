"""What every installation holds, and what it is to hold."""

from django.apps import AppConfig


class CoverageConfig(AppConfig):
    name = "credentials.coverage"
    label = "coverage"

    def ready(self) -> None:
        from credentials.coverage import findings  # noqa: F401  # it registers its hourly job
