"""What every installation holds, and what it is to hold."""

from django.apps import AppConfig


class CoverageConfig(AppConfig):
    name = "credentials.coverage"
    label = "coverage"

    def ready(self) -> None:
        from credentials.coverage import findings, lines, meanings, panels  # noqa: F401  # they register themselves
        from credentials.coverage.pages import exports  # noqa: F401
