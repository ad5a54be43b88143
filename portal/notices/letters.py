"""The words of a message, made when it is sent or shown."""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.utils import translation

from portal.notices.batches import batch_of
from portal.notices.kinds import Batch, Words, kind_of
from portal.notices.models import Message
from portal.plaintext import cut_out
from portal.punctuation import labelled

logger = logging.getLogger(__name__)
SUBJECT = 160  # characters
LINE = 600
LINES = 20
_INVISIBLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]+")

_HARMLESS = str.maketrans("<>@", "\u2039\u203a\uff20")
"""What chat tools obey, and signs that look like it."""


@dataclass(frozen=True)
class Letter:
    """What is sent, by whichever way. `link` is an address if the portal knows its own, else a path."""

    id: str
    kind: str
    subject: str
    lines: Sequence[str]
    link: str
    count: int
    facts: Mapping[str, object]
    at: datetime

    @property
    def text(self) -> str:
        """All of it as plain text, as chat tools show it."""
        return "\n".join(filter(None, [self.subject, *self.lines, self.link]))


def letter_of(message: Message) -> Letter:
    """Return the words of a message, in the language of its channel.

    A defect in a room's words does not keep it from being sent.
    """
    channel = message.channel
    with translation.override(channel.language if channel else settings.LANGUAGE_CODE):
        return _letter_of(message)


def _letter_of(message: Message) -> Letter:
    batch = batch_of(message)
    words = _words(message.kind, batch)
    return Letter(
        id=str(message.pk),
        kind=message.kind,
        subject=plain(words.subject, SUBJECT),
        lines=[plain(line, LINE) for line in words.lines[:LINES]],
        link=absolute(words.link) or _link(batch),
        count=message.count,
        facts=_of(batch),
        at=message.queued,
    )


def _words(code: str, batch: Batch) -> Words:
    try:
        return kind_of(code).words(batch)
    except Exception:
        logger.exception("The words of notices of the kind %s could not be made.", code)
        return Words(labelled(code, batch.count), [batch.names])


def plain(text: object, most: int) -> str:
    """Return one line without secrets and invisible characters, and with nothing that a chat tool obeys.

    Names come from inventories and people; `<!channel>` in one of them would call everybody.
    """
    line = " ".join(_INVISIBLE.sub(" ", cut_out(str(text))).split())
    line = line.translate(_HARMLESS)
    return line if len(line) <= most else f"{line[: most - 1]}…"


def _link(batch: Batch) -> str:
    """Return where to look: the page of the one thing, or the one that all of them name."""
    links = {each.link for each in batch.first}
    return absolute(links.pop()) if len(links) == 1 else ""


def absolute(path: str) -> str:
    """Return the address of one of the portal's pages; its path where the portal's address is not known."""
    return f"{settings.PORTAL_URL.rstrip('/')}{path}" if path else ""


def _of(batch: Batch) -> dict[str, Any]:  # Any: plain JSON values
    first = [
        {
            "subject": each.subject,
            "details": each.details,
            "link": absolute(each.link),
            "time": each.at.isoformat() if each.at else None,
        }
        for each in batch.first
    ]
    return {"first": first, "counts": batch.tally}
