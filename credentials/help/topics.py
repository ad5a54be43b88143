"""The topics of the help, each one a file per language, and whose work they are about."""

from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

FOLDER: Path = settings.BASE_DIR / "docs" / "help"
ENGLISH = "en"
"""The language that every topic has."""


@dataclass(frozen=True)
class Topic:
    """One page of the help: the file `<name>.md` in the folder of a language."""

    name: str
    icon: str
    role: str = ""
    """The role whose daily work it is."""
    is_reference: bool = False
    """Something to look up in, as opposed to something to read."""
    is_generated: bool = False
    """Written by `make pages` from the code; its headings are names that nobody translates."""


TOPICS = {
    each.name: each
    for each in (
        Topic("start", "info"),
        Topic("admin", "user", role="Admin"),
        Topic("helpdesk", "user", role="Helpdesk"),
        Topic("auditor", "user", role="Auditor"),
        Topic("glossary", "layers", is_reference=True),
        Topic("codes", "failed", is_reference=True, is_generated=True),
        Topic("settings", "edit", is_reference=True, is_generated=True),
        Topic("commands", "next", is_reference=True, is_generated=True),
    )
}
"""By their names in addresses, in the order of reading."""


def file_of(name: str, language: str) -> Path:
    """Return the file of a topic in a language, whether or not there is one."""
    return FOLDER / language / f"{name}.md"
