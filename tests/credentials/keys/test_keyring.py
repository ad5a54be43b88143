"""Encryption at rest: what decrypts, what fails closed, and what a fingerprint tells."""

import pytest
from django.conf import settings as configured
from hypothesis import given
from hypothesis import strategies as st
from pytest_django.fixtures import Settings

from credentials.keys.keyring import (
    Binding,
    Keyring,
    KeyringError,
    UnreadableSecret,
    fingerprint,
    keyring,
    token_key_id,
)
from portal.plaintext import Secret
from portal.private_files import random_key

BINDING = Binding("row", 1, "client")


@given(st.text(max_size=60))
def test_what_was_encrypted_decrypts_to_the_same(text: str) -> None:
    ring = Keyring.parse(random_key())
    assert ring.decrypt(ring.encrypt(Secret(text), BINDING), BINDING).reveal() == text


def test_the_same_secret_never_encrypts_twice_to_the_same_token() -> None:
    ring = Keyring.parse(random_key())
    assert ring.encrypt(Secret("a"), BINDING) != ring.encrypt(Secret("a"), BINDING)


def test_the_length_of_a_secret_does_not_show() -> None:
    ring = Keyring.parse(random_key())
    assert len(ring.encrypt(Secret(""), BINDING)) == len(ring.encrypt(Secret("a" * 254), BINDING))


def test_a_secret_that_is_too_long_is_refused() -> None:
    with pytest.raises(ValueError, match="too long"):
        Keyring.parse(random_key()).encrypt(Secret("a" * 255), BINDING)


@pytest.mark.parametrize(
    "other", [Binding("other", 1, "client"), Binding("row", 2, "client"), Binding("row", 1, "x")]
)
def test_a_token_moved_to_another_row_version_or_client_does_not_decrypt(other: Binding) -> None:
    ring = Keyring.parse(random_key())
    token = ring.encrypt(Secret("a"), BINDING)
    with pytest.raises(UnreadableSecret):
        ring.decrypt(token, other)


@given(st.text(max_size=400))
def test_no_text_decrypts_by_chance_or_breaks_the_ring(token: str) -> None:
    with pytest.raises(UnreadableSecret):
        Keyring.parse(random_key()).decrypt(token, BINDING)


def test_a_changed_token_does_not_decrypt() -> None:
    ring = Keyring.parse(random_key())
    token = ring.encrypt(Secret("a"), BINDING)
    with pytest.raises(UnreadableSecret):
        ring.decrypt(token[:-20] + ("A" if token[-20] != "A" else "B") + token[-19:], BINDING)
    with pytest.raises(UnreadableSecret):
        ring.decrypt(token.replace("v1.", "v2."), BINDING)


def test_an_older_key_decrypts_and_a_missing_one_is_named() -> None:
    old, new = random_key(), random_key()
    token = Keyring.parse(old).encrypt(Secret("a"), BINDING)
    assert Keyring.parse(f"{new}\n# the former one\n{old}").decrypt(token, BINDING).reveal() == "a"
    with pytest.raises(UnreadableSecret, match=token_key_id(token)):
        Keyring.parse(new).decrypt(token, BINDING)


@pytest.mark.parametrize("text", ["", "# nothing", "c2hvcnQ=", "not base64!!", "\x00", "é"])
def test_an_unusable_ring_says_what_is_wrong(text: str) -> None:
    with pytest.raises(KeyringError):
        Keyring.parse(text)


def test_a_fingerprint_is_keyed_and_belongs_to_one_client(settings: Settings) -> None:
    name = fingerprint(Secret("a"), "client")
    assert name == fingerprint(Secret("a"), "client")
    assert name != fingerprint(Secret("a"), "another")
    assert name != fingerprint(Secret("b"), "client")
    settings.FINGERPRINT_KEY = "x" * 40
    assert name != fingerprint(Secret("a"), "client")


def test_the_configured_ring_is_the_one_in_use() -> None:
    assert keyring().active == Keyring.parse(configured.KEYRING).active
