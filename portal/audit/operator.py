"""Who acts when a management command runs."""

import getpass
import os

from portal.audit.trail import Actor


def operator() -> Actor:
    """Return the operating system's user at the command line."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number that has no name
        name = f"user {os.getuid()}"
    return Actor(f"{name} (command line)")
