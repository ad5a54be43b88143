"""The lists of channels and of messages as files."""

from collections.abc import Iterator, Sequence
from uuid import UUID

from django.utils.translation import gettext_lazy

from portal.notices.addresses import shown
from portal.notices.models import Channel, Message
from portal.web.exports import Export, Row, in_order, register, values

CHANNEL = ("way", "wants_all", "kinds", "language", "is_on")
MESSAGE = ("kind", "count", "state", "code", "status", "tries", "queued", "due", "ended")


def _channel_rows(keys: Sequence[UUID]) -> Iterator[Row]:
    """Yield channels with their addresses as pages show them: the path of a web address may hold a token."""
    for channel in in_order(Channel.objects.all(), keys):
        yield {"channel": channel.name, "address": shown(channel), **values(channel, CHANNEL)}


def _message_rows(keys: Sequence[UUID]) -> Iterator[Row]:
    for message in in_order(Message.objects.defer("content"), keys):
        yield {"message": message.pk, "channel": message.channel_name, **values(message, MESSAGE)}


register(
    Export(
        name="notice_channels",
        title=gettext_lazy("Channels"),
        permission="notices.manage_notices",
        columns=("channel", "address", *CHANNEL),
        select=lambda _form: Channel.objects.all(),
        rows=_channel_rows,
    )
)
register(
    Export(
        name="notices",
        title=gettext_lazy("Notices"),
        permission="notices.manage_notices",
        columns=("message", "channel", *MESSAGE),
        select=lambda _form: Message.objects.all(),
        rows=_message_rows,
    )
)
