"""Private keys: loaded, generated, and their public halves."""

import base64
import binascii
import contextlib
import io
import os
import re
from pathlib import Path

import paramiko
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

PrivateKey = paramiko.PKey
MIN_RSA_BITS = 2048
"""As NIST SP 800-57 and the servers of today ask for."""
FILE_LIMIT = 64 * 1024
_ACCEPTED = "use an Ed25519, an ECDSA or an RSA key of 2048 bits or more"
_PEM = re.compile(r"-----BEGIN ([A-Z0-9 ]*)PRIVATE KEY-----\n.*?\n-----END \1PRIVATE KEY-----", re.DOTALL)
_BEGINNINGS = re.compile(r"(?=-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----)")
_PUTTYGEN = "puttygen FILE -O private-openssh -o NEW_FILE"
_SIGNS = (
    (r"PuTTY-User-Key-File-", f"it is in the format of PuTTY; convert it with: {_PUTTYGEN}"),
    (r"\S+-cert-v\d\d@openssh\.com ", "it is a certificate; the private key is in the file next to it"),
    (r"(?:ssh|ecdsa|sk)-\S+ AAAA", "it is a public key; the private key is in the file without .pub"),
    (r"-{4,5} ?BEGIN [A-Z0-9 ]*PUBLIC KEY", "it is a public key; the private key is in another file"),
    (r"-----BEGIN CERTIFICATE", "it is a certificate and holds no private key"),
)
_LOCKED = (
    "it is encrypted with a passphrase, and nobody is there to type it; remove it with: ssh-keygen -p -f FILE"
)


class UnusableKey(ValueError):
    """A private key that is not one, is encrypted, or is of a kind that is not used; its text says which."""


def load_private_key(source: Path | str) -> PrivateKey:
    """Load an unencrypted private key from a file, or from text that begins with `-----BEGIN`.

    Takes the formats of OpenSSH and OpenSSL (PKCS#1, SEC 1, PKCS#8), with the line ends of any system.
    Raises `UnusableKey`, or `OSError` if the file cannot be read.
    """
    is_text = isinstance(source, str) and source.startswith("-----BEGIN")
    return _usable(str(source) if is_text else _read(source))


def load_private_keys(file: Path) -> tuple[list[PrivateKey], list[str]]:
    """Load the keys that a file holds, one below the other; and why others in it are of no use.

    Each may be in any format that `load_private_key` takes. Raises `UnusableKey` if none is of use, or
    `OSError` if the file cannot be read.
    """
    text = _read(file)
    parts = [part for part in _BEGINNINGS.split(text) if _BEGINNINGS.match(part)] or [text]
    keys: list[PrivateKey] = []
    flaws: list[str] = []
    for number, part in enumerate(parts, start=1):
        try:
            keys.append(_usable(part))
        except UnusableKey as error:
            flaws.append(f"key {number} of {len(parts)}: {error}" if len(parts) > 1 else str(error))
    if not keys:
        raise UnusableKey("; ".join(flaws))
    return [key for number, key in enumerate(keys) if key not in keys[:number]], flaws


def _usable(text: str) -> PrivateKey:
    key = _load(_private_part(text))
    if isinstance(key, paramiko.RSAKey) and key.get_bits() < MIN_RSA_BITS:
        raise UnusableKey(f"it is an RSA key of {key.get_bits()} bits, which is too short; {_ACCEPTED}")
    return key


def _read(source: Path | str) -> str:
    with Path(source).open("rb") as file:
        data = file.read(FILE_LIMIT + 1)
    if len(data) > FILE_LIMIT:
        raise UnusableKey("it is too large for a private key")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UnusableKey("it was saved as UTF-16; save it as plain text (ASCII)")
    return data.decode("utf-8-sig", "replace")


def _private_part(text: str) -> str:
    """Return the private key of a text, in the form that every reader takes; say what it is instead."""
    text = "\n".join(line.strip() for line in text.splitlines()).strip()
    if not text:
        raise UnusableKey("it is empty")
    found = _PEM.search(text)
    if not found:
        is_cut = "PRIVATE KEY-----" in text
        what = next((what for sign, what in _SIGNS if re.match(sign, text)), "it holds no private key")
        raise UnusableKey("it is cut off: the end of the key is missing" if is_cut else what)
    _refuse_by_name(found[0], found[1].strip())
    return found[0] + "\n"


def _refuse_by_name(text: str, kind: str) -> None:
    """Raise for what the key's own heading shows to be of no use."""
    cipher, key_type = _openssh_heading(text) if kind == "OPENSSH" else ("none", kind)
    if cipher != "none" or kind == "ENCRYPTED" or "\nProc-Type: 4,ENCRYPTED" in text:
        raise UnusableKey(_LOCKED)
    if key_type in {"DSA", "ssh-dss"}:
        raise UnusableKey(f"it is a DSA key, which SSH servers no longer accept; {_ACCEPTED}")
    if key_type.startswith("sk-"):
        raise UnusableKey(f"it needs a security key (hardware) that a person touches; {_ACCEPTED}")


def _openssh_heading(text: str) -> tuple[str, str]:
    """Return the cipher and the type of a key in OpenSSH's own format (PROTOCOL.key)."""
    try:
        data = base64.b64decode("".join(text.split("\n")[1:-1]), validate=True)
        strings, rest = [], data.removeprefix(b"openssh-key-v1\0")
        for number in range(4):  # cipher, kdf, its options; a count; the public key
            rest = rest[4 * (number == 3) :]
            size = int.from_bytes(rest[:4])
            strings.append(rest[4 : 4 + size])
            rest = rest[4 + size :]
        public = strings[3]
        return strings[0].decode(), public[4 : 4 + int.from_bytes(public[:4])].decode()
    except (binascii.Error, UnicodeDecodeError):
        raise UnusableKey("it is damaged") from None


def _load(text: str) -> PrivateKey:
    if key := _of_paramiko(text):
        return key
    try:
        other = load_pem_private_key(text.encode(), None)
        openssh = other.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        openssh = ""
    if key := _of_paramiko(openssh):
        return key
    raise UnusableKey(f"it is damaged, or of a kind that the portal does not use; {_ACCEPTED}")


def _of_paramiko(text: str) -> PrivateKey | None:
    """Return the key if it is in one of the formats that Paramiko reads: all but PKCS#8."""
    for kind in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
        # What a wrong kind raises differs by kind and by what is wrong.
        with contextlib.suppress(paramiko.SSHException, ValueError, IndexError, AssertionError, TypeError):
            return kind.from_private_key(io.StringIO(text))
    return None


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
