"""Installations in the hands of another portal: noticed by pushes and looks, decided by an admin."""

from django.db import transaction
from django.utils import timezone

from instances.models import Installation, OtherPortal, PortalIdentity
from portal.audit.trail import Actor, record


class NoLongerThere(Exception):
    """What the admin decided about is not what was seen last."""


def own_id() -> str:
    """Return this portal's id; empty if the database has none."""
    return PortalIdentity.objects.values_list("value", flat=True).first() or ""


def note(installation: Installation, last: str) -> None:
    """Remember who pushed to an installation last, where that was not this portal."""
    values = {"last": last, "seen": timezone.now()}
    OtherPortal.objects.update_or_create(installation=installation, defaults=values)


def forget(installation: Installation) -> None:
    """This portal wrote there: forget the others, so that people decide anew if one writes after it."""
    OtherPortal.objects.filter(installation=installation).delete()


@transaction.atomic
def take_over(*, installation: Installation, last: str, actor: Actor) -> None:
    """Let this portal's next push go to an installation that another one holds.

    `last` is the portal that the admin saw there; `NoLongerThere` if another one, or this one, wrote since.
    """
    found = OtherPortal.objects.select_for_update().filter(installation=installation, last=last).first()
    if found is None:
        raise NoLongerThere
    if found.is_taken_over:
        return
    found.taken_over = last
    found.save(update_fields=["taken_over"])
    details: dict[str, object] = {"instance": installation.instance.name, "last": last}
    record("installation.taken_over", actor=actor, target=installation.container, details=details)
