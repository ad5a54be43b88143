"""What the tests of notices share: something that happened, and sending it now."""

from datetime import timedelta

from django.db import transaction
from django.db.models.functions import Now

from portal.notices import kinds
from portal.notices.delivery import channels_due, deliver
from portal.notices.gathering import gather
from portal.notices.kinds import Batch, Kind, Words
from portal.notices.models import Message, Note
from portal.notices.notes import note

HAPPENED = "thing.happened"


def words(batch: Batch) -> Words:
    return Words(f"{batch.count} happened", [batch.names, batch.counted("code")])


KIND = Kind(HAPPENED, "Things", words, quiet=60, longest=600, counted=("code",))  # type: ignore[arg-type]  # a text


def register_kind(monkeypatch: object) -> None:
    monkeypatch.setitem(kinds._kinds, HAPPENED, KIND)  # type: ignore[attr-defined]  # pytest's


def happen(*subjects: str, code: str = "timed_out") -> None:
    with transaction.atomic():
        for subject in subjects:
            note(HAPPENED, subject=subject, details={"code": code}, link="/things/")


def time_passes(seconds: float = 3600) -> None:
    """Let everything that waits have waited for this long."""
    moment = timedelta(seconds=seconds)
    for row in Note.objects.all():
        Note.objects.filter(pk=row.pk).update(at=row.at - moment)
    for message in Message.objects.all():
        values = {"due": message.due - moment, "put_off": message.put_off - moment}
        if message.lease_until:
            values["lease_until"] = message.lease_until - moment
        Message.objects.filter(pk=message.pk).update(**values)


def send_all() -> int:
    """Gather what happened, whenever that was, and send what is due."""
    Note.objects.update(at=Now() - timedelta(hours=1))
    gather()
    return sum(map(deliver, channels_due()))
