"""Taking secrets out of what a container printed, before anybody or anything stores it."""

import base64
import html
import json
from collections.abc import Iterable
from urllib.parse import quote, quote_plus
from xml.sax.saxutils import escape

from portal.plaintext import Secret, cut_out

LIMIT = 64 * 1024
MASK = "********"
CUT = "\n[...]\n"


def redact(data: bytes, secrets: Iterable[Secret] = ()) -> str:
    """Return remote output as text that may be stored: no secret, at most `LIMIT` bytes, only printable.

    What is not printable goes first: it could lie inside a secret and hide it. The cut comes last: it
    could leave half a secret, which no pattern finds.
    """
    text = _printable(data.decode("utf-8", "replace"))
    for form in sorted(_forms(secrets), key=len, reverse=True):
        text = text.replace(form, MASK)
    return _cut(cut_out(text, MASK))


def _forms(secrets: Iterable[Secret]) -> set[str]:
    """Every spelling of the secrets that a program might print."""
    return {form for secret in secrets for form in _spellings(secret.reveal()) if form}


def _spellings(value: str) -> set[str]:
    return {
        value,
        quote(value, safe=""),
        quote(value),
        quote_plus(value),
        quote(value, safe="").lower(),
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        escape(value),
        html.escape(value),
        escape(value, {'"': "&quot;", "'": "&apos;"}),
        *_base64_forms(value.encode()),
    }


def _base64_forms(raw: bytes) -> Iterable[str]:
    """Base64 of the value alone, and its unmistakable middle when it is inside something longer.

    Base64 works on groups of three bytes, so within a longer text the same value appears in one of three
    forms, whose first and last characters depend on the neighbours.
    """
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        yield encode(raw).decode().rstrip("=")
        for shift in range(3):
            usable = (shift + len(raw)) // 3 * 4
            middle = encode(b"\0" * shift + raw).decode()[(0, 2, 3)[shift] : usable]
            if len(middle) >= 8:
                yield middle


def _cut(text: str) -> str:
    encoded = text.encode()
    if len(encoded) <= LIMIT:
        return text
    return encoded[: LIMIT - len(CUT)].decode("utf-8", "ignore") + CUT


def _printable(text: str) -> str:
    """Escape codes and text direction marks could make a page or a terminal show what is not there."""
    return "".join(char for char in text if char in "\n\t" or char.isprintable())
