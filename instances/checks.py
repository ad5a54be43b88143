"""System checks of the inventory's room."""

from pathlib import Path

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from instances import ssh


@register()
def usable_ssh_key(**_: object) -> list[CheckMessage]:
    """Return an error if the portal's SSH key is there and can never log in anywhere: every push would fail.

    A file that is missing or not readable is no error here: a process that never connects may go without.
    """
    try:
        ssh.load_private_key(Path(settings.SSH_KEY_PATH))
    except OSError:
        return []
    except ssh.UnusableKey as error:
        return [
            Error(
                f"The portal's SSH key in {settings.SSH_KEY_PATH} cannot be used: {error}.",
                hint="Correct the file, or let SSH_KEY_PATH name the right one.",
                id="instances.E001",
            )
        ]
    return []
