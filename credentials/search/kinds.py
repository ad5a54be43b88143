"""What a search is about: what was typed, the kinds of things that are looked for, and what was found."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Self
from urllib.parse import urlencode
from uuid import UUID

from django.contrib.auth.models import AnonymousUser, User
from django.urls import reverse
from django.utils.functional import Promise

SHOWN = 6
"""Hits on the page of a kind whose list shows the others."""
SHOWN_WITHOUT_LIST = 20
"""Hits of a kind that has no such list: what is beyond them needs another word."""
LOOKED = 101
"""Rows of one kind that a search reads at most; what is beyond them is counted as *more than 100*."""
_NUMBER = re.compile(r"#?\s*([0-9]{1,9})")


@dataclass(frozen=True)
class Typed:
    """What somebody searches for."""

    text: str
    number: int | None
    """Of `12` and `#12`."""
    id: UUID | None
    """Of one of the portal's own ids. Adobe's client ids look like them, so that it may be a name as well."""

    @classmethod
    def of(cls, text: str) -> Self:
        number = _NUMBER.fullmatch(text)
        return cls(text, int(number[1]) if number else None, _uuid(text))

    @property
    def is_name(self) -> bool:
        """Whether it can be a part of a name, as `#12` cannot."""
        return not self.text.startswith("#")


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text) if len(text) >= 32 else None
    except ValueError:
        return None


@dataclass(frozen=True)
class Hit:
    """One thing that was found, and where its page is."""

    title: str
    url: str
    detail: str = ""
    state: str = ""
    """As the tag `status` takes it, where it is worth saying."""
    is_exact: bool = False
    """Whether exactly this one was asked for: by its whole name, its number, its id."""
    permission: str = ""
    """Who may see it, if not everybody who may find its kind."""


@dataclass(frozen=True)
class Kind:
    """One kind of things: who may find them, how, and which list shows all that fit."""

    name: str
    """As icons know it."""
    label: Promise
    searched: Promise
    """By what it is found, after `Searched:`."""
    permission: str
    find: Callable[[Typed], Iterable[Hit]]
    """Yields at most `LOOKED` hits, the best ones first, at a cost that does not grow with the history."""
    list_page: str = ""
    """Name of the URL of a list that takes the text as its parameter `q`."""


@dataclass(frozen=True)
class Found:
    """What was found of one kind."""

    kind: Kind
    hits: list[Hit]
    more: int
    is_counted: bool = True
    """False: there are more than `more`."""
    url: str = ""


@dataclass(frozen=True)
class Results:
    """What was found: what was asked for exactly, and the rest by kind."""

    exact: list[tuple[Kind, Hit]] = field(default_factory=list)
    found: list[Found] = field(default_factory=list)

    @property
    def total(self) -> int:
        return len(self.exact) + sum(len(each.hits) + each.more for each in self.found)


def allowed(kinds: Iterable[Kind], user: User | AnonymousUser) -> list[Kind]:
    """Return the kinds that this person may find."""
    return [kind for kind in kinds if user.has_perm(kind.permission)]


def search(kinds: Iterable[Kind], text: str, may: Callable[[str], bool] = lambda permission: True) -> Results:
    """Ask each kind once; `may` tells which permissions the person has."""
    typed = Typed.of(text)
    results = Results()
    for kind in kinds:
        found = (hit for hit in kind.find(typed) if not hit.permission or may(hit.permission))
        hits = list(islice(found, LOOKED))
        results.exact.extend((kind, hit) for hit in hits if hit.is_exact)
        others = [hit for hit in hits if not hit.is_exact]
        if others:
            results.found.append(_found(kind, others, is_counted=len(hits) < LOOKED, query={"q": text}))
    return results


def _found(kind: Kind, hits: list[Hit], *, is_counted: bool, query: Mapping[str, str]) -> Found:
    url = f"{reverse(kind.list_page)}?{urlencode(query)}" if kind.list_page else ""
    most = SHOWN if kind.list_page else SHOWN_WITHOUT_LIST
    return Found(kind, hits[:most], max(0, len(hits) - most), is_counted, url)
