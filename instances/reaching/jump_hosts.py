"""Jump hosts: what their key lines may look like, and how the way to a container leads through one."""

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from instances import ssh
from instances.failures import Code, explain
from instances.models import Container, JumpHost
from portal.plaintext import cut_out

MAX_KEYS = 20


def jump_to(host: JumpHost, offer: ssh.Offer) -> ssh.Jump:
    """Return the way through a jump host, which is offered these keys."""
    return ssh.Jump(host.address, host.port, host.login, host.key_lines, offer)


def in_words(container: Container) -> str:
    """Return name and address of the container's jump host, an empty text if it has none."""
    host = container.jump_host
    return f"{host.name} ({host.address}:{host.port})" if host else ""


def failure_in_words(error: ssh.SSHError, container: Container) -> str:
    """Return why a container was not reached this time, and the jump host on the way."""
    words = {"what": Code(error.code).label, "cause": explain(error.code).cause}
    sentences = [_("%(what)s. %(cause)s") % words, *map(cut_out, error.details)]
    if via := in_words(container):
        sentences.append(_("The connection goes through the jump host %s.") % via)
    return " ".join(sentences)


def keys_of(host: JumpHost) -> list[ssh.PublicHostKey]:
    """Return the pinned keys with their fingerprints."""
    return [ssh.PublicHostKey.parse(line) for line in host.key_lines]


def clean_host_keys(text: str) -> str:
    """Return key lines as they are pinned: `<type> <base64>`, each once.

    Takes what `ssh-keyscan` prints, known_hosts, and the server's own `.pub` files.
    """
    keys: dict[str, None] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            keys[_clean_line(line, number)] = None
    if not keys:
        raise ValidationError(
            _("Give at least one host key: the portal does not trust a jump host on first contact.")
        )
    if len(keys) > MAX_KEYS:
        raise ValidationError(_("There are more than %d keys.") % MAX_KEYS)
    return "\n".join(keys)


def _clean_line(line: str, number: int) -> str:
    words = line.split()
    if words[0] not in ssh.HOST_KEY_TYPES:
        words = words[1:]  # the name of the host
    try:
        key = ssh.PublicHostKey.parse(" ".join(words))
    except ValueError:
        raise ValidationError(
            _("Line %d is not a host key: give the key's type and base64, as ssh-keyscan prints them.")
            % number
        ) from None
    if key.type not in ssh.HOST_KEY_TYPES:
        raise ValidationError(_("Line %d has a key of a type that the portal does not accept.") % number)
    return key.line
