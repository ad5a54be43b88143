"""Which keys the running processes hold, by fingerprint: each one that serves notes it every few seconds.

A key is replaced while the portal works: first every process gets the new key as well, then the portal
moves to it. A process that was forgotten could not read what is encrypted under the new key, or would go
on sealing the history with the former one. So the move asks here first.
"""

import logging
import os
import socket
import threading
from contextlib import suppress

from django.conf import settings
from django.db import DatabaseError, connections
from django.db.models.functions import Now
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from portal.health.models import Worker
from portal.keys import known
from portal.keys.models import KeyHolder
from portal.keys.registry import Key, registered

logger = logging.getLogger(__name__)


def begin() -> None:
    """Begin to note every few seconds, in a thread of its own, which keys this process holds."""
    threading.Thread(target=_go_on, name="key-holder", daemon=True).start()


def _go_on() -> None:
    pause = threading.Event()
    while True:
        try:
            say()
        except DatabaseError as error:
            logger.debug("The keys of this process were not noted (%s).", type(error).__name__)
        finally:
            with suppress(DatabaseError):
                connections.close_all()
        pause.wait(settings.RECONCILE_INTERVAL)


def say() -> None:
    """Note which keys this process holds."""
    held = {key.name: key.held() for key in registered()}
    KeyHolder.objects.update_or_create(name=my_name(), defaults={"keys": held, "seen": Now()})


def my_name() -> str:
    """Return this process's name, as its heartbeat has it if it is a worker."""
    return f"{socket.gethostname()}:{os.getpid()}"


def lacking(key: Key) -> list[str]:
    """Return the names of the running processes that do not hold the newest key of this process.

    One that holds none of a key that is optional does without it.
    """
    newest = key.held()[0]
    holders = {each.name: each for each in KeyHolder.objects.at_work()}
    silent = Worker.objects.at_work().exclude(name__in=holders)  # of an older release
    held = {name: each.keys.get(key.name, []) for name, each in holders.items()}
    without = [name for name, keys in held.items() if newest not in keys and (keys or not key.is_optional)]
    return sorted([*without, *silent.values_list("name", flat=True)])


def refuse_while_lacking(key: Key) -> None:
    """Raise `KeysRefused` while a process runs that does not hold the newest key of this process."""
    if names := lacking(key):
        text = ngettext(
            "%(setting)s: the new key %(new)s is not held by %(count)s running process: %(names)s.",
            "%(setting)s: the new key %(new)s is not held by %(count)s running processes: %(names)s.",
            len(names),
        ) % {"setting": key.setting, "new": key.held()[0], "count": len(names), "names": ", ".join(names)}
        text += _(
            " Nothing was changed. Give it to all, restart them, and try again. (With Compose: "
            "docker-compose up -d --force-recreate; `up -d` alone does not notice changed files.) A process "
            "that has ended is forgotten within a minute."
        )
        raise known.KeysRefused([text])
