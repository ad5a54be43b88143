"""Names of people within events: marked when they are recorded, so that each can be erased later."""

import secrets
from collections.abc import Iterator

from django.db import models

SALT_BYTES = 16


_columns: list[tuple[type[models.Model], str]] = []


class PersonName(str):
    """A person's name among the details of an event. Only values are names, never keys."""

    __slots__ = ()


def salted(pointers: list[str]) -> dict[str, dict[str, object]]:
    """Return what a new event keeps of the names at these places: a salt of its own for each."""
    return {pointer: {"salt": secrets.token_hex(SALT_BYTES)} for pointer in pointers}


def marked(value: object, pointer: str) -> Iterator[str]:
    """Yield the JSON pointer of each name that is marked within `value`, which itself is at `pointer`."""
    if isinstance(value, PersonName):
        if value:
            yield pointer
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from marked(each, f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}")
    elif isinstance(value, list | tuple):
        for number, each in enumerate(value):
            yield from marked(each, f"{pointer}/{number}")


def declare_names(model: type[models.Model], *fields: str) -> None:
    """Declare columns outside the history that hold names of people, so that an erasure finds them."""
    _columns.extend((model, field) for field in fields)


def name_columns() -> list[tuple[type[models.Model], str]]:
    """Return every column that was declared."""
    return list(_columns)
