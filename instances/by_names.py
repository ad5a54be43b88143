"""Installations by their two names, as people type them."""

import re
from collections.abc import Iterable

from django.conf import settings
from django.db.models import Q
from django.utils.translation import override

from instances.models import ON, Installation, place_label


def _betweens() -> frozenset[str]:
    """Return what is between the names of an installation in each language of the portal: ` on `."""
    found = {ON, "@"}
    for language, _name in settings.LANGUAGES:
        with override(language):
            found.add(place_label("\0", "\0").split("\0")[1])
    return frozenset(found)


def pairs(text: str) -> list[tuple[str, ...]]:
    """Return which two names, in lower case, somebody may mean who typed this; empty: not two names.

    `prod1 on mkt-2` in any language, `prod1@mkt-2`, `prod1 mkt-2` and `mkt-2 prod1` mean one.
    """
    lowered = text.lower()
    between = "|".join(map(re.escape, sorted(_betweens(), key=len, reverse=True)))
    found = [tuple(each.strip() for each in re.split(between, lowered, maxsplit=1, flags=re.IGNORECASE))]
    found.append(tuple(lowered.split()))
    return [each for each in found if len(each) == 2]


def fits(typed: Iterable[tuple[str, ...]]) -> Q:
    """Return the installations that pairs may mean, in either order; the second name may be cut short."""
    return _either(typed, "istartswith")


def exactly(typed: Iterable[tuple[str, ...]]) -> Q:
    """Return the installations with such a pair of names in full, in either order."""
    return _either(typed, "iexact")


def _either(typed: Iterable[tuple[str, ...]], lookup: str) -> Q:
    """Return the installations with the first name in full, and the second as `lookup` says."""
    found = Q(pk__in=[])
    for first, second in typed:
        found |= Q(instance__name__iexact=first, **{f"container__name__{lookup}": second})
        found |= Q(container__name__iexact=first, **{f"instance__name__{lookup}": second})
    return found


def is_exact(row: Installation, typed: Iterable[tuple[str, ...]]) -> bool:
    """Whether one of the pairs is both names of an installation, in full."""
    names = (row.instance.name.lower(), row.container.name.lower())
    return any(pair in (names, names[::-1]) for pair in typed)
