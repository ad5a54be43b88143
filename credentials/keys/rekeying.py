"""Moves stored secrets to the active key of the key ring, and says which keys are still needed.

Apart from a push and a check by Adobe, this is the only place that decrypts: each secret for the moment of
its re-encryption. Batches are committed one by one, and a row changes only if its ciphertext is still the one
that was read; so a run that was interrupted is simply repeated, while the portal goes on working.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from django.db import transaction
from django.views.decorators.debug import sensitive_variables

from credentials.keys.keyring import UnreadableSecret, fingerprints, keyring, token_key_id
from credentials.keys.vault import open_version, seal_version
from credentials.models import ClientSecret
from portal.audit.trail import Actor, record
from portal.keys import holders, known, registry
from portal.punctuation import labelled

BATCH = 100
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class KeyUse:
    """One key: whether the ring has it, and how many stored secrets need it."""

    key_id: str
    is_active: bool
    is_present: bool
    secrets: int


@dataclass
class KeyRingState:
    """The key ring and what it can read."""

    keys: list[KeyUse] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    """Secrets that do not decrypt, named with the reason."""

    @property
    def to_rotate(self) -> int:
        """Secrets under another key than the active one."""
        return sum(key.secrets for key in self.keys if not key.is_active)


@dataclass
class Rotated:
    """What a rotation did."""

    moved: int = 0
    skipped: int = 0
    """Changed by somebody else meanwhile; a further run takes them."""
    failed: list[str] = field(default_factory=list)


def inspect(progress: Progress = lambda done, total: None) -> KeyRingState:
    """Decrypt every stored secret once, and count which key needs how many."""
    ring, state, uses = keyring(), KeyRingState(), Counter[str]()
    stored = ClientSecret.objects.kept()
    total = stored.count()
    for done, secret in enumerate(stored.select_related("account").iterator(BATCH), start=1):
        uses[token_key_id(secret.ciphertext)] += 1
        try:
            open_version(secret)
        except UnreadableSecret as error:
            state.unreadable.append(labelled(secret, error))
        progress(done, total)
    ids = dict.fromkeys([*ring.key_ids, *uses])
    state.keys = [KeyUse(key, key == ring.active, key in ring.key_ids, uses[key]) for key in ids]
    return state


def rotate(*, actor: Actor, progress: Progress = lambda done, total: None) -> Rotated:
    """Re-encrypt every secret that is not under the active key, and check each by reading it again.

    `KeysRefused` while a running process does not hold that key: it could not push what was moved.
    """
    result, active = Rotated(), keyring().active
    holders.refuse_while_lacking(registry.named("keyring"))
    waiting = [
        pk
        for pk, token in ClientSecret.objects.kept().values_list("pk", "ciphertext").iterator(BATCH)
        if token_key_id(token) != active
    ]
    for start in range(0, len(waiting), BATCH):
        with transaction.atomic():
            _move(ClientSecret.objects.filter(pk__in=waiting[start : start + BATCH]), result)
        progress(min(start + BATCH, len(waiting)), len(waiting))
    ring = registry.named("keyring")
    if waiting or not known.is_first(ring):
        with transaction.atomic():
            known.replace(ring)  # a process whose ring lacks the active key cannot read what was moved
            details: dict[str, object] = {"key": active, "moved": result.moved, "failed": len(result.failed)}
            record("keyring.rotated", actor=actor, details=details)
    return result


def _move(secrets: Iterable[ClientSecret], result: Rotated) -> None:
    for secret in secrets:
        try:
            moved = _reencrypt(secret)
        except UnreadableSecret as error:
            result.failed.append(labelled(secret, error))
        else:
            result.moved += moved
            result.skipped += not moved


@sensitive_variables()
def _reencrypt(version: ClientSecret) -> bool:
    """Give one row a token under the active key. False: its ciphertext changed meanwhile."""
    token = seal_version(version, open_version(version))
    same = ClientSecret.objects.filter(pk=version.pk, ciphertext=version.ciphertext)
    if not same.update(ciphertext=token):
        return False
    again = ClientSecret.objects.get(pk=version.pk)
    if again.fingerprint not in fingerprints(open_version(again), again.client_id):
        raise UnreadableSecret("After the re-encryption it read differently; the batch was undone.")
    return True
