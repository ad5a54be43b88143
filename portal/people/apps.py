"""People: sign-in, users and their roles."""

from django.apps import AppConfig


class PeopleConfig(AppConfig):
    name = "portal.people"
    label = "people"

    def ready(self) -> None:
        # they need the models; proxy has a check, sessions an hourly job
        from portal.people import proxy, sessions, sign_in  # noqa: F401

        sign_in.connect()
