"""People: sign-in, users and their roles."""

from django.apps import AppConfig


class PeopleConfig(AppConfig):
    name = "portal.people"
    label = "people"

    def ready(self) -> None:
        # they need the models; proxy has a check, sessions an hourly job
        from portal.people import proxy, sessions  # noqa: F401
        from portal.people.signing_in import sign_in

        sign_in.connect()
