"""`notices`: channels and messages, a test message, and sending again."""

import sys
from argparse import ArgumentParser
from uuid import UUID

from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, override, pgettext

from portal.audit.operator import operator
from portal.command_line import add_json, as_json, moment, named, table, wrong_call
from portal.no_secrets import Command as SafeCommand
from portal.notices import channels
from portal.notices.addresses import shown
from portal.notices.channels import ChannelError
from portal.notices.delivery import attempt
from portal.notices.letters import letter_of
from portal.notices.models import Channel, Message

LAST = 20
HEADINGS = (
    gettext_lazy("ID"),
    gettext_lazy("CHANNEL"),
    gettext_lazy("STATE"),
    gettext_lazy("CODE"),
    gettext_lazy("TRIES"),
    gettext_lazy("QUEUED"),
    gettext_lazy("SUBJECT"),
)
CHANNEL_HEADINGS = (
    gettext_lazy("CHANNEL"),
    gettext_lazy("BY"),
    gettext_lazy("ADDRESS"),
    gettext_lazy("KINDS"),
    gettext_lazy("STATE"),
)


class Command(SafeCommand):
    help = gettext_lazy(
        "List the channels of notices and the last messages. --test CHANNEL sends a test message at once, "
        "--resend ID sends a message once more. The exit code is 0 only if no message was given up, and what "
        "was asked for was sent."
    )
    summary = gettext_lazy("Who is told what, and what became of messages; sends a test message")

    def add_arguments(self, parser: ArgumentParser) -> None:
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--test", metavar="CHANNEL", help=_("send a test message to this channel"))
        what.add_argument("--resend", metavar="ID", help=_("send this message once more"))
        add_json(parser)

    def handle(
        self, *args: str, test: str | None, resend: str | None, json: bool = False, **options: object
    ) -> None:
        try:
            if test:
                channel = named(Channel.objects.all(), test, _("There is no channel %s."))
                shown_messages = [_tried(channels.ask_test(channel, actor=operator()))]
            elif resend:
                shown_messages = [_resent(resend)]
            else:
                shown_messages = list(Message.objects.all()[:LAST])
        except ChannelError as error:
            raise wrong_call(str(error)) from None
        self._say(shown_messages, json=json, only_messages=bool(test or resend))
        if not _is_well(shown_messages, asked=bool(test or resend)):
            sys.exit(1)

    def _say(self, found: list[Message], *, json: bool, only_messages: bool) -> None:
        known = [] if only_messages else list(Channel.objects.all())
        if json:
            answer = {"channels": [_channel_facts(each) for each in known]} if not only_messages else {}
            self.stdout.write(as_json(answer | {"messages": [_facts(each) for each in found]}))
            return
        if known:
            self.stdout.write(table(CHANNEL_HEADINGS, map(_channel_row, known)) + "\n")
        elif not only_messages:
            self.stdout.write(_("There is no channel: nobody is told anything."))
        if found:
            self.stdout.write(table(HEADINGS, map(_row, found)))
        if only_messages and found[0].code:
            self.stdout.write(found[0].get_code_display())


def _tried(message: Message) -> Message:
    """Send a message that is due here and now, unless the scheduler is faster, in its language."""
    with override(settings.LANGUAGE_CODE):
        attempt(message.pk)
    message.refresh_from_db()
    return message


def _resent(text: str) -> Message:
    try:
        message = Message.objects.filter(pk=UUID(text)).first()
    except ValueError:
        message = None
    if message is None:
        raise wrong_call(_("There is no message %s.") % text)
    channels.send_again(message, actor=operator())
    return _tried(message)


def _is_well(found: list[Message], *, asked: bool) -> bool:
    if asked:
        return all(each.state == Message.State.SENT for each in found)
    return not Message.objects.filter(state=Message.State.GAVE_UP).exists()


def _facts(message: Message) -> dict[str, object]:
    return {
        "id": str(message.pk),
        "channel": message.channel_name,
        "kind": message.kind,
        "subject": letter_of(message).subject,
        "count": message.count,
        "state": message.state,
        "code": message.code,
        "status": message.status,
        "tries": message.tries,
        "queued": message.queued,
        "due": message.due if message.state in Message.WAITING else None,
        "ended": message.ended,
    }


def _row(message: Message) -> tuple[object, ...]:
    why = " ".join(str(each) for each in (message.code, message.status) if each) or "-"
    where = (message.pk, message.channel_name, message.state, why, message.tries, moment(message.queued))
    return (*where, letter_of(message).subject)


def _channel_facts(channel: Channel) -> dict[str, object]:
    return {
        "channel": channel.name,
        "way": channel.way,
        "address": shown(channel),
        "kinds": None if channel.wants_all else channel.kinds,
        "on": channel.is_on,
    }


def _channel_row(channel: Channel) -> tuple[object, ...]:
    kinds = _("everything") if channel.wants_all else ", ".join(channel.kinds)
    return (
        channel.name,
        channel.way,
        shown(channel),
        kinds,
        pgettext("state", "on") if channel.is_on else pgettext("state", "off"),
    )
