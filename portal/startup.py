"""What web and worker do before they serve: run every check, and stop on an error."""

import sys

from django.core import checks

from portal.audit import kept_head

REFUSED = 3
"""Exit status. Gunicorn takes it for a worker that cannot boot, and ends; after another it tries for ever."""


def refuse_unsafe_start() -> None:
    """Print all error messages and raise `SystemExit` if a system or database check fails."""
    errors = [
        message
        for message in checks.run_checks(databases=["default"], include_deployment_checks=True)
        if message.is_serious()
    ]
    if errors:
        sys.stderr.write("The portal does not start:\n" + "\n".join(map(str, errors)) + "\n")
        raise SystemExit(REFUSED)
    kept_head.begin()
