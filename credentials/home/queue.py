"""The queue of the helpdesk: what waits for a person, one entry for each cause."""

import uuid
from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import Count, Min
from django.db.models.functions import Coalesce
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.http import urlencode

from credentials.rollouts.models import Push, explained
from instances.failures import Code, Explanation
from instances.inventory.contacts import contacts_by_environment
from instances.menders import Mender, menders
from instances.models import Contact, Instance, place_label

MOST_AT_ONCE = 50
"""The most pushes of one cause that the home page retries; of more, somebody looks at the list first."""
NAMED = 500
"""Pushes whose names are read, over all causes."""
OLDEST = Min(Coalesce("unknown_since", "finished", "requested"))


@dataclass
class Cause:
    """Pushes that wait for a person for the same reason. `state` is failed or unknown."""

    code: str
    state: str
    count: int = 0
    oldest: datetime | None = None
    """Since when the first of them waits."""
    environments: dict[str, int] = field(default_factory=dict)
    """How many there are in each environment."""
    contacts: list[Contact] = field(default_factory=list)
    pushes: list[tuple[uuid.UUID, str]] = field(default_factory=list)
    """Ids and names of the first ones."""

    @property
    def label(self) -> str | Promise:
        return Code(self.code).label if self.code else Push.State(self.state).label

    @property
    def explanation(self) -> Explanation | None:
        """What happened and what to do."""
        return explained(self.state, self.code)

    @property
    def menders(self) -> tuple[Mender, ...]:
        """Who can mend it, the likeliest first."""
        return menders(self.code)

    @property
    def url(self) -> str:
        return f"{reverse('failed_pushes')}?{self._filters}"

    @property
    def retry_url(self) -> str:
        return f"{reverse('failed_pushes_retry')}?{self._filters}"

    @property
    def _filters(self) -> str:
        return urlencode({"state": self.state, "code": self.code})

    @property
    def are_all_named(self) -> bool:
        return len(self.pushes) == self.count

    @property
    def can_be_retried_here(self) -> bool:
        return self.are_all_named and self.count <= MOST_AT_ONCE

    @property
    def where(self) -> list[tuple[str | Promise, int]]:
        """The environments in words, with their counts."""
        return [(Instance.Environment(name).label, count) for name, count in self.environments.items()]


def causes() -> list[Cause]:
    """Return the causes: the largest first, what is unknown after what failed; three statements."""
    waiting = Push.objects.needing_attention().order_by()
    found: dict[tuple[str, str], Cause] = {}
    environment = "installation__instance__environment"
    for row in waiting.values("code", "state", environment).annotate(count=Count("*"), oldest=OLDEST):
        cause = found.setdefault((row["state"], row["code"]), Cause(row["code"], row["state"]))
        cause.count += row["count"]
        cause.environments[row[environment]] = row["count"]
        cause.oldest = min(filter(None, (cause.oldest, row["oldest"])), default=None)
    if not found:
        return []
    for state, code, pk, name in _named():
        if (state, code) in found:
            found[state, code].pushes.append((pk, name))
    contacts = contacts_by_environment()
    for cause in found.values():
        cause.contacts = [contacts[each] for each in cause.environments if each in contacts]
    return sorted(found.values(), key=lambda each: (each.state != Push.State.FAILED, -each.count, each.code))


def _named() -> list[tuple[str, str, uuid.UUID, str]]:
    names = ("installation__instance__name", "container__name")
    rows = Push.objects.needing_attention().order_by(*names).values_list("state", "code", "pk", *names)
    return [
        (state, code, pk, place_label(instance, container))
        for state, code, pk, instance, container in rows[:NAMED]
    ]
