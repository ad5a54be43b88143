"""Contacts for the servers of an environment, and for other teams: stored, changed and removed by admins."""

from collections.abc import Collection
from dataclasses import dataclass

from django.db import transaction

from instances.inventory.editing import differences, values
from instances.models import Contact, Instance
from portal.audit.trail import Actor, record

FIELDS = ("environment", "who", "reach", "hours")


@transaction.atomic
def save_contact(row: Contact, *, actor: Actor) -> None:
    """Store the contact for an environment or a team."""
    former = Contact.objects.select_for_update().filter(environment=row.environment).first()
    row.pk = former.pk if former else None
    row.save()
    if former is None:
        record("contact.created", actor=actor, target=row, details=values(row, FIELDS))
    elif changes := differences(values(former, FIELDS), values(row, FIELDS)):
        record("contact.changed", actor=actor, target=row, details={"changes": changes})


@transaction.atomic
def remove_contact(environment: str, *, actor: Actor) -> None:
    """Forget a contact; nothing happens where there is none."""
    found = Contact.objects.select_for_update().filter(environment=environment).first()
    if found:
        record("contact.removed", actor=actor, target=found, details=values(found, FIELDS))
        found.delete()


def contacts_by_team() -> dict[str, Contact]:
    """Return the contacts, by the environment whose servers they run or the name of their team."""
    return {row.environment: row for row in Contact.objects.all()}


@dataclass(frozen=True)
class Team:
    """Who can be called: named by the environment whose servers they run, or as `Contact.Team` has it.

    Without a contact somebody has to enter one.
    """

    name: str
    contact: Contact | None

    @property
    def is_known(self) -> bool:
        return self.contact is not None

    @property
    def label(self) -> str:
        return Contact.label_of(self.name)


def server_teams(instances: Collection[Instance]) -> list[Team]:
    """Return who runs the servers of these instances; of what Adobe hosts, nobody here does."""
    environments = {each.environment for each in instances if each.is_pushable}
    known = contacts_by_team() if environments else {}
    return [Team(each, known.get(each)) for each in Instance.Environment.values if each in environments]
