"""The audit trail as a Django app of its own."""

from django.apps import AppConfig


class AuditConfig(AppConfig):
    name = "portal.audit"
    label = "audit"

    def ready(self) -> None:
        from portal.audit import (  # noqa: F401  # they register themselves
            checks,
            event_words,
            kept_head,
            metrics,
            protection,
        )
