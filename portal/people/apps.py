"""People: sign-in, users and their roles."""

from django.apps import AppConfig


class PeopleConfig(AppConfig):
    name = "portal.people"
    label = "people"

    def ready(self) -> None:
        from portal.people import sign_in  # needs the models

        sign_in.connect()
