"""WHAT: technical accounts and their encrypted client secrets."""

from django.apps import AppConfig


class CredentialsConfig(AppConfig):
    name = "credentials"

    def ready(self) -> None:
        from credentials import checks  # noqa: F401  # registers itself; needs the models
