"""Encrypts client secrets at rest, and makes their fingerprints. The only importer of ciphers.

A token is `v1.<key id>.<base64url(nonce + ciphertext)>`: AES-256-GCM with a random 96-bit nonce. The
associated data binds it to its row, so that a ciphertext copied to another row, version or client does not
decrypt. Everything fails closed: no function here ever returns a token in place of a plaintext.
"""

import binascii
import hashlib
import hmac
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from functools import cache
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings
from django.views.decorators.debug import sensitive_variables

from portal.keys import known, registry
from portal.plaintext import Secret

FINGERPRINT_KEY = "fingerprint_key"
PADDED = 256  # bytes; a secret's length does not show in its ciphertext


class KeyringError(Exception):
    """The key ring itself is unusable: its text says what to correct."""


class UnreadableSecret(Exception):
    """A stored secret does not decrypt: wrong or missing key, or a changed ciphertext."""


@dataclass(frozen=True)
class Binding:
    """What a ciphertext belongs to; every part of it never changes."""

    row: str
    version: int
    client_id: str

    def associated_data(self, key_id: str) -> bytes:
        return f"portal|v1|{key_id}|client_secret|{self.row}|{self.version}|{self.client_id}".encode()


class Keyring:
    """Keys by id; the first one encrypts, all of them decrypt."""

    def __init__(self, keys: list[bytes]) -> None:
        if not keys:
            raise KeyringError("The key ring is empty: it needs at least one key of 32 bytes in base64.")
        self._keys = {key_id(key): key for key in keys}
        self.active = key_id(keys[0])

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read base64 keys, one per line or separated by commas, the active one first."""
        lines = [line.strip() for line in text.replace(",", "\n").splitlines()]
        return cls([_key(line) for line in lines if line and not line.startswith("#")])

    @property
    def key_ids(self) -> list[str]:
        return list(self._keys)

    @property
    def fingerprints(self) -> list[str]:
        """What tells each key from another one, the active key's first."""
        return [registry.fingerprint(key, "keyring") for key in self._keys.values()]

    @sensitive_variables()
    def encrypt(self, plaintext: Secret, binding: Binding) -> str:
        """Return the token of `plaintext` under the active key. `ValueError` if it is over 254 bytes."""
        raw = plaintext.reveal().encode()
        if len(raw) > PADDED - 2:
            raise ValueError("the secret is too long to be stored")
        padded = len(raw).to_bytes(2, "big") + raw.ljust(PADDED - 2, b"\0")
        nonce = os.urandom(12)
        sealed = AESGCM(self._keys[self.active]).encrypt(nonce, padded, binding.associated_data(self.active))
        return f"v1.{self.active}.{urlsafe_b64encode(nonce + sealed).decode()}"

    @sensitive_variables()
    def decrypt(self, token: str | None, binding: Binding) -> Secret:
        """Return the plaintext; `UnreadableSecret` for a foreign, changed or unknown-key token, or none."""
        if token is None:
            raise UnreadableSecret("The stored secret was destroyed after it was deleted at Adobe.")
        try:
            form, used, payload = token.split(".")
            data = urlsafe_b64decode(payload)
            key = self._keys[used]
            if form != "v1":
                raise UnreadableSecret("The stored secret has an unknown format.")
            padded = AESGCM(key).decrypt(data[:12], data[12:], binding.associated_data(used))
        except KeyError:
            raise UnreadableSecret(f"The key {token.split('.')[1]} is not in the key ring.") from None
        except (ValueError, binascii.Error, InvalidTag):
            raise UnreadableSecret("The stored secret does not belong to this row, or was changed.") from None
        return Secret(padded[2 : 2 + int.from_bytes(padded[:2], "big")].decode())


def key_id(key: bytes) -> str:
    """Return the id of a key, derived from it, so that a wrong key shows before anything is decrypted."""
    return hmac.new(key, b"kid", hashlib.sha256).hexdigest()[:8]


def token_key_id(token: str | None) -> str:
    """Return the id of the key that a token needs, or an empty string if it is no token."""
    parts = (token or "").split(".")
    return parts[1] if len(parts) == 3 else ""


def _key(text: str) -> bytes:
    try:
        key = urlsafe_b64decode(text.replace("+", "-").replace("/", "_"))
    except (ValueError, binascii.Error):
        raise KeyringError("A key in the key ring is not base64.") from None
    if len(key) != 32:
        raise KeyringError(f"A key in the key ring has {len(key)} bytes instead of 32.")
    return key


@cache
def _parsed(text: str) -> Keyring:
    return Keyring.parse(text)


def keyring() -> Keyring:
    """Return the configured key ring; `KeyringError` says what is wrong with it."""
    return _parsed(settings.KEYRING)


def key_fingerprints() -> list[str]:
    """Return the fingerprints of the configured ring, or none if there is no ring that can be used."""
    try:
        return keyring().fingerprints
    except KeyringError:
        return []


@sensitive_variables()
def fingerprint(plaintext: Secret, client_id: str, key: str = "") -> str:
    """Return the short public name of a secret: 12 hex digits of a keyed HMAC, different per client.

    It is made with `key`, or else with the newest fingerprint key.
    """
    text = f"fp|v1|{client_id}|{plaintext.reveal()}"
    made_with = key or registry.keys_of(FINGERPRINT_KEY)[0]
    return hmac.new(made_with.encode(), text.encode(), hashlib.sha256).hexdigest()[:12]


@sensitive_variables()
def fingerprints(plaintext: Secret, client_id: str) -> list[str]:
    """Return the names by which a stored secret may be known: the one to store first, then by other keys.

    There are others only while one fingerprint key replaces another. Until the database has accepted
    the new one, nothing is stored under it: another process may not hold it.
    """
    keys = registry.keys_of(FINGERPRINT_KEY)
    row = known.known_keys().get(FINGERPRINT_KEY) if len(keys) > 1 else None
    if row:
        keys.sort(key=lambda key: registry.fingerprint(key.encode(), FINGERPRINT_KEY) != row.fingerprint)
    return [fingerprint(plaintext, client_id, key) for key in keys]
