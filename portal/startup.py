"""What web server, worker and scheduler do before they serve: run every check, and stop on an error."""

import logging
import sys
from collections.abc import Collection

from django.core import checks

from portal.audit.chain import kept_head
from portal.exit_status import REFUSED
from portal.keys.gate import gate

logger = logging.getLogger(__name__)


def refuse_unsafe_start() -> None:
    """Print all error messages and raise `SystemExit` if a system or database check fails."""
    _refuse_if(checks.run_checks(databases=["default"], include_deployment_checks=True))
    kept_head.begin()


def refuse_unsafe_service(*, needed_keys: Collection[str] = ()) -> None:
    """End a process that must not serve, now or as soon as the database shows it.

    A database that is away holds nobody up: its checks wait in the gate, and so does every write.
    """
    _refuse_if(checks.run_checks())
    gate.serve(needed=needed_keys, also=_database_problems, begun=kept_head.begin)


def _database_problems() -> list[str]:
    tags = [checks.Tags.database]
    found = checks.run_checks(tags=tags, databases=["default"], include_deployment_checks=True)
    return [str(message) for message in found if message.is_serious()]


def _refuse_if(messages: list[checks.CheckMessage]) -> None:
    for message in messages:
        if message.id == "portal.W024":  # a setting that nobody reads: the one that was meant has its default
            logger.warning("%s %s", message.msg, message.hint)
    errors = [message for message in messages if message.is_serious()]
    if errors:
        sys.stderr.write("The portal does not start:\n" + "\n".join(map(str, errors)) + "\n")
        raise SystemExit(REFUSED)
