"""After a restore: nothing that was open in the copy goes on by itself."""

from django.dispatch import receiver

from credentials.rollouts.models import Push, Rollout, UntoldEnd
from credentials.rollouts.services import cancel_rollout
from portal.audit.trail import Actor
from portal.backup import restored


@receiver(restored)
def cancel_open(actor: Actor, **_: object) -> None:
    """Cancel what is queued, and send nothing again that runs or is unknown: a look still settles it."""
    for rollout in Rollout.objects.filter(pushes__state__in=Push.OPEN).distinct().order_by("number"):
        cancel_rollout(rollout=rollout, actor=actor)
    UntoldEnd.objects.all().delete()  # these ends are the restore's
