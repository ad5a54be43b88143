"""Sends what is due. Each message is claimed first, so that two processes send it once.

At least once: a process that dies between the receiver's yes and its own record of it leaves a message that
is sent again, under the same id.
"""

import logging
import time
import uuid
from datetime import timedelta

from django.db.models import F
from django.db.models.functions import Now

from portal.notices.codes import Code
from portal.notices.letters import letter_of
from portal.notices.models import LEASE, Channel, Message
from portal.notices.sending import NotSent, send

logger = logging.getLogger(__name__)
State = Message.State
DELAYS = (60, 300, 900, 3_600, 7_200, 14_400, 28_800, 25_000)
"""Seconds before each further try; together less than a day. After the last one the portal gives up."""
MOST_TRIES = len(DELAYS) + 1
TURN = 20.0  # seconds
"""How long one channel's messages are sent before it is looked again what else is due."""


def channels_due() -> list[uuid.UUID]:
    """Return the channels with messages to send now."""
    return list(Message.objects.due().order_by().values_list("channel", flat=True).distinct())


def deliver(channel_id: uuid.UUID) -> int:
    """Send the due messages of one channel, the oldest first; return how many were taken.

    The first that fails ends the turn: what a channel cannot take now, it is not asked to take again at once.
    """
    sent, ends = 0, time.monotonic() + TURN
    while time.monotonic() < ends:
        due = Message.objects.due().filter(channel=channel_id).order_by("due", "queued")
        pk = due.values_list("pk", flat=True).first()
        if pk is None:
            break
        state = attempt(pk)
        if state == State.SENT:
            sent += 1
        elif state:
            break
    return sent


def attempt(message_id: uuid.UUID) -> str:
    """Try to send one message if it is due; return its new state, empty if somebody else has it."""
    token = uuid.uuid4()
    claim = {"holder": token, "lease_until": Now() + LEASE, "tries": F("tries") + 1}
    if not Message.objects.due().filter(pk=message_id).update(**claim):
        return ""
    message = Message.objects.select_related("channel").get(pk=message_id)
    if message.tries > MOST_TRIES:  # each try ended with its process
        return _settle(message, token, NotSent(Code.INTERNAL))
    return _settle(message, token, _try(message, message.channel))


def _try(message: Message, channel: Channel | None) -> NotSent | None:
    """Return why a message was not sent, or None if it was."""
    if channel is None:
        return NotSent(Code.CHANNEL_OFF)
    try:
        send(letter_of(message), channel)
    except NotSent as error:
        return error
    except Exception:  # a defect must not stop the other messages
        logger.exception("A notice could not be sent.")
        return NotSent(Code.INTERNAL)
    return None


def _settle(message: Message, token: uuid.UUID, problem: NotSent | None) -> str:
    """Write down how a try ended, unless the lease was lost meanwhile; return the state."""
    state, values = _outcome(message.tries, problem)
    free = {"holder": None, "lease_until": None, "put_off": Now()}
    mine = Message.objects.filter(pk=message.pk, holder=token, state__in=Message.WAITING)
    is_mine = mine.update(state=state, **free, **values)
    facts = {"notice": str(message.pk), "channel": message.channel_name, "state": state}
    logger.info("a notice was tried", extra=facts | {"code": problem.code if problem else ""})
    return state if is_mine else ""


def _outcome(tries: int, problem: NotSent | None) -> tuple[str, dict[str, object]]:
    if problem is None:
        return State.SENT, {"code": "", "status": None, "ended": Now()}
    why = {"code": problem.code, "status": problem.status}
    if tries >= MOST_TRIES:
        return State.GAVE_UP, why | {"ended": Now()}
    return State.FAILED, why | {"due": Now() + timedelta(seconds=DELAYS[tries - 1])}
