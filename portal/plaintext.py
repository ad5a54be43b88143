"""Client secrets: the one statement of what they look like, and the wrapper for one in memory.

The wrapper keeps a secret out of text, logs, pickles and comparisons. The shapes find one in text where it
must not be: it is cut out of logs, the audit trail and what a container printed, and what people or files
enter is refused if it has one (`portal.no_secrets`). No other module states a shape.
"""

import re
import unicodedata
from typing import NoReturn
from urllib.parse import unquote

PREFIX = "p8e-"
JWT_PREFIX = "s8e-"
"""Secrets of retired JWT credentials begin with it."""
USUAL_FORM = re.compile(PREFIX + r"[A-Za-z0-9_-]{32}")
"""A whole client secret as Adobe makes them today; they promise no shape."""
ACCESS_TOKEN = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)

# Word processors turn a hyphen into a dash, and URLs may have it percent-encoded.
_DASH = r"(?:[-\u2010-\u2015\u2212\ufe58\ufe63\uff0d]|%2d)"
_START = f"[ps]8e{_DASH}"
_CHARACTER = f"(?:[A-Za-z0-9_]|%5f|{_DASH})"
_OTHERS = (
    r"(?<=-setimsoauth:)(?!\*{3,}(?!\S))\S+"  # a command's argument, unless it is masked already
    rf"|(?<![\w-])(?-i:(?=\w{{16}}){ACCESS_TOKEN.pattern})"
    r"|-----BEGIN[ A-Z]*PRIVATE KEY-----.*?(?:-----END[ A-Z]*PRIVATE KEY-----|\Z)"
)
_FLAGS = re.IGNORECASE | re.DOTALL
# Cutting costs nothing, so a quarter of a secret is enough. A refusal stops a person, so it takes half of
# one, and a whole one in the middle of a word: a server may have a name like app8e-frankfurt.
_CUT = re.compile(f"{_START}{_CHARACTER}{{8,}}|{_OTHERS}", _FLAGS)
_REFUSED = re.compile(
    f"(?<![A-Za-z0-9]){_START}{_CHARACTER}{{16,}}|{_START}{_CHARACTER}{{32,}}|{_OTHERS}", _FLAGS
)
PEM = "-----BEGIN"
"""Begins a private key or a certificate, as the retired JWT credentials had them."""
SHORTEST = 20
"""Characters: what is shorter has no half of a secret, whatever its writing."""
_INVISIBLE = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\xad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]")


def cut_out(text: str, mask: str = "***") -> str:
    """Return `text` without anything of a client secret's shape: the last net, below all others."""
    return _CUT.sub(mask, text)


def has_secret(text: str) -> bool:
    """Tell whether a text has something of a client secret's shape in it; never after `cut_out`."""
    low = text.lower()
    # each shape has one of these; to look for them first is many times as fast as the patterns
    is_worth_it = "8e" in low or "-setimsoauth:" in low or "eyj" in low or "private key" in low
    return is_worth_it and bool(_REFUSED.search(text))


def may_hold_secret(text: str) -> bool:
    """Tell the same of what a person or a file entered: also if it is encoded or has invisible characters."""
    if len(text) < SHORTEST:
        return PEM in text
    visible = _INVISIBLE.sub("", text)
    forms = {text, visible, unicodedata.normalize("NFKC", visible), unquote(visible)}
    return PEM in text or any(map(has_secret, forms))


class Secret:
    """Holds one secret string. Only `reveal()` gives it back.

    CPython cannot wipe memory: the wrapper prevents accidents (a log line, a traceback, a session), it does
    not defend against someone who can read the memory of the process.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the plaintext. Every caller is listed in docs/threat-model.md."""
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
