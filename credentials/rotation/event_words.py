"""What the history says of rollouts that a rotation started: that the portal did it, and in whose name."""

from collections.abc import Mapping, Sequence

from django.utils.translation import gettext as _

from credentials.rotation.models import Wave
from credentials.shown.event_words import uuid_of
from portal.audit.labels import Meaning, is_in_the_name_of_somebody, tells
from portal.audit.models import AuditEvent
from portal.audit.operator import in_words


@tells("rollout")
def rollouts(events: Sequence[AuditEvent]) -> Mapping[int, Meaning]:
    """Say that a rotation started a rollout, or called it off, in the name of a person."""
    by_portal = [event for event in events if is_in_the_name_of_somebody(event)]
    acted = {event.seq: pk for event in by_portal if (pk := uuid_of(event.target_id))}
    waves = Wave.objects.filter(rollout__in=set(acted.values())).values_list("rollout", "rotation__number")
    numbers = dict(waves) if acted else {}
    return {
        event.seq: Meaning(
            who=_("%(name)s (by the portal, for rotation %(number)s)")
            % {"name": in_words(event.actor_name), "number": numbers[acted[event.seq]]}
        )
        for event in events
        if acted.get(event.seq) in numbers
    }
