"""A secret value in memory, wrapped so that it cannot slip into text, logs, pickles or comparisons."""

import re
from typing import NoReturn

SHAPES = re.compile(r"[ps]8e-[A-Za-z0-9_-]{8,}|(?<=-setimsoauth:)\S+")
"""What a client secret, or a command with one in it, looks like in other text."""


def cut_out(text: str) -> str:
    """Return `text` without anything of a client secret's shape: the last net, below all others."""
    return SHAPES.sub("***", text)


class Secret:
    """Holds one secret string. Only `reveal()` gives it back.

    CPython cannot wipe memory: the wrapper prevents accidents (a log line, a traceback, a session), it does
    not defend against someone who can read the memory of the process.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the plaintext. Every caller stands in docs/threat-model.md."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    def __str__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        raise TypeError("secrets are compared by fingerprint, not by value")

    __hash__ = None  # type: ignore[assignment]  # unhashable on purpose: no sets, no dict keys

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret cannot be serialized")
