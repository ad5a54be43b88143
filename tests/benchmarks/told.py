"""What a seeded portal has told: two channels, and messages to both."""

from collections.abc import Iterator
from datetime import timedelta

from portal.notices.models import Channel, Message
from tests.benchmarks.fleet import Fleet
from tests.benchmarks.rows import store
from tests.benchmarks.scale import Scale

EVERY = 20
"""One message for this number of events."""


def seed_told(fleet: Fleet, scale: Scale) -> None:
    """Have told of a part of what happened."""
    store(_channels(fleet))
    store(_messages(fleet, scale))


def _channels(fleet: Fleet) -> Iterator[Channel]:
    yield Channel(id=fleet.uuid(), name="Operators", way="mail", address="team@example.com")
    address = "https://chat.example.com/hooks/portal"
    yield Channel(id=fleet.uuid(), name="Chat", way="webhook", address=address, key_of="seeded")


def _messages(fleet: Fleet, scale: Scale) -> Iterator[Message]:
    channels = list(Channel.objects.all())
    for number in range(max(2, scale.events // EVERY)):
        at = fleet.now - timedelta(minutes=number)
        channel = channels[number % len(channels)]
        subject = {
            "subject": "prod1 on web1",
            "details": {"code": "timed_out"},
            "link": "",
            "at": at.isoformat(),
        }
        yield Message(
            id=fleet.uuid(),
            channel=channel,
            channel_name=channel.name,
            kind="push.failed",
            content={"first": [subject], "tally": {"code": {"timed_out": 1}}},
            state=Message.State.SENT,
            tries=1,
            queued=at,
            due=at,
            put_off=at,
            ended=at,
        )
