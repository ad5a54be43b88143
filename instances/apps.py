"""WHERE: Campaign instances, the containers they run on, and how a container is reached."""

from django.apps import AppConfig


class InstancesConfig(AppConfig):
    name = "instances"
