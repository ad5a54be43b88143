"""The cells of the map: one for each installation that counts, as of now or as of a moment."""

import uuid
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from django.db.models import Q, QuerySet
from django.utils.functional import Promise
from django.utils.translation import gettext

from credentials.coverage.holding import ACCOUNT, covered, with_facts
from credentials.coverage.states import Cover, Fact, How, Need, how_known, judge
from credentials.models import ClientSecret
from instances.models import Instance, place_label

LISTED_ELSEWHERE = (Need.FAILED, Need.DRIFTED)
"""Needs that have a list of their own."""
OTHERS = "others"
"""The state to ask for whatever else needs a person."""


@dataclass(frozen=True, slots=True)
class Version:
    """A version of an account's secret, as it is named to people."""

    id: uuid.UUID
    account: str
    number: int
    fingerprint: str
    state: str

    def __str__(self) -> str:
        return f"v{self.number}"


class Standing(Protocol):
    """What a cell and a count of cells have in common."""

    @property
    def account(self) -> str: ...
    @property
    def held(self) -> Version | None: ...
    @property
    def cover(self) -> str: ...
    @property
    def need(self) -> str: ...


def own_version(standing: Standing) -> int | None:
    """Return the number of the version that is held, if that is one of the account in use there."""
    held = standing.held
    return held.number if held and held.account == standing.account else None


@dataclass(frozen=True, slots=True)
class Cell:
    """One installation: what it holds and desires, and what that makes of it.

    `certainty` is `now` for what was ever seen or written, or as of a moment `known`, `likely` (between two
    sights that are equal, but the file was or may have been written in between), `between` (two sights, which
    differ) or `since` (nobody has looked since the sight). Otherwise it is `not_known`.
    """

    installation: uuid.UUID
    instance_id: uuid.UUID
    instance: str
    container_id: uuid.UUID
    container: str
    environment: str
    role: str
    account_id: uuid.UUID | None
    account: str
    held: Version | None
    desired: Version | None
    goal: Version | None
    how: str
    cover: str
    need: str
    push: uuid.UUID | None
    since: datetime | None
    """When it was seen like this first."""
    seen: datetime | None
    """When it was seen like this last."""
    certainty: str = "now"
    is_by_hand: bool = False
    """Whether the portal cannot reach it."""

    @property
    def place(self) -> str:
        """The installation as people read it."""
        return place_label(self.instance, self.container)

    @property
    def word(self) -> str:
        label = Cover(self.cover).label
        return gettext("%s, reported by hand") % label if self.how == How.REPORTED else str(label)

    @property
    def environment_label(self) -> "str | Promise":
        return Instance.Environment(self.environment).label

    @property
    def own_version(self) -> int | None:
        """The number of the version that it holds, if that is one of its account."""
        return own_version(self)

    @property
    def holds(self) -> str:
        """What it holds, in words; with its account where that is another one. Empty if that is not known."""
        if self.held is None:
            return ""
        if self.own_version is not None:
            return str(self.held)
        names = {"version": self.held, "account": self.held.account}
        return gettext("%(version)s of %(account)s") % names

    @property
    def reason(self) -> "str | Promise":
        return Need(self.need).label if self.need else ""

    @property
    def how_known(self) -> "str | Promise":
        return How(self.how).label


@dataclass(frozen=True)
class Wanted:
    """What the map is narrowed to; empty: everything."""

    environment: str = ""
    role: str = ""
    account: uuid.UUID | None = None
    state: str = ""
    version: int | None = None
    text: str = ""

    def condition(self) -> Q:
        """Return what can be asked of the inventory; states and versions are asked of the cells."""
        found = Q()
        if self.environment:
            found &= Q(instance__environment=self.environment)
        if self.role:
            found &= Q(instance__role=self.role)
        if self.account:
            found &= Q(**{ACCOUNT: self.account})
        if self.text:
            found &= Q(instance__name__icontains=self.text) | Q(container__name__icontains=self.text)
        return found

    def accepts(self, standing: Standing) -> bool:
        """Tell whether something is in the wanted state, and holds the wanted version."""
        if self.version is not None and own_version(standing) != self.version:
            return False
        if self.state == OTHERS:
            return standing.cover == Cover.NEEDS_YOU and standing.need not in LISTED_ELSEWHERE
        return not self.state or self.state in (standing.cover, standing.need)


NAMES = {
    "pk": "installation",
    "instance_id": "instance_id",
    "instance__name": "instance",
    "container_id": "container_id",
    "container__name": "container",
    "instance__environment": "environment",
    "instance__role": "role",
    ACCOUNT: "account_id",
    f"{ACCOUNT}__name": "account",
}
"""Columns that say where a cell is, and the fields they become."""


def cells_now(wanted: Wanted) -> list[Cell]:
    """Return the cells that are wanted, by instance and container; two statements."""
    return [
        cell for cell in cells_in(with_facts(covered().filter(wanted.condition()))) if wanted.accepts(cell)
    ]


def cells_of(installations: Collection[uuid.UUID]) -> list[Cell]:
    """Return the cells of these installations, as far as they count; two statements."""
    return cells_in(with_facts(covered().filter(pk__in=list(installations))))


VERSIONS = ("held_version", "desired_version", "goal_version")
FURTHER = ("facts", "container__is_by_hand", "desired__push", "seen__at", "seen__last_seen")


def cells_in(installations: "QuerySet[Any]") -> list[Cell]:  # Any: installations with annotations
    """Return the cells of installations that have their facts, by instance and container; two statements."""
    rows = list(
        installations.order_by("instance__name", "container__name").values(*NAMES, *VERSIONS, *FURTHER)
    )
    known = versions({row[name] for row in rows for name in VERSIONS if row[name]})
    return [_cell(row, known) for row in rows]


def _cell(row: dict[str, Any], known: Mapping[uuid.UUID, Version]) -> Cell:  # Any: values of columns
    held, desired, goal = (known.get(row[name]) for name in VERSIONS)
    facts = Fact(row["facts"])
    cover, need = judge(facts)
    return Cell(
        **place(row),
        held=held,
        desired=desired,
        goal=goal,
        how=how_known(facts),
        cover=cover,
        need=need,
        push=row["desired__push"],
        since=row["seen__at"],
        seen=row["seen__last_seen"],
        certainty="now" if held or row["seen__last_seen"] else "not_known",
        is_by_hand=row["container__is_by_hand"],
    )


def place(row: Mapping[str, Any]) -> dict[str, Any]:  # Any: the values of NAMES
    """Return the fields of a cell that say where it is, from the values of `NAMES`."""
    return {field: row[name] for name, field in NAMES.items()}


def versions(ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, Version]:
    """Return the versions with these ids, with their accounts' names."""
    names = ("pk", "account__name", "version", "fingerprint", "state")
    rows = ClientSecret.objects.filter(pk__in=list(ids)).order_by().values_list(*names)
    return {row[0]: Version(*row) for row in rows}
