"""WHAT: technical accounts and their encrypted client secrets."""

from django.apps import AppConfig
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class CredentialsConfig(AppConfig):
    name = "credentials"

    def ready(self) -> None:
        # they register themselves; need the models
        from credentials.accounts import exports  # noqa: F401
        from credentials.help import panels as help_panels  # noqa: F401
        from credentials.keys import checks  # noqa: F401  # they register themselves; need the models
        from credentials.search import panels as search_panels  # noqa: F401
        from credentials.shown import display, event_words, panels, sights  # noqa: F401
        from instances import needs

        needs.register("account", _("No account"), instance=~Q(assignment__account__state="active"))
