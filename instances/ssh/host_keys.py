"""Public host keys: read, compared with the pinned ones, and asked for in the right order."""

import base64
import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from instances.ssh.errors import JumpHostError, SSHError

ECDSA_TYPES = ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521")
RSA_ALGORITHMS = ("rsa-sha2-512", "rsa-sha2-256")
HOST_KEY_TYPES = ("ssh-ed25519", *ECDSA_TYPES, "ssh-rsa")
"""Types of keys that a server may have; RSA keys sign with other algorithms than their type's name."""
HOST_KEY_FAMILIES: tuple[tuple[str, ...], ...] = (("ssh-ed25519",), ECDSA_TYPES, RSA_ALGORITHMS)


@dataclass(frozen=True)
class PublicHostKey:
    """One public host key; `fingerprint` is OpenSSH's form, `SHA256:` and unpadded base64."""

    type: str
    base64: str
    fingerprint: str

    @classmethod
    def parse(cls, line: str) -> Self:
        """Read `<type> <base64>` (more words are ignored); `ValueError` if it is not a key line."""
        key_type, encoded = (*line.split(), "", "")[:2]
        try:
            blob = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            raise ValueError("not a host key line") from None
        if not key_type or blob[4 : 4 + len(key_type)] != key_type.encode():
            raise ValueError("not a host key line")
        return cls(key_type, encoded, fingerprint(blob))

    @property
    def line(self) -> str:
        """The form in which a key is pinned: `<type> <base64>`."""
        return f"{self.type} {self.base64}"


class _HostKeyError(SSHError):
    def __init__(self, offered: PublicHostKey) -> None:
        super().__init__()
        self.offered = offered


class HostKeyUnknown(_HostKeyError):
    """No key is pinned for this host; `offered` is what it showed. No login was tried."""

    code = "host_key_unknown"


class HostKeyChanged(_HostKeyError):
    """The host showed a key that is not pinned; `offered` is that key. No login was tried."""

    code = "host_key_changed"


class JumpHostKeyChanged(JumpHostError):
    """The jump host showed a key that is not pinned; `offered` is that key. No login was tried."""

    code = "jump_host_key_changed"

    def __init__(self, offered: PublicHostKey) -> None:
        super().__init__()
        self.offered = offered


def check_host_key(offered: PublicHostKey, pinned: Sequence[PublicHostKey]) -> None:
    if not pinned:
        raise HostKeyUnknown(offered)
    if offered not in pinned:
        raise HostKeyChanged(offered)


def preference(pinned: Sequence[PublicHostKey]) -> list[str]:
    """Order key types so that the pinned ones are negotiated wherever the server still has them.

    The others follow, for a server that was reinstalled with another type must show as changed, not as old.
    """
    types = {key.type for key in pinned}
    families = [RSA_ALGORITHMS if kind == "ssh-rsa" else (kind,) for kind in types]
    first = [name for family in families for name in family]
    rest = [name for family in HOST_KEY_FAMILIES for name in family if name not in first]
    known = {name for family in HOST_KEY_FAMILIES for name in family}
    return [name for name in first if name in known] + rest


def fingerprint(blob: bytes) -> str:
    """Return OpenSSH's fingerprint of a public key in wire form."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
