"""The signing key of a webhook, and the signature of a request made with it.

No signing key is stored. Each follows from the audit key, which the database does not have, and from the
channel's id and number; what sealed the history stays with every portal for ever, so the signing key stays
the same when the audit key is replaced.
"""

import hmac

from portal.audit.chain import audit_keys
from portal.notices.models import Channel


class NoSigningKey(Exception):
    """The audit key that the signing key follows from is not one of this process."""


def newest() -> str:
    """Return the fingerprint of the audit key that new signing keys follow from."""
    return audit_keys.fingerprint(audit_keys.held()[0])


def signing_key(channel: Channel) -> str:
    """Return the signing key of a webhook, 64 hexadecimal digits that are used as text; or `NoSigningKey`."""
    for key in audit_keys.held():
        if audit_keys.fingerprint(key) == channel.key_of:
            # It begins with a word that no seal of the history begins with.
            return audit_keys.seal(f"notice_channel|{channel.pk}|{channel.key_number}", key)
    raise NoSigningKey


def signature(key: str, timestamp: str, body: bytes) -> str:
    """Return HMAC-SHA256 of the timestamp, a full stop and the body, in hex."""
    return hmac.digest(key.encode(), timestamp.encode() + b"." + body, "sha256").hex()
