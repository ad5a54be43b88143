"""Reads fingerprints that somebody got elsewhere, as tools print them. Pure: knows no models.

Known: `ssh-keygen -l`, `ssh-keyscan`, known_hosts, `.pub` files, and a fingerprint alone or behind a name.
"""

import re
from dataclasses import dataclass

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from instances.inventory.csv_format import clean_host_key_fingerprint
from instances.ssh import HOST_KEY_TYPES, PublicHostKey

MAX_LINES = 5000
_LISTED = re.compile(r"[0-9]+ (\S+) ?(.*?) ?\(([A-Z0-9-]+)\)")
_HOST_AND_PORT = re.compile(r"\[([^]]+)\](?::([0-9]{1,5}))?")


@dataclass(frozen=True)
class PastedKey:
    """One line: whose key it is and its family, each if it says so, and its fingerprint."""

    line: int
    names: tuple[str, ...]
    """Names and addresses in lower case, with `:port` where the line has one."""
    family: str
    fingerprint: str


def family_of(key_type: str) -> str:
    """Return what `ssh-keygen -l` calls a type of keys."""
    if key_type.startswith("ecdsa"):
        return "ECDSA"
    return key_type.removeprefix("ssh-").upper()


def read(text: str) -> tuple[list[PastedKey], list[str]]:
    """Return the keys that a text names, and what is wrong with which line."""
    keys: list[PastedKey] = []
    wrong: list[str] = []
    lines = text.splitlines()
    for number, line in enumerate(lines[:MAX_LINES], 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            keys.append(_key(number, line.strip()))
        except ValidationError as error:
            wrong.append(_("Line %(number)d: %(reason)s") % {"number": number, "reason": error.messages[0]})
    if len(lines) > MAX_LINES:
        wrong.append(_("Only the first %d lines were read.") % MAX_LINES)
    return keys, wrong


def _key(number: int, line: str) -> PastedKey:
    words = line.split()
    for position, word in enumerate(words[:3]):
        if word in HOST_KEY_TYPES:
            return _from_line(number, words, position)
    if listed := _LISTED.fullmatch(line):
        fingerprint = clean_host_key_fingerprint(listed[1])
        return PastedKey(number, _names(listed[2]), listed[3], fingerprint)
    cells = [cell for cell in re.split(r"[\s,;|]+", line) if cell]
    fingerprint = clean_host_key_fingerprint(cells[-1])
    return PastedKey(number, _names(" ".join(cells[:-1])), "", fingerprint)


def _from_line(number: int, words: list[str], position: int) -> PastedKey:
    try:
        key = PublicHostKey.parse(" ".join(words[position : position + 2]))
    except ValueError:
        raise ValidationError(_("This key is incomplete: its end is missing.")) from None
    names = words[position - 1] if position else " ".join(words[2:])
    return PastedKey(number, _names(names), family_of(key.type), key.fingerprint)


def _names(text: str) -> tuple[str, ...]:
    """Return the names in the host part or the comment of a line; `root@app-1` speaks of app-1."""
    found: list[str] = []
    for word in re.split(r"[\s,]+", text.lower()):
        name = word.rpartition("@")[2].rstrip(".")
        if match := _HOST_AND_PORT.fullmatch(name):
            name = f"{match[1]}:{match[2]}" if match[2] else match[1]
        if name and not name.startswith("|"):  # hashed: it says nothing
            found.append(name)
    return tuple(found)
