"""Private keys: loaded, generated, and their public halves."""

import contextlib
import io
import os
from pathlib import Path

import paramiko

PrivateKey = paramiko.PKey


class UnusableKey(ValueError):
    """A private key that is not one, is encrypted, or cannot sign."""


def load_private_key(source: Path | str) -> PrivateKey:
    """Load an unencrypted private key from a file, or from text that begins with `-----BEGIN`.

    Raises `UnusableKey`, or `OSError` if the file cannot be read.
    """
    text = source if isinstance(source, str) and source.startswith("-----BEGIN") else _read(source)
    for kind in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
        # What a wrong kind raises differs by kind and by what is wrong.
        with contextlib.suppress(paramiko.SSHException, ValueError, IndexError, AssertionError, TypeError):
            return kind.from_private_key(io.StringIO(text))
    raise UnusableKey("not an unencrypted private key of a known type")


def _read(source: Path | str) -> str:
    return Path(source).read_text(encoding="ascii", errors="replace")


def generate_private_key() -> str:
    """Return a new private key as OpenSSH text.

    ECDSA on P-256, because that is what Paramiko can write; every OpenSSH since 5.7 accepts it.
    """
    text = io.StringIO()
    paramiko.ECDSAKey.generate().write_private_key(text, file_format=paramiko.pkey.OPENSSH)
    return text.getvalue()


def write_private_key(path: Path, text: str) -> None:
    """Create a key file that only its owner can read; `FileExistsError` rather than overwrite one."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def public_line(key: PrivateKey, comment: str) -> str:
    """Return the line for `authorized_keys`."""
    return f"{key.get_name()} {key.get_base64()} {comment}".strip()
