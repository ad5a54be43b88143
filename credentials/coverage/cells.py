"""The cells of the map: one for each installation that counts, as of now or as of a moment."""

import uuid
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet
from django.utils.functional import Promise
from django.utils.translation import gettext

from credentials.coverage.holding import ACCOUNT, covered, with_holding
from credentials.coverage.states import Cover, How, Need, is_decided, judge
from credentials.models import ClientSecret
from instances.discovery.models import Reading
from instances.models import Installation, Instance, place_label

LASTING = ("gone", "none", "unreadable", "too_big")
"""Why a file was not read, by the script's words: what another reading would find as well."""
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


@dataclass(frozen=True, slots=True)
class Cell:
    """One installation: what it holds and desires, and what that makes of it.

    `certainty` is `now`, or as of a moment `known`, `likely` (between two sights that are equal, but the file
    was or may have been written in between), `between` (two sights, which differ), `since` (nobody has looked
    since the sight) or `not_known`.
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
        return self.held.number if self.held and self.held.account == self.account else None

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

    def accepts(self, cell: Cell) -> bool:
        """Tell whether a cell is in the wanted state, and holds the wanted version."""
        if self.version is not None and cell.own_version != self.version:
            return False
        if self.state == OTHERS:
            return cell.cover == Cover.NEEDS_YOU and cell.need not in LISTED_ELSEWHERE
        return not self.state or self.state in (cell.cover, cell.need)


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
    """Return the cells that are wanted, by instance and container; three statements."""
    return [cell for cell in _cells(covered().filter(wanted.condition())) if wanted.accepts(cell)]


def cells_of(installations: Collection[uuid.UUID]) -> list[Cell]:
    """Return the cells of these installations, as far as they count; three statements."""
    return list(_cells(covered().filter(pk__in=list(installations))))


FLAGS = ("is_open", "has_failed", "is_drifted", "is_accepted", "is_usable")
VERSIONS = ("held_version", "desired_version", "goal_version")
FURTHER = (
    "proven_version",
    "by_hand_version",
    "seen_version",
    "is_told",
    "container__is_enabled",
    "container__is_by_hand",
    f"{ACCOUNT}__is_rotating",
    "desired__push",
    "desired__since",
    "goal_since",
    "seen__at",
    "seen__last_seen",
)


def _cells(installations: "QuerySet[Installation]") -> Iterator[Cell]:
    rows = with_holding(installations).order_by("instance__name", "container__name")
    facts = list(rows.values(*NAMES, *FLAGS, *VERSIONS, *FURTHER))
    known = versions({row[name] for row in facts for name in VERSIONS if row[name]})
    readings = _newest_readings({row["container_id"] for row in facts})
    return (_cell(row, known, readings.get(row["container_id"])) for row in facts)


def _newest_readings(containers: Collection[uuid.UUID]) -> dict[uuid.UUID, Reading]:
    """Return the newest successful reading of each container."""
    rows = Reading.objects.newest(containers=containers, state=Reading.State.SUCCEEDED)
    return {row.container_id: row for row in rows.only("container", "started", "found", "further").order_by()}


def _is_gone(row: Mapping[str, Any], reading: Reading | None) -> bool:  # Any: values of columns
    """Whether a reading that began after the file was seen last found none, or none that can be read."""
    last = row["seen__last_seen"]
    if reading is None or reading.started is None or last is None or reading.started <= last:
        return False
    why = reading.found.get(row["instance__name"], "" if reading.further else "gone")
    return why in LASTING


def _cell(  # Any: values of columns
    row: dict[str, Any], known: Mapping[uuid.UUID, Version], reading: Reading | None
) -> Cell:
    held, desired, goal = (known.get(row[name]) for name in VERSIONS)
    flags = {name: row[name] for name in FLAGS}
    cover, need = judge(
        held=held,
        desired=desired,
        goal=goal,
        is_on=row["container__is_enabled"],
        is_by_hand=row["container__is_by_hand"],
        is_decided=is_decided(row["desired__since"], row["goal_since"]),
        is_gone=_is_gone(row, reading),
        is_rotating=bool(row[f"{ACCOUNT}__is_rotating"]),
        **flags,
    )
    return Cell(
        **place(row),
        held=held,
        desired=desired,
        goal=goal,
        how=_how(held, row),
        cover=cover,
        need=need,
        push=row["desired__push"],
        since=row["seen__at"],
        seen=row["seen__last_seen"],
        is_by_hand=row["container__is_by_hand"],
    )


def needing_somebody() -> list[Cell]:
    """Return the cells of all installations that need a person; three statements."""
    return cells_now(Wanted(state=Cover.NEEDS_YOU))


def _how(held: object, row: Mapping[str, Any]) -> How:  # Any: values of columns
    """Return how it is known; what rests on a person's report is called nothing else."""
    if not held:
        return How.NOT_KNOWN
    if row["is_told"]:
        return How.REPORTED
    if row["proven_version"]:
        return How.PROVEN
    if row["by_hand_version"]:
        return How.CONFIRMED
    return How.SEEN if row["seen_version"] else How.REPORTED


def place(row: Mapping[str, Any]) -> dict[str, Any]:  # Any: the values of NAMES
    """Return the fields of a cell that say where it is, from the values of `NAMES`."""
    return {field: row[name] for name, field in NAMES.items()}


def versions(ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, Version]:
    """Return the versions with these ids, with their accounts' names."""
    names = ("pk", "account__name", "version", "fingerprint", "state")
    rows = ClientSecret.objects.filter(pk__in=list(ids)).order_by().values_list(*names)
    return {row[0]: Version(*row) for row in rows}


def counts(cells: Iterable[Cell]) -> list[tuple[Cover, int]]:
    """Return how many cells are in each of the states, all of them named."""
    found = Counter(cell.cover for cell in cells)
    return [(cover, found[cover]) for cover in Cover]


def reported(cells: Iterable[Cell]) -> int:
    """Return how many of the cells are done by what a person reported alone."""
    return sum(cell.cover == Cover.DONE and cell.how == How.REPORTED for cell in cells)


def version_counts(cells: Iterable[Cell]) -> list[tuple[str, str, int]]:
    """Return account, version and count for every version that is held, and for those that hold none."""
    found = Counter(
        (cell.held.account, str(cell.held)) if cell.held else (cell.account, "") for cell in cells
    )
    return [(account, version, count) for (account, version), count in sorted(found.items())]
