"""The portal's own SSH key: one for all containers, kept in one file. The portal makes its first one only.

While it is replaced, the file holds the new key above the former one, and servers are offered both.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from django.conf import settings

from instances import ssh
from portal.keys.gate import gate
from portal.keys.making import claimed
from portal.private_files import key_file

COMMENT = "campaign-credential-portal"


class KeyNotUsable(ssh.SSHError):
    """The portal has no key that it could log in with; the one detail says why. Nothing was connected."""

    code = "ssh_key_unusable"

    def __str__(self) -> str:
        return " ".join(self.details)


@dataclass(frozen=True)
class Public:
    """The public half of one key."""

    fingerprint: str
    """`SHA256:…`, as `ssh-keygen -l` prints it."""
    line: str
    """A line of `authorized_keys`, without options."""

    @classmethod
    def of(cls, key: ssh.PrivateKey) -> Self:
        return cls(ssh.name_of(key), ssh.public_line(key, COMMENT))

    @property
    def authorized_line(self) -> str:
        """The line to install: `restrict` forbids forwarding and terminals, never needed there."""
        return f"restrict {self.line}"

    @property
    def jump_host_line(self) -> str:
        """The line to install on a jump host, which has to forward and nothing else."""
        return f"restrict,port-forwarding {self.line}"


def held() -> list[ssh.PrivateKey]:
    """Return the keys in the file `SSH_KEY_PATH`, the newest first, or raise `KeyNotUsable`.

    One that is of no use is left out while another one is of use: `instances.checks` names it.
    """
    path = Path(settings.SSH_KEY_PATH)
    try:
        return ssh.load_private_keys(path)[0]
    except ssh.UnusableKey as error:
        raise KeyNotUsable(f"{path.name}: {error}.") from None
    except OSError as error:
        raise KeyNotUsable(f"{path.name} cannot be read: {error.strerror}.") from None


def private_key() -> ssh.PrivateKey:
    """Return the newest key. Raises as `held`."""
    return held()[0]


def in_use() -> tuple[ssh.PrivateKey, ssh.PrivateKey | None]:
    """Return the two keys that servers are offered: the newest, and the oldest if there are several.

    Two at most, since servers count what they refuse. Raises as `held`.
    """
    keys = held()
    return keys[0], keys[-1] if len(keys) > 1 else None


def make_if_none() -> None:
    """Make the file of a portal that never had a key; `KeysRefused` if it has one that is not here.

    The key is claimed in the database first: two machines that try at once end with one key.
    """
    gate.verify()
    if Path(settings.SSH_KEY_PATH).exists():
        return
    text = ssh.generate_private_key()
    with claimed("ssh_key", ssh.name_of(ssh.load_private_key(text))):
        key_file(settings.SSH_KEY_PATH, lambda: text)


def public() -> Public:
    """Return the public half of the newest key. Raises as `held`."""
    return Public.of(private_key())


def public_line() -> str:
    """Return the public half of the newest key as one line of `authorized_keys`. Raises as `held`."""
    return public().line


def fingerprint() -> str:
    """Return the fingerprint of the newest key. Raises as `held`."""
    return public().fingerprint


def authorized_line() -> str:
    """Return the line of the newest key to install on containers. Raises as `held`."""
    return public().authorized_line


def held_names() -> list[str]:
    """Return the fingerprints of the keys in the file, the newest first; none if it holds none of use."""
    try:
        return [ssh.name_of(key) for key in held()]
    except KeyNotUsable:
        return []
