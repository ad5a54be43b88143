"""Notices by mail and webhook."""

from django.apps import AppConfig


class NoticesConfig(AppConfig):
    name = "portal.notices"
    label = "notices"

    def ready(self) -> None:
        from portal.notices import kept, metrics, restored, shown, signed_heads, turns  # noqa: F401  # they register themselves; need the models
        from portal.notices.pages import exports  # noqa: F401
