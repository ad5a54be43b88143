"""Who acts when a management command runs."""

import getpass
import os

from django.utils.translation import gettext as _

from portal.audit.trail import Actor

AT_COMMAND_LINE = " (command line)"
"""What is kept behind the name, in every language."""


def operator() -> Actor:
    """Return the operating system's user at the command line."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number that has no name
        name = f"user {os.getuid()}"
    return Actor(f"{name}{AT_COMMAND_LINE}")


def in_words(name: str) -> str:
    """Return a kept name as people read it."""
    if not name.endswith(AT_COMMAND_LINE):
        return name
    return _("%(name)s (command line)") % {"name": name.removesuffix(AT_COMMAND_LINE)}
