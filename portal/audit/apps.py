"""The audit trail as a Django app of its own."""

from django.apps import AppConfig


class AuditConfig(AppConfig):
    name = "portal.audit"
    label = "audit"

    def ready(self) -> None:
        # they register themselves
        from portal.audit import checks, event_words, metrics  # noqa: F401
        from portal.audit.append_only import protection  # noqa: F401
        from portal.audit.chain import kept_head  # noqa: F401
        from portal.audit.signing import heads  # noqa: F401
