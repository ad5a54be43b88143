"""A language that everybody can read and nobody writes: each letter is wider, so what is not marked shows."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser

import pytest

WIDER = {code: code + 0xFEE0 for first, last in ("az", "AZ") for code in range(ord(first), ord(last) + 1)}
_AS_IT_IS = re.compile(r"(%\(\w+\)[sd]|%[sd%]|\{\w*\}|<[^>]+>|&\w+;)")
_SHOWN = {"title", "aria-label", "placeholder", "alt", "data-copied", "data-confirm", "data-label", "label"}
_NOT_READ = {"script", "style", "template"}
_DATA = {"code", "pre", "kbd", "samp"}
_VOID = {"area", "base", "br", "col", "hr", "img", "input", "link", "meta", "wbr"}


def widened(message: str) -> str:
    """Return a message in that language; placeholders, tags and entities stay."""
    parts = _AS_IT_IS.split(message)
    return "".join(part if place % 2 else part.translate(WIDER) for place, part in enumerate(parts))


@contextmanager
def pseudo_language() -> Iterator[None]:
    """Have every marked message come out in that language for a while."""

    def one(message: str) -> str:
        return widened(message)

    def many(singular: str, plural: str, number: float) -> str:
        return widened(singular if number == 1 else plural)

    functions = {
        "gettext": one,
        "ngettext": many,
        "pgettext": lambda context, message: one(message),
        "npgettext": lambda context, *others: many(*others),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, function in functions.items():
            patch.setattr(f"django.utils.translation._trans.{name}", function)
        yield


class Reader(HTMLParser):
    """Collects what a person or a screen reader is told by a page."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag not in _VOID:
            self._open.append(tag)
        self.texts += [value for name, value in attributes if name in _SHOWN and value]

    def handle_endtag(self, tag: str) -> None:
        while tag in self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if data.strip() and not {*self._open} & (_NOT_READ | _DATA):
            self.texts.append(data.strip())


def texts_of(page: str) -> list[str]:
    """Return the texts of a page in order, without code and output."""
    reader = Reader()
    reader.feed(page)
    return reader.texts
