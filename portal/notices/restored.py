"""After a restore: what waited in the copy was told long ago, or is no longer true."""

from django.db.models.functions import Now
from django.dispatch import receiver

from portal.backup import restored
from portal.notices.codes import Code
from portal.notices.models import Message, Note


@receiver(restored)
def give_up(**_: object) -> None:
    """Give up what waits; an admin can still have it sent."""
    Note.objects.all().delete()
    waiting = Message.objects.waiting()
    waiting.update(
        state=Message.State.GAVE_UP, code=Code.RESTORED, ended=Now(), holder=None, lease_until=None
    )
