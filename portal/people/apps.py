"""People: sign-in, users and their roles."""

from django.apps import AppConfig


class PeopleConfig(AppConfig):
    name = "portal.people"
    label = "people"

    def ready(self) -> None:
        from portal.people import proxy, sign_in  # noqa: F401  # they need the models; proxy has a check

        sign_in.connect()
