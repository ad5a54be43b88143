"""What a container answers when it is read: its build, and what the file of each of its instances holds."""

import re
from dataclasses import dataclass, field
from typing import Literal

from instances.nlserver.job import INSTANCE
from instances.nlserver.report import (
    DIGEST,
    OCCURRENCES,
    STAMP,
    TEXT,
    YES,
    Fields,
    FileState,
    Ready,
    Shape,
)

MOST_FILES = 200
"""The script reads no more files than this, and counts the others."""
Unread = Literal["", "none", "unreadable", "busy", "too_big", "moving"]

_GROUP = {
    "file": Shape(0, re.compile("none|unreadable|busy|too_big|moving")),
    "now.stamp": Shape(1, re.compile(STAMP)),
    "now.read": Shape(3, re.compile("yes|no|torn")),
    **{
        f"now.{name}": Shape(2, re.compile(TEXT), OCCURRENCES)
        for name in ("client_id", "technical_account_id", "organization_id")
    },
    "now.secret": Shape(2, re.compile(f"{DIGEST.pattern}|empty"), OCCURRENCES),
    "now.jwt": Shape(2, re.compile("yes|"), OCCURRENCES),
}
_END = {
    "strange": Shape(18, re.compile("[0-9]{1,9}")),
    "further": Shape(18, re.compile("[0-9]{1,9}")),
    "done": Shape(19, re.compile(YES)),
}
_BEGINNING = 5
"""The last phase of a conversation that a reading has in common with the others: the build."""


@dataclass
class FileFields(Fields):
    """The marked lines about one file."""

    def shape(self, key: str, value: str) -> Shape | None:
        return _GROUP.get(key)


@dataclass
class ReadingFields(Fields):
    """The marked lines of a reading: about the container, then one group for each file, then the end."""

    files: dict[str, FileFields] = field(default_factory=dict)

    def add(self, text: str) -> None:
        """Take one marked line without its mark."""
        key, _equals, value = text.partition("=")
        if key == "instance":
            self._begin(value)
        elif key in _GROUP and self.files and not self.has("strange"):
            last = next(reversed(self.files.values()))
            last.add(text)
            self.malformed = self.malformed or last.malformed
        else:
            super().add(text)

    def shape(self, key: str, value: str) -> Shape | None:
        if key in _END:
            return _END[key]
        shape = super().shape(key, value)
        return shape if shape and shape.phase <= _BEGINNING and not self.files else None

    def _begin(self, name: str) -> None:
        is_new = bool(INSTANCE.fullmatch(name)) and name != "default" and name not in self.files
        if self.has("strange") or not is_new or len(self.files) == MOST_FILES:
            self.malformed = True
            return
        self.files[name] = FileFields()


@dataclass(frozen=True)
class FileSeen:
    """The file of one instance. `unread` says why nothing is known of it, else it is empty."""

    instance: str
    state: FileState = field(default_factory=FileState)
    unread: str = ""


@dataclass(frozen=True)
class Reading:
    """What a container showed: `strange` files have names that no instance has, `further` were not read."""

    ready: Ready
    files: tuple[FileSeen, ...]
    strange: int = 0
    further: int = 0
    output: bytes = b""


def parse_reading(fields: ReadingFields, ready: Ready, output: bytes) -> Reading:
    """Return the reading of a conversation that came to its end."""
    files = tuple(_seen(name, found) for name, found in fields.files.items())
    return Reading(ready, files, fields.number("strange") or 0, fields.number("further") or 0, output)


def _seen(name: str, fields: FileFields) -> FileSeen:
    state = fields.file_state("now")
    unread = fields.last("file") or ("" if fields.has("now.read") else "unreadable")
    return FileSeen(name, state, unread)
