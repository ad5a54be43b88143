"""What web and worker do before they serve: run every check, and stop on an error."""

from django.core import checks


def refuse_unsafe_start() -> None:
    """Raise `SystemExit` with all error messages if a system or database check fails."""
    errors = [message for message in checks.run_checks(databases=["default"]) if message.is_serious()]
    if errors:
        raise SystemExit("The portal does not start:\n" + "\n".join(str(error) for error in errors))
