"""The map in numbers: counted by the database, so that no installation is fetched to be counted."""

import uuid
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Exists, OuterRef, QuerySet

from credentials.coverage.cells import Cell, Version, Wanted, cells_in, versions
from credentials.coverage.holding import ACCOUNT, covered, with_facts
from credentials.coverage.states import Cover, Fact, How, how_known, judge
from credentials.models import ClientSecret
from instances.models import Installation

KEYS = ("instance__environment", ACCOUNT, f"{ACCOUNT}__name", "held_version", "facts")


@dataclass(frozen=True, slots=True)
class Tally:
    """How many installations of an environment and account hold a version, and are in the same state."""

    environment: str
    account_id: uuid.UUID | None
    account: str
    held: Version | None
    how: str
    cover: str
    need: str
    facts: Fact
    count: int


def tallies(wanted: Wanted) -> list[Tally]:
    """Return what is wanted of the map, counted; two statements, with a row for each sort of installation."""
    rows = with_facts(covered().filter(wanted.condition())).order_by()
    found = list(rows.values_list(*KEYS).annotate(count=Count("pk")))
    known = versions({held for _environment, _account, _name, held, _facts, _count in found if held})
    return [each for row in found if wanted.accepts(each := _tally(row, known))]


def _tally(row: tuple[Any, ...], known: dict[uuid.UUID, Version]) -> Tally:  # Any: values of columns
    environment, account_id, account, held, number, count = row
    facts = Fact(number)
    cover, need = judge(facts)
    return Tally(
        environment, account_id, account, known.get(held), how_known(facts), cover, need, facts, count
    )


def instances_of(wanted: Wanted, found: Collection[Tally]) -> "QuerySet[Installation, uuid.UUID]":
    """Return the ids of the instances with an installation that is wanted, by name.

    `found` are the tallies of the same: what a state means in facts is taken from them.
    """
    rows = covered().filter(wanted.condition())
    if wanted.state or wanted.version is not None:  # Django takes its time to put facts into words
        rows = _narrowed(with_facts(rows), wanted, found)
    return rows.order_by("instance__name").values_list("instance", flat=True).distinct()


def cells_on(instances: Collection[uuid.UUID], wanted: Wanted, found: Collection[Tally]) -> list[Cell]:
    """Return the wanted cells of these instances, by instance and container; two statements."""
    rows = covered().filter(wanted.condition(), instance__in=list(instances))
    return cells_in(_narrowed(with_facts(rows), wanted, found))


def _narrowed(rows: "QuerySet[Any]", wanted: Wanted, found: Iterable[Tally]) -> "QuerySet[Any]":
    if wanted.state:
        rows = rows.filter(facts__in={each.facts.value for each in found})
    if wanted.version is not None:
        own = ClientSecret.objects.filter(version=wanted.version, account=OuterRef(ACCOUNT))
        rows = rows.filter(Exists(own.filter(pk=OuterRef("held_version"))))
    return rows


def tallied(cells: Iterable[Cell]) -> list[Tally]:
    """Return cells, counted: as of a moment they are judged one by one."""
    found = Counter(
        (cell.environment, cell.account_id, cell.account, cell.held, cell.how, cell.cover, cell.need)
        for cell in cells
    )
    return [Tally(*each, Fact(0), count) for each, count in found.items()]


def counts(found: Iterable[Tally]) -> list[tuple[Cover, int]]:
    """Return how many installations are in each of the states, all of them named."""
    counted: Counter[str] = Counter()
    for each in found:
        counted[each.cover] += each.count
    return [(cover, counted[cover]) for cover in Cover]


def reported(found: Iterable[Tally]) -> int:
    """Return how many installations are done by what a person reported alone."""
    return sum(each.count for each in found if each.cover == Cover.DONE and each.how == How.REPORTED)


def version_counts(found: Iterable[Tally]) -> list[tuple[str, str, int]]:
    """Return account, version and count for every version that is held, and for those that hold none."""
    counted: Counter[tuple[str, str]] = Counter()
    for each in found:
        held = (each.held.account, str(each.held)) if each.held else (each.account, "")
        counted[held] += each.count
    return [(account, version, count) for (account, version), count in sorted(counted.items())]


def accounts_in_need() -> set[uuid.UUID]:
    """Return the accounts with an installation that needs a person; two statements."""
    return {each.account_id for each in tallies(Wanted(state=Cover.NEEDS_YOU)) if each.account_id}
