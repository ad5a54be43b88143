"""What a push that ends makes of the desire of its installation."""

import uuid
from collections.abc import Iterable

from credentials.desired import change
from credentials.models import ClientSecret, DesiredVersion, DesiredVersionChange, Why
from credentials.rollouts.models import ConfirmedVersion, ProvenWrite, Push


def call_off(push_ids: Iterable[uuid.UUID]) -> None:
    """Let installations be left as they are: their desiring pushes ended without a proven write.

    The desire goes back to the version that was last proven, confirmed or accepted there, if it can still be
    used, else to none. In the caller's transaction. A push that is no longer the desired one changes nothing.
    """
    rows = DesiredVersion.objects.filter(push__in=list(push_ids)).select_for_update(of=("self",))
    ids = list(rows.order_by("pk").values_list("pk", flat=True))
    if not ids:
        return
    usable = {"installation__in": ids, "secret__state": ClientSecret.State.USABLE}
    confirmed = ConfirmedVersion.objects.as_seen().filter(**usable).values_list("installation", "secret")
    proven = ProvenWrite.objects.filter(**usable).values_list("installation", "secret")
    decided = _decided_since_a_proof(ids)
    versions: dict[uuid.UUID, uuid.UUID | None] = {**dict(proven), **decided, **dict(confirmed)}
    change({each: (versions.get(each), None) for each in ids}, Why.CALLED_OFF)


def _decided_since_a_proof(installations: Iterable[uuid.UUID]) -> dict[uuid.UUID, uuid.UUID | None]:
    """Return what a person decided that installations hold, where nothing was proven there later.

    A version that can no longer be used counts as none.
    """
    mine = {"installation__in": list(installations)}
    proofs = dict(ProvenWrite.objects.filter(**mine).values_list("installation", "observation__at"))
    rows = DesiredVersionChange.objects.filter(why=Why.CONFIRMED, **mine).order_by("pk")
    found: dict[uuid.UUID, uuid.UUID | None] = {}
    for row in rows.select_related("version"):
        proof = proofs.get(row.installation_id)
        if proof is None or row.at > proof:
            is_usable = row.version and row.version.state == ClientSecret.State.USABLE
            found[row.installation_id] = row.version_id if is_usable else None
    return found


def written_after_all(push: Push) -> None:
    """Desire what a replaced push has just proven to be there, if the newer one was called off meanwhile."""
    rows = DesiredVersion.objects.filter(pk=push.installation_id, push=None, why=Why.CALLED_OFF)
    if rows.select_for_update().exists():
        change({push.installation_id: (push.rollout.secret_id, None)}, Why.WRITTEN_AFTER_ALL)
