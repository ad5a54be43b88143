"""What a page shows of rooms above it: they register panels for places in it, and it renders them in order.

A place is named after the page and the part of it: `instance.about`, `container.cards`. The page's template
says `{% panels "instance.about" instance %}` where they go.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.http import HttpRequest

Show = Callable[[Any, HttpRequest], "Panel | None"]  # Any: the row that the page is about


@dataclass(frozen=True)
class Panel:
    """A template and what it needs besides the page's own context, which has the permissions already."""

    template: str
    context: Mapping[str, object] = field(default_factory=dict)


_places: dict[str, dict[Show, int]] = defaultdict(dict)


def panel(place: str, *, order: int) -> Callable[[Show], Show]:
    """Register a function for a place; lower numbers come first.

    It gets the row and the request, and returns a panel, or None if there is nothing to show to this person:
    it asks for the permission itself, and first.
    """

    def register(show: Show) -> Show:
        _places[place][show] = order
        return show

    return register


def panels_of(place: str, row: object, request: HttpRequest) -> Iterator[Panel]:
    """Yield what there is to show to the person of this request, in order."""
    for show in sorted(_places.get(place, {}), key=_places[place].__getitem__):
        if shown := show(row, request):
            yield shown
