"""Labels of pages, buttons and links in the help: in bold, and exactly as the pages show them.

A translation has the same labels in the same order under the same heading as the English file, so that those
of the pages can be put in by themselves.
"""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from django.utils import translation
from django.utils.translation import gettext

ROOT = Path(__file__).resolve().parents[2]
LABEL = re.compile(r"\*\*([^*\n]+)\*\*")


def labels_of(text: str) -> list[list[str]]:
    """Return the labels under each heading, in order."""
    return [LABEL.findall(part) for part in re.split(r"^#+ .*$", text, flags=re.MULTILINE)]


def shown(label: str, language: str) -> str:
    """Return a label as the pages show it in a language; itself, where it has no translation."""
    with translation.override(language):
        return gettext(label)


def with_labels(text: str, english: str, language: str) -> str:
    """Return a translated file with every label as the pages show it.

    `ValueError` where its labels are not those of the English file, one for one under each heading.
    """
    theirs, ours = labels_of(english), labels_of(text)
    if [len(each) for each in theirs] != [len(each) for each in ours]:
        found = next((pair for pair in zip(theirs, ours, strict=False) if len(pair[0]) != len(pair[1])), ())
        raise ValueError(f"Other labels than in the English file: {found or 'another number of headings'}")
    right = iter(label for part in theirs for label in part)

    def put(match: re.Match[str]) -> str:
        label = next(right)
        known = shown(label, language)
        return match[0] if known == label else f"**{known}**"

    return LABEL.sub(put, text)


@cache
def source() -> str:
    """Return the portal's templates and code, blanks of translated texts made one."""
    files: Iterator[Path] = (
        path
        for folder, pattern in (
            ("templates", "*.html"),
            ("credentials", "*.py"),
            ("instances", "*.py"),
            ("portal", "*.py"),
        )
        for path in sorted((ROOT / folder).rglob(pattern))
    )
    return re.sub(r"\s+", " ", " ".join(path.read_text() for path in files))


def is_of_the_portal(label: str) -> bool:
    """Whether the portal's pages have this text."""
    marks = (f'"{label}"', f"> {label} <", f"%}}{label}{{%", f">{label}<", f"%}} {label} {{%")
    return any(mark in source() for mark in marks)
