"""Makes messages of notes: those of a kind that came close together are one message to each channel."""

from datetime import timedelta

from django.db import transaction
from django.db.models.functions import Now

from portal.notices.batches import content_of
from portal.notices.kinds import Kind, kind_of
from portal.notices.models import Channel, Message, Note

AT_ONCE = 5_000
"""Notes in one message and one transaction; more of them make another message."""


def gather() -> int:
    """Make messages of the notes that wait for no further ones; return how many messages."""
    kinds = Note.objects.order_by().values_list("kind", flat=True).distinct()
    return sum(_gather(kind) for kind in map(kind_of, kinds) if _is_ready(kind))


def _is_ready(kind: Kind) -> bool:
    """Whether nothing of the kind happened lately, or the first has waited long enough.

    What is later than now was noted before the clock was set back, and waits for nothing.
    """
    notes = Note.objects.filter(kind=kind.code)
    fresh = notes.filter(at__gt=Now() - timedelta(seconds=kind.quiet), at__lte=Now())
    old = notes.filter(at__lte=Now() - timedelta(seconds=kind.longest))
    return not fresh.exists() or old.exists()


@transaction.atomic
def _gather(kind: Kind) -> int:
    """Replace notes by a message to each channel that wants them; without such a channel they just go.

    Locked, so that another process that gathers as well finds them gone.
    """
    notes = list(Note.objects.filter(kind=kind.code).order_by("pk").select_for_update()[:AT_ONCE])
    if not notes:
        return 0
    content = content_of(kind, notes)
    messages = [
        Message(channel=channel, channel_name=channel.name, kind=kind.code, count=len(notes), content=content)
        for channel in Channel.objects.filter(is_on=True)
        if channel.wants(kind.code)
    ]
    Message.objects.bulk_create(messages)
    Note.objects.filter(pk__in=[each.pk for each in notes]).delete()
    return len(messages)
