"""Ed25519 keys and signatures as OpenSSH has them (PROTOCOL.sshsig). Knows no settings and no database.

`ssh-keygen -Y verify` checks what this makes. A namespace says what a signature is for: one that was made
for something else is not taken.
"""

import hashlib
from base64 import b64decode, b64encode
from textwrap import wrap

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
)

KIND = "ssh-ed25519"
HASH = "sha512"
_MAGIC = b"SSHSIG"
_VERSION = 1
_BEGIN, _END = "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"
_WIDTH = 70


class UnusableKey(ValueError):
    """A text that is no private Ed25519 key of OpenSSH, or one with a passphrase."""


class SigningKey:
    """A private key, which can sign, and its public half."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self._blob = _string(KIND.encode()) + _string(public)

    @property
    def public(self) -> str:
        """The public half, as in `authorized_keys`, without a comment."""
        return f"{KIND} {b64encode(self._blob).decode()}"

    @property
    def fingerprint(self) -> str:
        """`SHA256:…`, as `ssh-keygen -l` prints it."""
        return fingerprint_of(self.public)

    def sign(self, message: bytes, *, namespace: str) -> str:
        """Return the signature of a message, as the text of a file that ends in `.sig`."""
        signature = self._private.sign(_signed(message, namespace))
        blob = b"".join(
            [
                _MAGIC,
                _VERSION.to_bytes(4, "big"),
                _string(self._blob),
                _string(namespace.encode()),
                _string(b""),
                _string(HASH.encode()),
                _string(_string(KIND.encode()) + _string(signature)),
            ]
        )
        return "\n".join([_BEGIN, *wrap(b64encode(blob).decode(), _WIDTH), _END, ""])


def make_key() -> str:
    """Return a new private key as OpenSSH text."""
    private = Ed25519PrivateKey.generate()
    return private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()


def load_key(text: str) -> SigningKey:
    """Read a private key; raise `UnusableKey`."""
    try:
        key = load_ssh_private_key(text.strip().encode() + b"\n", None)
    except (ValueError, TypeError) as error:
        raise UnusableKey("it is no private key of OpenSSH without a passphrase") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise UnusableKey("it is no Ed25519 key")
    return SigningKey(key)


def fingerprint_of(public: str) -> str:
    """Return the fingerprint of a public key, as `ssh-keygen -l` prints it."""
    digest = hashlib.sha256(b64decode(public.split()[1])).digest()
    return f"SHA256:{b64encode(digest).decode().rstrip('=')}"


def is_signed(message: bytes, signature: str, *, namespace: str, public: str) -> bool:
    """Whether a signature that `SigningKey.sign` made is that of this key over this message."""
    blob = b64decode("".join(signature.strip().splitlines()[1:-1]))
    raw = b64decode(public.split()[1])[-32:]
    try:
        Ed25519PublicKey.from_public_bytes(raw).verify(blob[-64:], _signed(message, namespace))
    except (InvalidSignature, ValueError):
        return False
    return True


def _signed(message: bytes, namespace: str) -> bytes:
    digest = hashlib.new(HASH, message).digest()
    return b"".join(
        [_MAGIC, _string(namespace.encode()), _string(b""), _string(HASH.encode()), _string(digest)]
    )


def _string(value: bytes) -> bytes:
    return len(value).to_bytes(4, "big") + value
