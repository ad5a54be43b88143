"""Order and size of a list's pages. Both stand in the address: `?sort=-started&size=100`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.http import QueryDict

SORT, SIZE = "sort", "size"
SIZES = (25, 50, 100, 250)


@dataclass(frozen=True)
class Order:
    """What a list is ordered by."""

    column: str
    is_descending: bool
    fields: Sequence[str]
    """As `order_by` takes them."""

    def next_of(self, column: str) -> str:
        """Return what the address says to order by a column: the other way round, if it is that already."""
        return f"-{column}" if column == self.column and not self.is_descending else column


@dataclass(frozen=True)
class Orders:
    """By which columns a list can be ordered: name in the address -> fields, the last of them unique."""

    columns: Mapping[str, Sequence[str]]
    usual: str

    def of(self, query: QueryDict) -> Order:
        """Return the order that an address asks for; the usual one, if it asks for none that there is."""
        wanted = query.get(SORT, "")
        if wanted.removeprefix("-") not in self.columns:
            wanted = self.usual
        column, is_descending = wanted.removeprefix("-"), wanted.startswith("-")
        fields = self.columns[column]
        return Order(column, is_descending, [_turned(each) for each in fields] if is_descending else fields)


def _turned(field: str) -> str:
    return field[1:] if field.startswith("-") else f"-{field}"


def size_of(query: QueryDict, usual: int) -> int:
    """Return how many rows an address asks for on a page: one of `SIZES`, or the usual number."""
    wanted = query.get(SIZE, "")
    return int(wanted) if wanted in map(str, SIZES) else usual


class SizedPaginator(Paginator):  # type: ignore[type-arg]  # Django's has no argument at run time
    """Pages whose size the reader may choose."""

    sizes = SIZES


def page_of(rows: "QuerySet[Any, Any]", query: QueryDict, usual: int) -> "Page[Any]":  # Any: any model's
    """Return the page of a list that an address asks for."""
    return SizedPaginator(rows, size_of(query, usual)).get_page(query.get("page"))
