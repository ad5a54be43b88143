"""Edits the inventory, one row at a time. `instances.inventory.importing` reads files."""

from collections.abc import Callable, Iterable, Sequence

from django.db import IntegrityError, models, transaction
from django.db.models import ProtectedError
from django.dispatch import Signal
from django.utils.translation import gettext as _

from instances.failures import Code
from instances.inventory.retiring import RetiringError, end_work
from instances.models import Container, Installation, Instance, JumpHost, Retirable
from portal.audit.trail import Actor, Entry, record, record_all

INSTANCE_FIELDS = ("name", "environment", "deployment", "role", "uses_triggers")
CONTAINER_FIELDS = (
    "name",
    "address",
    "port",
    "jump_host",
    "login",
    "become",
    "install_root",
    "is_enabled",
    "is_by_hand",
)
JUMP_HOST_FIELDS = ("name", "address", "port", "login", "host_keys")
Differences = dict[str, list[object]]
containers_changed = Signal()
"""Sent with `container_ids`, in the transaction: the way to these containers, or the way in, was edited."""


class InventoryError(Exception):
    """A change of the inventory that the rules refuse; the text is for the person who asked."""


def take_back_first(row: Retirable) -> str:
    """Return why a retired row is not changed, for the person who asked."""
    return _("%s is retired: take it back first.") % row.label


def values(row: models.Model, fields: Iterable[str]) -> dict[str, object]:
    """Return the named fields of a row as plain values; what it points to, by name."""
    return {name: _plain(getattr(row, name)) for name in fields}


def _plain(value: object) -> object:
    if value is None:
        return ""
    return str(value) if isinstance(value, models.Model) else value


def differences(before: dict[str, object], after: dict[str, object]) -> Differences:
    """Return the fields that differ, each with its former and its present value."""
    return {name: [before[name], after[name]] for name in after if before[name] != after[name]}


@transaction.atomic
def save_instance(*, instance: Instance, actor: Actor) -> Instance:
    """Store a new or edited instance; `InventoryError` if another one took its name meanwhile."""
    _save(instance, "instance", INSTANCE_FIELDS, actor)
    return instance


@transaction.atomic
def save_container(*, container: Container, actor: Actor) -> Container:
    """Store a new or edited container, never its lease; `InventoryError` if name or address are taken.

    Its host keys stay as they are: another server behind a new address shows as changed, and is blocked.
    Where it is marked by hand, what waits to be done there ends; refused while something runs there.
    """
    _save(container, "container", CONTAINER_FIELDS, actor, lambda: leave_to_hands([container]))
    containers_changed.send(Container, container_ids=[container.pk])
    return container


def leave_to_hands(containers: Iterable[Container]) -> list[Entry]:
    """End what waits for containers that are marked by hand: nobody connects to them any more.

    In the transaction of the caller, who has written the rows and records what comes back. `InventoryError`:
    something runs there just now.
    """
    marked = [each for each in containers if each.is_by_hand]
    try:
        return [entry for each in marked for entry in end_work(each, Code.BY_HAND).entries]
    except RetiringError as error:
        raise InventoryError(str(error)) from None


def switch_container(*, container: Container, is_enabled: bool, actor: Actor) -> None:
    """Switch a container on or off. Off: nothing is pushed to it, and what is queued waits."""
    container.is_enabled = is_enabled
    save_container(container=container, actor=actor)


@transaction.atomic
def save_jump_host(*, jump_host: JumpHost, actor: Actor) -> JumpHost:
    """Store a new or edited jump host; `InventoryError` if name or address are taken."""
    _save(jump_host, "jump_host", JUMP_HOST_FIELDS, actor)
    reached = list(jump_host.containers.values_list("pk", flat=True))
    containers_changed.send(JumpHost, container_ids=reached)
    return jump_host


@transaction.atomic
def remove_jump_host(*, jump_host: JumpHost, actor: Actor) -> None:
    """Forget a jump host; `InventoryError` if containers are still reached through it."""
    pk = jump_host.pk
    try:
        jump_host.delete()
    except ProtectedError:
        raise InventoryError(
            _("Containers are still reached through %s, so it cannot be removed.") % jump_host.name
        ) from None
    jump_host.pk = pk
    record("jump_host.removed", actor=actor, target=jump_host)


def _nothing() -> Sequence[Entry]:
    return ()


def _save(
    row: Instance | Container | JumpHost,
    noun: str,
    fields: tuple[str, ...],
    actor: Actor,
    afterwards: Callable[[], Sequence[Entry]] = _nothing,
) -> None:
    """Store a row and record it, after what is done `afterwards`: recording keeps others waiting."""
    former = type(row).objects.filter(pk=row.pk).first()
    if isinstance(former, Retirable) and former.retired:
        raise InventoryError(take_back_first(former))
    try:
        with transaction.atomic():
            row.save(update_fields=fields if former else None, force_insert=former is None)
    except IntegrityError:
        raise InventoryError(_("Someone else has just saved the same name or address.")) from None
    entries = [*afterwards()]
    if former is None:
        entries.insert(0, Entry(f"{noun}.created", row, values(row, fields)))
    elif changes := differences(values(former, fields), values(row, fields)):
        entries.insert(0, Entry(f"{noun}.changed", row, {"changes": changes}))
    if entries:
        record_all(entries, actor=actor)


@transaction.atomic
def add_installation(*, instance: Instance, container: Container, actor: Actor) -> Installation:
    """Say that an instance is installed on a container; `InventoryError` if that is known already.

    So it is where one of both, or the installation that is known, is retired.
    """
    for row in (instance, container):
        if row.retired:
            raise InventoryError(take_back_first(row))
    installation, is_new = Installation.objects.get_or_create(instance=instance, container=container)
    if installation.retired:
        raise InventoryError(take_back_first(installation))
    if not is_new:
        raise InventoryError(
            _("%(instance)s is already listed on %(container)s.")
            % {"instance": instance.name, "container": container.name}
        )
    record("installation.added", actor=actor, target=installation)
    return installation


@transaction.atomic
def remove_installation(*, installation: Installation, actor: Actor) -> None:
    """Take an installation off the list; `InventoryError` if it is retired, or was ever pushed to."""
    if retired := installation.retired_with:
        raise InventoryError(take_back_first(retired))
    name, pk = installation.label, installation.pk
    try:
        installation.delete()
    except ProtectedError:
        raise InventoryError(
            _("%s has pushes in its history, and history is kept: retire it instead.") % name
        ) from None
    installation.pk = pk
    record("installation.removed", actor=actor, target=installation)
