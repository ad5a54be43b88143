"""The errand of rollouts: which containers have a push or a look due, and how one is begun."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from django.db.models import Case, OuterRef, Q, Subquery, When

from credentials.rollouts.models import Attempt, Push, last_attempt_number
from credentials.rollouts.pushing import run_attempt
from credentials.rollouts.settlement import settle_abandoned
from instances.models import PortalIdentity
from instances.visits import errands
from instances.visits.lease import Lease
from instances.visits.line import Line
from portal.plaintext import cut_out


class PushErrand:
    """Pushing what rollouts want there, and looking where it is unknown what became of it."""

    rank = 0

    def due(self) -> Q:
        """Return the condition on containers that have due pushes, or pushes that were left running."""
        left_running = Push.objects.filter(state=Push.State.RUNNING)
        return Q(pk__in=Push.objects.due().values("container")) | Q(pk__in=left_running.values("container"))

    def group(self) -> Subquery:
        """Return an annotation for containers: the rollout of what comes first there."""
        due = Push.objects.due().filter(container=OuterRef("pk")).order_by("due")
        return Subquery(due.values("rollout")[:1])

    def limits(self, places: int) -> Mapping[uuid.UUID, int]:
        """Return nothing: each rollout gets the usual number of places."""
        return {}

    def begin(self, container_id: uuid.UUID, lease: Lease) -> "PushJob | None":
        """Mark the next due push as running and write its attempt; None if nothing is due. In a transaction.

        Whatever runs already was left by a holder that vanished, and is settled first.
        """
        push = _first_at_hand(container_id)
        if push and push.state == Push.State.RUNNING:
            settle_abandoned(container_id)
            push = _first_at_hand(container_id)
        if push is None:
            return None
        looking = push.state == Push.State.UNKNOWN
        push.tries += not looking
        push.state = Push.State.RUNNING
        push.save(update_fields=["state", "tries"])
        secret = push.rollout.secret
        made: int = getattr(push, "made")  # noqa: B009  # an annotation, which the model's type does not know
        attempt = Attempt.objects.create(
            push=push,
            number=made + 1,
            kind=Attempt.Kind.LOOK if looking else Attempt.Kind.PUSH,
            cause=push.cause,
            # cut: an earlier release may have stored a secret there, and no table takes one any more
            caused_by=cut_out(push.cause_by) if push.cause in ("rollout", "retry") else "",
            message=cut_out(push.cause_message) if push.cause == "retry" else "",
            secret_version=secret.version,
            secret_fingerprint=secret.fingerprint,
            lease_token=lease.token,
            worker=lease.owner,
        )
        return PushJob(push, attempt)

    def is_more(self, container_id: uuid.UUID) -> bool:
        """Tell whether a push or a look is due there."""
        return Push.objects.due().filter(container=container_id).exists()


@dataclass
class PushJob:
    """One attempt at one push; its row was written before this exists."""

    push: Push
    attempt: Attempt

    def run(self, line: Line) -> None:
        """Run the attempt and store its outcome. Only a lost lease or a database failure is raised."""
        run_attempt(self.push, self.attempt, line)


def _first_at_hand(container_id: uuid.UUID) -> Push | None:
    related = (
        "rollout__secret__account",
        "installation__instance__assignment",
        "installation__other_portal",
        "container__jump_host",
    )
    # Unknown ones before queued ones: a look takes moments, and the person who asked waits for its answer.
    rank = Case(When(state=Push.State.RUNNING, then=0), When(state=Push.State.UNKNOWN, then=1), default=2)
    pushes = Push.objects.at_hand().filter(container=container_id).select_related(*related)
    # A person may retry, and so sign, an unknown push while it is read: hence the lock.
    locked = pushes.order_by(rank, "due").select_for_update(of=("self",))
    portal = Subquery(PortalIdentity.objects.values("value")[:1])
    push = locked.annotate(made=last_attempt_number(), portal=portal).first()
    if push:
        # It is named by it in the audit trail, while everybody else's recording waits.
        push.installation.container = push.container
    return push


errands.register(PushErrand())
