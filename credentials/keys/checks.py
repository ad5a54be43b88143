"""System checks of the key ring: a wrong or missing key stops the start, with a message."""

from collections.abc import Sequence

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import DatabaseError

from credentials.keys.fingerprint_key import replace_fingerprint_key
from credentials.keys.keyring import (
    FINGERPRINT_KEY,
    Binding,
    Keyring,
    KeyringError,
    UnreadableSecret,
    fingerprints,
    key_fingerprints,
    keyring,
    token_key_id,
)
from credentials.models import ClientSecret
from portal.health.readiness import ready_if
from portal.keys import registry
from portal.keys.known import has_table


@register()
def usable_keyring(**_: object) -> list[CheckMessage]:
    """Refuse a key ring that cannot be read."""
    if not settings.KEYRING:
        return []  # portal.keys says that it is missing
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
        return _misfits(keyring())
    except (KeyringError, DatabaseError):
        return []  # reported by usable_keyring; or asked again before the first write: portal.keys.gate


def _misfits(ring: Keyring) -> list[CheckMessage]:
    """Return what the stored secrets say against the key ring and the fingerprint key."""
    newest_per_key = list(ClientSecret.objects.newest_per_key())
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
        if secret.fingerprint not in fingerprints(plain, secret.client_id):
            problems.append(
                Error(
                    "The fingerprint key is not the one that made the fingerprints in this database.",
                    hint="Restore the fingerprint key (FINGERPRINT_KEY), then start again.",
                    id="credentials.E003",
                )
            )
    return problems


def _evidence(id: str) -> list[str]:  # noqa: A002  # as Django calls it
    if not has_table(ClientSecret):
        return []
    try:
        return [str(problem.msg) for problem in _misfits(keyring()) if problem.id == id]
    except KeyringError as error:
        return [str(error)]


registry.register(
    registry.Key(
        "keyring",
        held=key_fingerprints,
        evidence=lambda: _evidence("credentials.E002"),
        can_be_replaced=True,
    )
)
registry.register(
    registry.Key(
        FINGERPRINT_KEY,
        held=registry.held_text(FINGERPRINT_KEY),
        evidence=lambda: _evidence("credentials.E003"),
        can_be_replaced=True,  # the stored secrets tell all fingerprints
        takes_over=replace_fingerprint_key,
    )
)


@ready_if("keyring")
def keyring_has_every_key() -> None:
    """Compare key ids, which are derived from the keys. Anybody may ask, so no secret is decrypted for it."""
    needed = {token_key_id(secret.ciphertext) or "?" for secret in ClientSecret.objects.newest_per_key()}
    missing = needed - set(keyring().key_ids)
    if missing:
        raise KeyringError(f"The key ring lacks keys that stored secrets need: {', '.join(sorted(missing))}.")
