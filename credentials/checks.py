"""System checks of the key ring: a wrong or missing key stops the start, with a message."""

from collections.abc import Sequence

from django.core.checks import CheckMessage, Error, Tags, register
from django.db import DatabaseError

from credentials.keyring import (
    Binding,
    KeyringError,
    UnreadableSecret,
    fingerprint,
    keyring,
    token_key_id,
)
from credentials.models import ClientSecret
from portal.health.readiness import ready_if


@register()
def usable_keyring(**_: object) -> list[CheckMessage]:
    """Refuse a key ring that cannot be read."""
    try:
        keyring()
    except KeyringError as error:
        return [
            Error(
                str(error),
                hint="Restore the key ring from its backup (KEYRING or KEYRING_FILE).",
                id="credentials.E001",
            )
        ]
    return []


@register(Tags.database)
def matching_keyring(databases: Sequence[str] | None = None, **_: object) -> list[CheckMessage]:
    """Refuse a key ring that lacks a key which stored secrets need, or that does not decrypt them."""
    if not databases:
        return []
    try:
        ring = keyring()
        newest_per_key = list(ClientSecret.objects.newest_per_key())
    except (KeyringError, DatabaseError):
        return []  # reported by usable_keyring; or the tables do not exist before the first migration
    problems: list[CheckMessage] = []
    for secret in newest_per_key:
        try:
            plain = ring.decrypt(secret.ciphertext, Binding(str(secret.pk), secret.version, secret.client_id))
        except UnreadableSecret as error:
            needed = token_key_id(secret.ciphertext) or "?"
            problems.append(
                Error(
                    f"Stored secrets under key {needed} cannot be decrypted. {error}",
                    hint="Restore the key ring that belongs to this database, then start again.",
                    id="credentials.E002",
                )
            )
            continue
        if fingerprint(plain, secret.client_id) != secret.fingerprint:
            problems.append(
                Error(
                    "The fingerprint key is not the one that made the fingerprints in this database.",
                    hint="Restore the fingerprint key (FINGERPRINT_KEY), then start again.",
                    id="credentials.E003",
                )
            )
    return problems


@ready_if("keyring")
def keyring_has_every_key() -> None:
    """Compare key ids, which are derived from the keys. Anybody may ask, so no secret is decrypted for it."""
    needed = {token_key_id(secret.ciphertext) or "?" for secret in ClientSecret.objects.newest_per_key()}
    missing = needed - set(keyring().key_ids)
    if missing:
        raise KeyringError(f"The key ring lacks keys that stored secrets need: {', '.join(sorted(missing))}.")
