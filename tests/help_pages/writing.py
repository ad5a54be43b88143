"""Writes the generated pages of the help from what the code says, in each language; `make pages` runs it.

A module of the tests and no management command: it writes into the checkout, which nobody who operates a
portal does, and an image holds neither this nor `.env.example`.
"""

from collections.abc import Callable

from django.utils import translation

from credentials.help.topics import file_of
from tests.help_pages import codes, commands, environment
from tests.help_pages.labels import with_labels
from tests.help_pages.typography import french

LANGUAGES = ("en", "fr")
MAKERS: dict[str, Callable[[str], str]] = {
    "codes": codes.page,
    "settings": environment.page,
    "commands": commands.page,
}
"""What writes each generated topic in a language."""
BY_HAND = ("start", "admin", "helpdesk", "auditor", "glossary")


def generated(topic: str, language: str) -> str:
    """Return a generated topic as the code says it today."""
    with translation.override(language):
        text = MAKERS[topic](language)
    return french(text) if language == "fr" else text


def revised(topic: str, language: str) -> str:
    """Return a topic that people write; a translation with the pages' labels and its typography."""
    text = file_of(topic, language).read_text(encoding="utf-8")
    if language == "en":
        return text
    english = file_of(topic, "en").read_text(encoding="utf-8")
    return french(with_labels(text, english, language))


def write() -> list[str]:
    """Write everything; return the names of the files that changed."""
    changed = []
    for language in LANGUAGES:
        for topic in (*MAKERS, *BY_HAND):
            text = generated(topic, language) if topic in MAKERS else revised(topic, language)
            file = file_of(topic, language)
            if not file.is_file() or file.read_text(encoding="utf-8") != text:
                file.write_text(text, encoding="utf-8")
                changed.append(f"{language}/{file.name}")
    return changed
