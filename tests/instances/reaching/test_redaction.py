"""No secret survives in text that is stored, however the other side spelt it."""

import base64
import html
import json
from collections.abc import Callable
from urllib.parse import quote, quote_plus
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instances.reaching.redaction import LIMIT, redact
from portal.plaintext import Secret

AWKWARD = "a\"b'c<d>&e=f+g%h~é"
SPELLINGS: dict[str, Callable[[str], str]] = {
    "raw": str,
    "url": quote,
    "url, slash too": lambda value: quote(value, safe=""),
    "form": quote_plus,
    "json": lambda value: json.dumps(value)[1:-1],
    "json, unescaped": lambda value: json.dumps(value, ensure_ascii=False)[1:-1],
    "xml": escape,
    "html": html.escape,
    "base64": lambda value: base64.b64encode(value.encode()).decode(),
    "base64, url-safe": lambda value: base64.urlsafe_b64encode(value.encode()).decode(),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_is_masked(spelling: str) -> None:
    written = SPELLINGS[spelling](AWKWARD)
    text = redact(f"before {written} after".encode(), [Secret(AWKWARD)])
    assert written.rstrip("=") not in text
    assert text.startswith("before ********")
    assert text.endswith(" after")


@given(before=st.binary(max_size=7), after=st.binary(max_size=7))
def test_base64_of_something_longer_gives_nothing_away(before: bytes, after: bytes) -> None:
    secret = "an-old-secret-0123456789"
    written = base64.b64encode(before + secret.encode() + after).decode()
    text = redact(written.encode(), [Secret(secret)])
    assert "********" in text
    whole = base64.b64encode(secret.encode()).decode()
    assert not any(whole[start : start + 8] in text for start in range(0, len(whole) - 8, 4))


@given(secret=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8, max_size=60))
def test_any_secret_is_masked(secret: str) -> None:
    assert secret not in redact(f"x {secret} {secret}y".encode(), [Secret(secret)])


def test_a_longer_spelling_goes_before_a_shorter_one() -> None:
    assert redact(b"abcdefgh", [Secret("abcd"), Secret("abcdefgh")]) == "********"


def test_an_unknown_secret_of_the_usual_shape_is_masked() -> None:
    assert redact(b"old: p8e-0123456789abcdefABCDEF_-0123456789 end") == "old: ******** end"


def test_the_argument_of_the_command_is_masked_whole() -> None:
    assert redact(b"nlserver config -setimsoauth:ORG/CLIENT/TECH/any$thing x") == (
        "nlserver config -setimsoauth:******** x"
    )


def test_what_is_long_is_cut_after_it_was_redacted() -> None:
    secret = "s" * 100
    data = b"x" * (LIMIT - 50) + secret.encode() + b"y" * LIMIT
    text = redact(data, [Secret(secret)])
    assert "ss" not in text
    assert text.endswith("\n[...]\n")
    assert len(text) <= LIMIT


def test_escape_codes_and_direction_marks_are_dropped() -> None:
    assert redact("a\x1b[31mb\x00c\x07\r\n\td\u202ee\u2066f\u200bg\x9bh".encode()) == "a[31mbc\n\tdefgh"


def test_a_secret_hidden_by_control_characters_is_masked() -> None:
    assert "canary-secret" not in redact(b"can\x00ary-\x1bsecret", [Secret("canary-secret")])


def test_accents_stay_and_broken_bytes_are_marked() -> None:
    assert redact("Erreur r\u00e9seau \u2265 3".encode() + b"\xff") == "Erreur r\u00e9seau \u2265 3\ufffd"


@given(st.binary(max_size=300))
def test_anything_can_be_redacted(data: bytes) -> None:
    text = redact(data, [Secret("a secret")])
    assert all(char in "\n\t" or char.isprintable() for char in text)


def test_an_empty_secret_masks_nothing() -> None:
    assert redact(b"abc", [Secret("")]) == "abc"
