"""Installations by their two names, as people type them."""

import re
from collections.abc import Iterable
from functools import reduce
from operator import or_

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
    return reduce(or_, (_fits(*each) for each in typed), Q(pk__in=[]))


def exactly(typed: Iterable[tuple[str, ...]]) -> Q:
    """Return the installations with such a pair of names in full, in either order."""
    return reduce(or_, (_exactly(*each) for each in typed), Q(pk__in=[]))


def _exactly(first: str, second: str) -> Q:
    as_written = Q(instance__name__iexact=first, container__name__iexact=second)
    return as_written | Q(container__name__iexact=first, instance__name__iexact=second)


def is_exact(row: Installation, typed: Iterable[tuple[str, ...]]) -> bool:
    """Whether one of the pairs is both names of an installation, in full."""
    names = (row.instance.name.lower(), row.container.name.lower())
    return any(pair in (names, names[::-1]) for pair in typed)


def _fits(first: str, second: str) -> Q:
    by_instance = Q(instance__name__iexact=first, container__name__istartswith=second)
    return by_instance | Q(container__name__iexact=first, instance__name__istartswith=second)
