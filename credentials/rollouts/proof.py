"""What is known of the digest of an encrypted secret, anywhere in the fleet: the memory behind a verdict."""

from dataclasses import dataclass, field

from credentials.models import ClientSecret
from credentials.rollouts.models import CandidateDigest, ProvenDigest, Push
from credentials.rollouts.notes import Note, note
from instances import nlserver

MOST = 5
"""At most this number of versions is named for one digest; more than one is an error already."""


@dataclass(frozen=True)
class Knowledge:
    """What is known of one digest, and as notes where it was proven for other versions."""

    known: nlserver.Known = field(default_factory=nlserver.Known)
    elsewhere: list[Note] = field(default_factory=list)


def knowledge_of(digest: str, push: Push) -> Knowledge:
    """Return what root proofs say about `digest` as the outcome of `push`; nothing for an empty digest."""
    if not digest:
        return Knowledge()
    ours = push.rollout.secret
    proofs = list(
        ProvenDigest.objects.filter(digest=digest).select_related(
            "secret__account", "attempt__push__installation__instance", "attempt__push__container"
        )[:MOST]
    )
    others = [proof for proof in proofs if not is_same_secret(proof.secret, ours)]
    return Knowledge(
        nlserver.Known(
            this=len(others) < len(proofs),
            others=bool(others),
            candidate=not proofs and _is_candidate(digest, push),
        ),
        [_noted(proof) for proof in others],
    )


def is_same_secret(one: ClientSecret, other: ClientSecret) -> bool:
    """Whether two versions are the same plaintext, even under two accounts for the same credential."""
    return (one.client_id, one.fingerprint) == (other.client_id, other.fingerprint)


def _is_candidate(digest: str, push: Push) -> bool:
    candidates = CandidateDigest.objects.filter(installation=push.installation_id, digest=digest)
    return candidates.filter(secret=push.rollout.secret_id).exists()


def _noted(proof: ProvenDigest) -> Note:
    push, secret = proof.attempt.push, proof.secret
    return note(
        "proven_for_other_version",
        account=secret.account.name,
        version=secret.version,
        fingerprint=secret.fingerprint,
        instance=push.installation.instance.name,
        container=push.container.name,
    )
