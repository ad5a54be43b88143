"""Requirements: conditions over related rows that can be asked of loaded rows and of query sets alike.

A rule that is written down once cannot drift. Each requirement names a path through relations, as Django's
queries do (`instance__deployment`), and what has to be true there; `code` names the obstacle if it is not.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from django.core.exceptions import ObjectDoesNotExist
from django.db.models import F, Model, Q


@dataclass(frozen=True)
class Requirement:
    """What must be true of a row for something to be allowed."""

    code: str
    path: str

    def of(self, relation: str) -> Self:
        """Return the same requirement for rows that lead here by `relation`."""
        return replace(self, path=f"{relation}__{self.path}")

    def is_met_by(self, row: Model) -> bool:
        """Ask a row whose relations along the path are loaded; others are queried."""
        raise NotImplementedError

    def condition(self) -> Q:
        """Return the same for a query."""
        raise NotImplementedError


@dataclass(frozen=True)
class Is(Requirement):
    """The value at the path is this one."""

    value: object

    def is_met_by(self, row: Model) -> bool:
        return bool(_at(row, self.path) == self.value)

    def condition(self) -> Q:
        return Q(**{self.path: self.value})


@dataclass(frozen=True)
class IsNot(Is):
    """The value at the path is another one. The column must not allow NULL."""

    def is_met_by(self, row: Model) -> bool:
        return not super().is_met_by(row)

    def condition(self) -> Q:
        return ~super().condition()


@dataclass(frozen=True)
class OneOf(Requirement):
    """The value at the path is one of these."""

    values: tuple[object, ...]

    def is_met_by(self, row: Model) -> bool:
        return _at(row, self.path) in self.values

    def condition(self) -> Q:
        return Q(**{f"{self.path}__in": self.values})


@dataclass(frozen=True)
class Same(Requirement):
    """Two paths lead to the same value, and there is one."""

    other: str

    def of(self, relation: str) -> Self:
        return replace(self, path=f"{relation}__{self.path}", other=f"{relation}__{self.other}")

    def is_met_by(self, row: Model) -> bool:
        value = _at(row, self.path)
        return value is not None and bool(value == _at(row, self.other))

    def condition(self) -> Q:
        return Q(**{self.path: F(self.other)})


def all_met(requirements: Iterable[Requirement]) -> Q:
    """Return the condition on rows that meet all of these requirements."""
    return Q(*(each.condition() for each in requirements))


def obstacle(row: Model, requirements: Sequence[Requirement]) -> str:
    """Return the code of the first requirement that a row does not meet; empty if it meets all."""
    return next((each.code for each in requirements if not each.is_met_by(row)), "")


def _at(row: Model, path: str) -> Any:  # Any: the value of any field
    """Follow a path; None where a relation leads nowhere."""
    found: Any = row
    for name in path.split("__"):
        try:
            found = getattr(found, name)
        except ObjectDoesNotExist:
            return None
        if found is None:
            return None
    return found
