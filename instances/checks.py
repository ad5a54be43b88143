"""System checks of the inventory's room."""

from pathlib import Path

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register  # noqa: A004  # Django's name

from instances import ssh

MOST_KEYS = 2


@register()
def usable_ssh_key(**_: object) -> list[CheckMessage]:
    """Return an error if the portal's SSH key is there and can never log in anywhere: every push would fail.

    A file that is missing or not readable is no error here: a process that never connects may go without.
    What is wrong in a file with a key of use is a warning: that key is offered.
    """
    place = f"The portal's SSH key in {settings.SSH_KEY_PATH}"
    try:
        keys, flaws = ssh.load_private_keys(Path(settings.SSH_KEY_PATH))
    except OSError:
        return []
    except ssh.UnusableKey as error:
        return [
            Error(
                f"{place} cannot be used: {error}.",
                hint="Correct the file, or let SSH_KEY_PATH name the right one.",
                id="instances.E001",
            )
        ]
    found: list[CheckMessage] = [
        Warning(f"{place}: {flaw}.", hint="The other key is in use.", id="instances.W001") for flaw in flaws
    ]
    if len(keys) > MOST_KEYS:
        text = f"{place}: it holds {len(keys)} keys; servers are offered the first and the last."
        found.append(Warning(text, hint="Keep the newest and the former one.", id="instances.W002"))
    return found
