"""Evidence packs."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class EvidenceConfig(AppConfig):
    name = "credentials.evidence"
    label = "evidence"

    def ready(self) -> None:
        from credentials.evidence import panels  # noqa: F401  # they register themselves
        from credentials.evidence.scopes import MADE
        from portal.audit.labels import EXPORTS, register

        register(groups={"evidence": _("Evidence packs")}, labels={MADE: _("Evidence pack made")})
        EXPORTS.append(MADE)
