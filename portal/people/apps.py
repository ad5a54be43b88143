"""People: sign-in, users and their roles."""

from django.apps import AppConfig


class PeopleConfig(AppConfig):
    name = "portal.people"
    label = "people"

    def ready(self) -> None:
        # they need the models; proxy has a check, sessions an hourly job, exports lists, panels a link
        from django.contrib.auth.models import User

        from portal.audit import labels
        from portal.people import exports, panels, proxy, sessions  # noqa: F401
        from portal.people.signing_in import sign_in

        sign_in.connect()
        labels.page_of("user", "user", User.objects, permission="auth.change_user")
