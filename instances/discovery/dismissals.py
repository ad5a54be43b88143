"""Leaving a proposal as it is, with a reason, until somebody takes it up again or something else is seen."""

from django.db import transaction
from django.utils.translation import gettext as _

from instances.discovery.models import Dismissal
from instances.discovery.proposal_list import find
from instances.discovery.proposals import Proposal, proposals
from instances.models import Container, Instance
from portal.audit.trail import Actor, record
from portal.processes.housekeeping import hourly

LONGEST = 200


class Outdated(Exception):
    """What was seen has changed since the proposal was shown; the text is for the person who decided."""

    def __init__(self) -> None:
        super().__init__(
            _(
                "Nothing was changed: this is no longer proposed. Since you opened the page, someone else "
                "has decided, or the container was read again."
            )
        )


@transaction.atomic
def leave(*, key: str, reason: str, actor: Actor) -> Proposal:
    """Remember that a proposal is to be left as it is; `Outdated` if it is not proposed any more.

    Who comes second finds it left, and changes nothing.
    """
    proposal = find(key)
    if proposal is None:
        raise Outdated
    values = {"kind": proposal.kind, "reason": reason[:LONGEST], "left_by": actor.name}
    _row, is_new = Dismissal.objects.get_or_create(proposal=key, defaults=values)
    if is_new:
        _record("proposal.left", proposal, actor, reason=reason[:LONGEST])
    return proposal


@transaction.atomic
def take_up(*, key: str, actor: Actor) -> Proposal:
    """Propose again what was left; `Outdated` if it is not proposed any more, or nobody left it."""
    proposal = find(key)
    if proposal is None or not Dismissal.objects.filter(proposal=key).delete()[0]:
        raise Outdated
    _record("proposal.taken_up", proposal, actor)
    return proposal


def _record(action: str, proposal: Proposal, actor: Actor, **details: object) -> None:
    place = proposal.container
    target = (
        Container.objects.filter(pk=place.pk).first()
        if place
        else Instance.objects.filter(name=proposal.instance).first()
    )
    told = {"proposal": proposal.kind.value, "instance": proposal.instance, **details}
    record(action, actor=actor, target=target, details={key: text for key, text in told.items() if text})


@hourly
def forget_outdated() -> int:
    """Forget decisions about what is not seen any more: if it comes back, it is proposed anew."""
    if not Dismissal.objects.exists():
        return 0
    current = {each.key for each in proposals()}
    left = Dismissal.objects.values_list("pk", "proposal")
    return Dismissal.objects.filter(pk__in=[pk for pk, key in left if key not in current]).delete()[0]
