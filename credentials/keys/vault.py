"""The vault: the only place that opens a stored client secret, or encrypts one for its row."""

from django.views.decorators.debug import sensitive_variables

from credentials.keys.keyring import Binding, keyring
from credentials.models import ClientSecret
from portal.plaintext import Secret


@sensitive_variables()
def seal_version(version: ClientSecret, plaintext: Secret) -> str:
    """Return the ciphertext of `plaintext` under the active key, bound to this row. Stores nothing."""
    return keyring().encrypt(plaintext, _binding(version))


@sensitive_variables()
def open_version(version: ClientSecret) -> Secret:
    """Decrypt a version for a push or an IMS check; `UnreadableSecret` if that fails. Never for a person."""
    return keyring().decrypt(version.ciphertext, _binding(version))


def _binding(version: ClientSecret) -> Binding:
    """Return what the ciphertext of this version is bound to. It must stay the same for ever."""
    return Binding(str(version.pk), version.version, version.client_id)
