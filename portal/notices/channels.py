"""What admins do with channels and messages: edit, remove, new signing key, test, send again."""

from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from portal.audit.names import PersonName
from portal.audit.trail import Actor, record
from portal.notices.addresses import shown
from portal.notices.codes import Code
from portal.notices.kinds import TEST
from portal.notices.models import Channel, Message
from portal.notices.signing import newest


class ChannelError(Exception):
    """A change that the rules refuse; the text is for the person who asked."""


def _as_recorded(channel: Channel) -> dict[str, object]:
    """Return what the history says of a channel."""
    kinds = ["*"] if channel.wants_all else sorted(channel.kinds)
    return {
        "name": channel.name,
        "way": channel.way,
        "address": PersonName(shown(channel)) if channel.way == Channel.Way.MAIL else shown(channel),
        "kinds": kinds,
        "language": channel.language,
        "is_on": channel.is_on,
    }


def save_channel(channel: Channel, *, actor: Actor) -> Channel:
    """Store a new or edited channel. What still waits for one that is off is given up.

    `ChannelError` if another channel took its name meanwhile.
    """
    try:
        with transaction.atomic():
            return _save(channel, actor)
    except IntegrityError:
        raise ChannelError(_("Another channel has this name.")) from None


def _save(channel: Channel, actor: Actor) -> Channel:
    former = Channel.objects.select_for_update().filter(pk=channel.pk).first()
    if former is None:
        channel.key_of = newest()
        channel.save(force_insert=True)
        record("notice_channel.created", actor=actor, target=channel, details=_as_recorded(channel))
        return channel
    channel.key_number, channel.key_of = former.key_number, former.key_of
    channel.save()
    if not channel.is_on:
        _give_up(channel)
    before, after = _as_recorded(former), _as_recorded(channel)
    changes: dict[str, object] = {
        name: [before[name], after[name]] for name in after if before[name] != after[name]
    }
    if former.address != channel.address and "address" not in changes:
        changes["path"] = ["…", "…"]  # of a web address that may hold a token
    if changes:
        record("notice_channel.changed", actor=actor, target=channel, details={"changes": changes})
    return channel


def _give_up(channel: Channel) -> None:
    waiting = Message.objects.waiting().filter(channel=channel)
    waiting.update(state=Message.State.GAVE_UP, code=Code.CHANNEL_OFF, ended=Now(), holder=None)


@transaction.atomic
def remove_channel(channel: Channel, *, actor: Actor) -> None:
    """Remove a channel. Its messages stay, with its name; what still waits is given up."""
    _give_up(channel)
    record("notice_channel.removed", actor=actor, target=channel, details=_as_recorded(channel))
    channel.delete()


@transaction.atomic
def make_new_key(channel: Channel, *, after: str, actor: Actor) -> Channel:
    """Give a webhook another signing key; the former one signs nothing any more.

    `after` is the number of the key that the person saw: `ChannelError` if somebody made one since.
    """
    row = Channel.objects.select_for_update().get(pk=channel.pk)
    if str(row.key_number) != after:
        raise ChannelError(_("Someone else has just made a new signing key. Find out who has it first."))
    row.key_number, row.key_of = row.key_number + 1, newest()
    row.save(update_fields=["key_number", "key_of"])
    record("notice_channel.key_made", actor=actor, target=row, details={"number": row.key_number})
    return row


@transaction.atomic
def ask_test(channel: Channel, *, actor: Actor) -> Message:
    """Queue a test message; `ChannelError` if the channel is off."""
    if not channel.is_on:
        raise ChannelError(_("This channel is off: switch it on first."))
    message = Message.objects.create(channel=channel, channel_name=channel.name, kind=TEST)
    record("notice_channel.test_asked", actor=actor, target=channel)
    return message


@transaction.atomic
def send_again(message: Message, *, actor: Actor) -> None:
    """Queue a message anew, whatever became of it, under the same id; `ChannelError` if it cannot be."""
    row = Message.objects.select_for_update(of=("self",)).select_related("channel").get(pk=message.pk)
    if row.channel is None or not row.channel.is_on:
        raise ChannelError(_("Its channel is off, or was removed."))
    if row.state == Message.State.QUEUED:
        raise ChannelError(_("It is already queued."))
    if row.holder and Message.objects.filter(pk=row.pk, lease_until__gt=Now()).exists():
        raise ChannelError(_("It is being sent now."))
    fresh = {"state": Message.State.QUEUED, "tries": 0, "code": "", "status": None, "ended": None}
    Message.objects.filter(pk=row.pk).update(**fresh, due=Now(), put_off=Now(), holder=None, lease_until=None)
    record("notice.resent", actor=actor, target=row, details={"channel": row.channel_name, "was": row.state})
