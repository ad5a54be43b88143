"""What a push that ends makes of the desire of its installation."""

import uuid
from collections.abc import Iterable

from credentials.desired import change
from credentials.models import ClientSecret, DesiredVersion, Why
from credentials.rollouts.models import ProvenWrite, Push


def call_off(push_ids: Iterable[uuid.UUID]) -> None:
    """Let installations be left as they are: their desiring pushes ended without a proven write.

    The desire goes back to the version that was last proven there, if it can still be used, else to none. In
    the caller's transaction. A push that is no longer the desired one changes nothing.
    """
    rows = DesiredVersion.objects.filter(push__in=list(push_ids)).select_for_update(of=("self",))
    ids = list(rows.order_by("pk").values_list("pk", flat=True))
    if not ids:
        return
    proven = ProvenWrite.objects.filter(installation__in=ids, secret__state=ClientSecret.State.USABLE)
    versions: dict[uuid.UUID, uuid.UUID] = dict(proven.values_list("installation", "secret"))
    change({each: (versions.get(each), None) for each in ids}, Why.CALLED_OFF)


def written_after_all(push: Push) -> None:
    """Desire what a replaced push has just proven to be there, if the newer one was called off meanwhile."""
    rows = DesiredVersion.objects.filter(pk=push.installation_id, push=None, why=Why.CALLED_OFF)
    if rows.select_for_update().exists():
        change({push.installation_id: (push.rollout.secret_id, None)}, Why.WRITTEN_AFTER_ALL)
