"""The portal's keys: which ones there are, and whether this process holds those of its database."""

from django.apps import AppConfig


class KeysConfig(AppConfig):
    name = "portal.keys"
    label = "keys"

    def ready(self) -> None:
        from portal.keys import checks  # registers itself; needs the models
        from portal.keys.gate import gate

        checks.register_secret_key()
        gate.close()
