"""WHERE: Campaign instances, the containers they run on, and how a container is reached."""

from django.apps import AppConfig


class InstancesConfig(AppConfig):
    name = "instances"

    def ready(self) -> None:
        from instances import checks, display, metrics  # noqa: F401  # they register themselves
        from instances.pages import exports, seen_exports  # noqa: F401  # they register themselves
        from instances.reaching import taken_keys  # noqa: F401  # they register themselves
