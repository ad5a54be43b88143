"""Where the timelines of installations lead to for what a push or a look saw: the page of the push."""

from collections.abc import Collection, Mapping

from django.urls import reverse
from django.utils.translation import gettext

from credentials.rollouts.models import HOLDING, Attempt, HandReport
from instances.discovery.models import Observation
from instances.discovery.timeline import Link, evidence, uuids


@evidence(Observation.Source.PUSH, Observation.Source.LOOK)
def pushes(ids: Collection[str]) -> Mapping[str, Link]:
    """Return links to the pushes whose attempts have these ids."""
    rows = Attempt.objects.filter(pk__in=uuids(ids))
    columns = rows.order_by().values_list("pk", "push", "push__rollout__number", "proof")
    return {
        str(pk): Link(gettext("Push of rollout #%d") % number, reverse("push", args=[push]), proof in HOLDING)
        for pk, push, number, proof in columns
    }


@evidence(Observation.Source.HAND)
def reports(ids: Collection[str]) -> Mapping[str, Link]:
    """Return links to the installations whose reports have these nonces."""
    rows = (
        HandReport.objects.filter(nonce__in=list(ids)).order_by().values_list("nonce", "by", "installation")
    )
    return {
        nonce: Link(gettext("Reported by hand by %s") % by, reverse("installation", args=[installation]))
        for nonce, by, installation in rows
    }
