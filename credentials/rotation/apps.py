"""Replacing an account's secret, from the second secret to the end of the first."""

from django.apps import AppConfig


class RotationConfig(AppConfig):
    name = "credentials.rotation"
    label = "rotation"

    def ready(self) -> None:
        """Register the job, the kinds of notices and what pages below show."""
        # only now are there models
        from credentials.rotation import event_words, notices, panels, policies  # noqa: F401
        from credentials.rotation.pages import exports  # noqa: F401
