"""WHAT: technical accounts and their encrypted client secrets."""

from django.apps import AppConfig


class CredentialsConfig(AppConfig):
    name = "credentials"

    def ready(self) -> None:
        from credentials import checks, event_words  # noqa: F401  # they register themselves; need the models
