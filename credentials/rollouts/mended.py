"""Brings forward the looks that wait for something, once a person has mended it.

An unknown push is looked at ever more rarely. A person who approves a key or corrects an address expects an
answer now, and not tomorrow.
"""

import uuid
from collections.abc import Sequence

from django.db.models.signals import post_save
from django.dispatch import receiver

from credentials.rollouts.settlement import look_soon
from instances.inventory.editing import containers_changed
from instances.models import HostKey

AT_ONCE = 500  # containers in one question; an import may change thousands


@receiver(post_save, sender=HostKey)
def key_changed(instance: HostKey, **_: object) -> None:
    """Look once a key is approved; one that was only shown changes nothing."""
    if instance.state == HostKey.State.APPROVED:
        look_soon([instance.container_id])


@receiver(containers_changed)
def way_changed(container_ids: Sequence[uuid.UUID], **_: object) -> None:
    """Look once the way to containers, or the way in, was corrected."""
    for begin in range(0, len(container_ids), AT_ONCE):
        look_soon(container_ids[begin : begin + AT_ONCE])
