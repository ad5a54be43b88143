"""The scheduler's part: gathers notes, and sends to each channel in a thread of its own."""

import logging
import threading
import uuid
from contextlib import suppress

from django.db import DatabaseError, connections

from portal.notices.delivery import channels_due, deliver
from portal.notices.gathering import gather
from portal.processes.housekeeping import every

logger = logging.getLogger(__name__)
PAUSE = 5.0  # seconds
AT_ONCE = 8
"""Channels that are sent to at the same time; one that hangs keeps only itself waiting."""
_lock = threading.Lock()
_busy: set[uuid.UUID] = set()
"""The channels that this process is sending to."""


@every(PAUSE)
def send_notices() -> int:
    """Gather notes, and begin to send what is due; return how many messages were gathered.

    Sending goes on in other threads: the scheduler's own jobs wait for no receiver.
    """
    gathered = gather()
    for channel in channels_due():
        if _is_free(channel):
            threading.Thread(target=_send, args=(channel,), name="notices", daemon=True).start()
    return gathered


def _is_free(channel: uuid.UUID) -> bool:
    """Take a channel, unless it is being sent to or too many are."""
    with _lock:
        if channel in _busy or len(_busy) >= AT_ONCE:
            return False
        _busy.add(channel)
        return True


def _send(channel: uuid.UUID) -> None:
    try:
        deliver(channel)
    except DatabaseError as error:
        logger.warning("Notices found no database (%s); it is tried again.", type(error).__name__)
    except Exception:  # a defect here must not end it: the next turn may be a better one
        logger.exception("Notices were not sent; it is tried again.")
    finally:
        with suppress(DatabaseError):
            connections.close_all()
        with _lock:
            _busy.discard(channel)
