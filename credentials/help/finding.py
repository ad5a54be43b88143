"""Finds topics and codes of the help by their titles, and says how these are compared with what was typed."""

import unicodedata
from collections.abc import Iterator

from django.urls import reverse
from django.utils.translation import get_language

from credentials.help.rendering import Page, Section, page_of
from credentials.help.topics import ENGLISH, TOPICS

NOT_FOUND = {"settings", "commands"}
"""Topics whose sections are names of other things than a search is for."""


_WRITTEN_ALIKE = str.maketrans({"\u2019": "'", "\u2018": "'", "\u02bc": "'", "œ": "oe", "æ": "ae"})


def folded(text: str) -> str:
    """Return a text as it is compared: no case, no accents, the apostrophe of keyboards, single blanks."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(each for each in plain if not unicodedata.combining(each))
    return " ".join(plain.translate(_WRITTEN_ALIKE).split())


def has_all(words: str, text: str) -> bool:
    """Whether a text has all words of what was typed, in whatever order."""
    wanted, where = folded(words).split(), folded(text)
    return bool(wanted) and all(word in where for word in wanted)


def active_language() -> str:
    """Return the language of the person who reads."""
    return get_language() or ENGLISH


def found(text: str) -> Iterator[tuple[str, str, str, bool]]:
    """Yield title, address and page of what has these words in its title, and whether it is exactly that."""
    for name in TOPICS:
        page = page_of(name, active_language())
        address = reverse("help_topic", args=[name])
        if has_all(text, page.title):
            yield page.title, address, page.summary, False
        for section in page.sections if name not in NOT_FOUND else ():
            if has_all(text, section.title):
                yield section.title, f"{address}#{section.id}", page.title, _is_code(section, page, text)


def _is_code(section: Section, page: Page, text: str) -> bool:
    return TOPICS[page.topic].is_generated and section.id == text.lower()
