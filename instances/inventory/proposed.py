"""Applying a proposal: what a reading found on a container becomes part of the inventory."""

from django.db import transaction
from django.utils.translation import gettext as _

from instances.discovery.dismissals import Outdated
from instances.discovery.proposal_list import find
from instances.discovery.proposals import proposals
from instances.inventory.editing import InventoryError, add_installation, save_instance
from instances.models import Container, Installation, Instance
from portal.audit.trail import Actor, record


@transaction.atomic
def apply(
    *,
    key: str,
    actor: Actor,
    environment: str = Instance.Environment.PRODUCTION,
    role: str = Instance.Role.MKT,
) -> Installation:
    """Enter what was found, and the instance if it is unknown; return the installation.

    It is compared with the newest reading once more while nobody can store another one: `Outdated` if it is
    not proposed any more. `InventoryError` if a person has to do it, or the same name was just saved.
    `environment` and `role` are those of a new instance, which no file tells.
    """
    shown = find(key)
    if shown is None or shown.container is None:
        raise Outdated
    container = Container.objects.select_for_update().filter(pk=shown.container.pk).first()
    near = proposals(containers=[container.pk]) if container else []
    proposal = next((each for each in near if each.key == key), None)
    if container is None or proposal is None:
        raise Outdated
    if not proposal.can_be_applied:
        raise InventoryError(_("The portal cannot do this by itself."))
    if environment not in Instance.Environment.values or role not in Instance.Role.values:
        raise InventoryError(_("Choose an environment and a role for the new instance."))
    instance = Instance.objects.filter(name=proposal.instance).first()
    if instance is None:
        new = Instance(name=proposal.instance, environment=environment, role=role)
        instance = save_instance(instance=new, actor=actor)
    installation = add_installation(instance=instance, container=container, actor=actor)
    details: dict[str, object] = {"proposal": proposal.kind.value, "reading": str(proposal.reading)}
    record("proposal.applied", actor=actor, target=installation, details=details)
    return installation
