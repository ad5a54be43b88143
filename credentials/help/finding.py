"""Finds topics and codes of the help by their titles."""

from collections.abc import Iterator

from django.urls import reverse
from django.utils.translation import get_language

from credentials.help.rendering import Page, Section, page_of
from credentials.help.topics import ENGLISH, TOPICS

NOT_FOUND = {"settings", "commands"}
"""Topics whose sections are names of other things than a search is for."""


def active_language() -> str:
    """Return the language of the person who reads."""
    return get_language() or ENGLISH


def found(text: str) -> Iterator[tuple[str, str, str, bool]]:
    """Yield title, address and page of what has a text in its title, and whether it is exactly that."""
    for name in TOPICS:
        page = page_of(name, active_language())
        address = reverse("help_topic", args=[name])
        if text.lower() in page.title.lower():
            yield page.title, address, page.summary, False
        for section in page.sections if name not in NOT_FOUND else ():
            if text.lower() in section.title.lower():
                yield section.title, f"{address}#{section.id}", page.title, _is_code(section, page, text)


def _is_code(section: Section, page: Page, text: str) -> bool:
    return TOPICS[page.topic].is_generated and section.id == text.lower()
