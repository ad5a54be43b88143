"""The portal's own SSH key: one key for all containers, made by the first start, kept in one file."""

from django.conf import settings

from instances import ssh
from portal.home import key_file

COMMENT = "campaign-credential-portal"


def private_key() -> ssh.PrivateKey:
    """Return the key in the file `SSH_KEY_PATH`; a missing file is made first, readable by its owner alone.

    Raises `ssh.UnusableKey` if the file holds something else, or `OSError` if it cannot be read or made.
    """
    key_file(settings.SSH_KEY_PATH, ssh.generate_private_key)
    return ssh.load_private_key(settings.SSH_KEY_PATH)


def public_line() -> str:
    """Return the public half as one line of `authorized_keys`, without options. Raises as `private_key`."""
    return ssh.public_line(private_key(), COMMENT)


def fingerprint() -> str:
    """Return the public half's `SHA256:…`, as `ssh-keygen -l` prints it. Raises as `private_key`."""
    return ssh.fingerprint(private_key().asbytes())


def authorized_line() -> str:
    """Return the line to install: `restrict` forbids forwarding and terminals, never needed there."""
    return f"restrict {public_line()}"


def jump_host_line() -> str:
    """Return the line to install on a jump host, which has to forward and nothing else."""
    return f"restrict,port-forwarding {public_line()}"
