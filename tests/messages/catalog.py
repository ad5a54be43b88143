"""A catalog of a test's own, so that it can have a language of its own."""

from collections.abc import Mapping
from pathlib import Path

import polib


def write_catalog(folder: Path, language: str, messages: Mapping[str, str]) -> Path:
    """Write messages into the catalog of a language below a folder; return the folder.

    A message with a plural is `singular NUL plural`, as is its translation.
    """
    catalog = polib.POFile()
    catalog.metadata = {
        "Content-Type": "text/plain; charset=UTF-8",
        "Plural-Forms": "nplurals=2; plural=(n > 1);",
    }
    for key, text in messages.items():
        message, _nul, plural = key.partition("\0")
        catalog.append(
            polib.POEntry(msgid=message, msgid_plural=plural, msgstr_plural=dict(enumerate(text.split("\0"))))
            if plural
            else polib.POEntry(msgid=message, msgstr=text)
        )
    file = folder / language / "LC_MESSAGES" / "django.mo"
    file.parent.mkdir(parents=True)
    catalog.save_as_mofile(str(file))
    return folder
