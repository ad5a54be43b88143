"""The lists of the inventory as files, and the inventory in the form that an import takes."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from uuid import UUID

from django.db.models import Prefetch
from django.utils.translation import gettext_lazy

from instances.inventory.contacts import contacts_by_team
from instances.inventory.csv_format import COLUMNS
from instances.models import Contact, Container, Installation, Instance, JumpHost
from instances.pages import containers, instances, jump_hosts
from instances.pages.filters import ContainerFilters, InstanceFilters
from instances.reaching.host_keys import expected_of, state_of
from instances.reaching.jump_hosts import keys_of
from portal.web.exports import Export, Row, in_order, register, values

RETIRED = ("retired", "retired_by", "retired_reason")
INSTANCE = ("environment", "deployment", "role", "uses_triggers")
INSTANCE_COLUMNS = ("instance", *INSTANCE, "containers", "on_old_build", "on_jwt", *RETIRED)
REACHED = ("address", "port", "jump_host", "login", "become", "install_root", "by_hand")
CONTACT = ("who", "reach", "hours")
CONTAINER_COLUMNS = ("container", *REACHED, "on", "host_key", "instances", "on_jwt", "last_seen", *RETIRED)


def _instance_rows(keys: Sequence[UUID]) -> Iterator[Row]:
    rows: Iterable[Any] = in_order(instances.counted(keys), keys)  # Any: with what was counted
    for row in rows:
        yield {
            "instance": row.name,
            **values(row, INSTANCE),
            "containers": row.containers,
            "on_old_build": row.old,
            "on_jwt": row.jwt,
            **values(row, RETIRED),
        }


def _reached(container: Container) -> dict[str, object]:
    """Return how a container is reached, by the names that the columns of an inventory file have."""
    return {
        "address": container.address,
        "port": container.port,
        "jump_host": container.jump_host.name if container.jump_host else "",
        "login": container.login,
        "become": container.become,
        "install_root": container.install_root,
        "by_hand": container.is_by_hand,
    }


def _container_rows(keys: Sequence[UUID]) -> Iterator[Row]:
    rows: Iterable[Any] = in_order(
        containers.counted(Container.objects.all()), keys
    )  # Any: with what was counted
    for row in rows:
        yield {
            "container": row.name,
            **_reached(row),
            "on": row.is_enabled,
            "host_key": state_of(row.host_keys.all(), expected_of(row)) or "not_scanned",
            "instances": row.instances,
            "on_jwt": row.on_jwt,
            "last_seen": row.last_seen,
            **values(row, RETIRED),
        }


def _inventory_rows(keys: Sequence[UUID]) -> Iterator[Row]:
    """Yield the rows from which an import makes what is in use: one for each installation.

    Of the instances without any, such a file may have only those that Adobe hosts. Host keys that were
    approved here are approved anew elsewhere; those that were given in advance come with the file.
    """
    installed = Installation.objects.not_retired().select_related(
        "container__jump_host", "container__expected_host_key"
    )
    rows = Instance.objects.not_retired().prefetch_related(
        Prefetch("installations", installed.order_by("container__name"), to_attr="in_use")
    )
    for instance in in_order(rows, keys):
        known = {"instance": instance.name, **values(instance, INSTANCE)}
        for installation in instance.in_use:
            container = installation.container
            yield {
                **known,
                "container": container.name,
                **_reached(container),
                "host_key": expected_of(container),
            }
        if not instance.in_use and not instance.is_pushable:
            yield {**dict.fromkeys(COLUMNS), **known}


def _jump_host_rows(keys: Sequence[UUID]) -> Iterator[Row]:
    rows: Iterable[Any] = in_order(jump_hosts.counted(), keys)  # Any: with what was counted
    for host in rows:
        yield {
            "jump_host": host.name,
            **values(host, ("address", "port", "login")),
            "host_keys": [key.fingerprint for key in keys_of(host)],
            "containers": host.used_by,
        }


def _contact_rows(names: Sequence[str]) -> Iterator[Row]:
    known = contacts_by_team()
    for name in names:
        row = known.get(name)
        found = values(row, CONTACT) if row else dict.fromkeys(CONTACT, "")
        yield {"environment": name, **found}


register(
    Export(
        name="instances",
        title=gettext_lazy("Instances"),
        permission="instances.view_instance",
        columns=INSTANCE_COLUMNS,
        filters=InstanceFilters,
        orders=instances.ORDERS,
        rows=_instance_rows,
    )
)
register(
    Export(
        name="containers",
        title=gettext_lazy("Containers"),
        permission="instances.view_container",
        columns=CONTAINER_COLUMNS,
        filters=ContainerFilters,
        orders=containers.ORDERS,
        rows=_container_rows,
    )
)
register(
    Export(
        name="inventory",
        title=gettext_lazy("Inventory"),
        permission="instances.view_container",
        columns=COLUMNS,
        filters=InstanceFilters,
        orders=instances.ORDERS,
        rows=_inventory_rows,
    )
)
register(
    Export(
        name="jump_hosts",
        title=gettext_lazy("Jump hosts"),
        permission="instances.change_inventory",
        columns=("jump_host", "address", "port", "login", "host_keys", "containers"),
        select=lambda _form: JumpHost.objects.order_by("name"),
        rows=_jump_host_rows,
    )
)
register(
    Export(
        name="contacts",
        title=gettext_lazy("Contacts"),
        permission="instances.view_container",
        columns=("environment", *CONTACT),
        select=lambda _form: Contact.names(),
        rows=_contact_rows,
    )
)
