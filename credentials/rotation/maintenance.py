"""What admins do with maintenance windows."""

from django.db import transaction
from django.db.models.functions import Now

from credentials.rotation import engine
from credentials.rotation.models import MaintenanceWindow, Rotation
from credentials.rotation.waits import Wait
from portal.audit.trail import Actor, record


def as_recorded(row: MaintenanceWindow) -> dict[str, object]:
    """Return what the history says of a window, and what it is for machines."""
    return {
        "environment": row.environment,
        "weekdays": list(row.weekdays),
        "starts": f"{row.starts:%H:%M}",
        "minutes": row.minutes,
        "zone": row.zone,
    }


@transaction.atomic
def save_window(row: MaintenanceWindow, *, actor: Actor) -> MaintenanceWindow:
    """Store a new or edited window; rotations that wait for one are looked at at once."""
    former = MaintenanceWindow.objects.select_for_update().filter(pk=row.pk).first()
    row.save()
    after = as_recorded(row)
    if former is None:
        record("maintenance_window.created", actor=actor, target=row, details=after)
    else:
        before = as_recorded(former)
        changes = {name: [before[name], after[name]] for name in after if before[name] != after[name]}
        if changes:
            record("maintenance_window.changed", actor=actor, target=row, details={"changes": changes})
    _look_again()
    return row


@transaction.atomic
def remove_window(row: MaintenanceWindow, *, actor: Actor) -> None:
    """Remove a window; without any, rotations may push to its environment at all times."""
    found = MaintenanceWindow.objects.select_for_update().filter(pk=row.pk).first()
    if found is None:  # somebody else was faster
        return
    record("maintenance_window.removed", actor=actor, target=found, details=as_recorded(found))
    found.delete()
    _look_again()


def _look_again() -> None:
    Rotation.objects.open().filter(wait=Wait.WINDOW).update(due=Now(), put_off=Now())
    transaction.on_commit(engine.ring, robust=True)
