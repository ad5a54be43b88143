"""The portal's own SSH key: one key for all containers, kept in one file, and never made a second time."""

from pathlib import Path

from django.conf import settings

from instances import ssh
from portal.keys import registry
from portal.keys.gate import gate
from portal.keys.making import claimed
from portal.private_files import key_file

COMMENT = "campaign-credential-portal"


class KeyNotUsable(ssh.SSHError):
    """The portal has no key that it could log in with; the one detail says why. Nothing was connected."""

    code = "ssh_key_unusable"

    def __str__(self) -> str:
        return " ".join(self.details)


def private_key() -> ssh.PrivateKey:
    """Return the key in the file `SSH_KEY_PATH`, or raise `KeyNotUsable`."""
    path = Path(settings.SSH_KEY_PATH)
    try:
        return ssh.load_private_key(path)
    except ssh.UnusableKey as error:
        raise KeyNotUsable(f"{path.name}: {error}.") from None
    except OSError as error:
        raise KeyNotUsable(f"{path.name} cannot be read: {error.strerror}.") from None


def make_if_none() -> None:
    """Make the file of a portal that never had a key; `KeysRefused` if it has one that is not here.

    The key is claimed in the database first: two machines that try at once end with one key.
    """
    gate.verify()
    if Path(settings.SSH_KEY_PATH).exists():
        return
    text = ssh.generate_private_key()
    with claimed("ssh_key", _fingerprint_of(ssh.load_private_key(text))):
        key_file(settings.SSH_KEY_PATH, lambda: text)


def public_line() -> str:
    """Return the public half as one line of `authorized_keys`, without options. Raises as `private_key`."""
    return ssh.public_line(private_key(), COMMENT)


def fingerprint() -> str:
    """Return the public half's `SHA256:…`, as `ssh-keygen -l` prints it. Raises as `private_key`."""
    return _fingerprint_of(private_key())


def _fingerprint_of(key: ssh.PrivateKey) -> str:
    return ssh.fingerprint(key.asbytes())


def authorized_line() -> str:
    """Return the line to install: `restrict` forbids forwarding and terminals, never needed there."""
    return f"restrict {public_line()}"


def jump_host_line() -> str:
    """Return the line to install on a jump host, which has to forward and nothing else."""
    return f"restrict,port-forwarding {public_line()}"


def _held() -> list[str]:
    try:
        return [fingerprint()]
    except KeyNotUsable:
        return []


registry.register(
    registry.Key(
        "ssh_key",
        held=_held,
        make=ssh.generate_private_key,
        can_be_replaced=True,
        is_optional=True,
        first_made_by="portal_key",
    )
)
