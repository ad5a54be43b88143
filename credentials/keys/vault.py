"""The vault: the only place that opens a stored client secret, or encrypts one for its row."""

from django.views.decorators.debug import sensitive_variables

from credentials.keys.keyring import Binding, keyring
from credentials.models import ClientSecret
from portal.plaintext import Secret
from portal.processes.serving import is_serving


@sensitive_variables()
def seal_version(version: ClientSecret, plaintext: Secret) -> str:
    """Return the ciphertext of `plaintext` under the active key, bound to this row. Stores nothing."""
    return keyring().encrypt(plaintext, _binding(version))


@sensitive_variables()
def open_version(version: ClientSecret) -> Secret:
    """Decrypt a version for a push or a call to Adobe; `UnreadableSecret` if that fails. Never for a person.

    Nor for a page: workers and commands do what needs a secret, so the web process never holds a stored one.
    """
    if is_serving():
        raise RuntimeError("the web process opens no stored secret: a worker does what needs one")
    return keyring().decrypt(version.ciphertext, _binding(version))


def _binding(version: ClientSecret) -> Binding:
    """Return what the ciphertext of this version is bound to. It must stay the same for ever."""
    return Binding(str(version.pk), version.version, version.client_id)
