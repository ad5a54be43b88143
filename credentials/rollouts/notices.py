"""What people are told of rollouts: pushes that failed and wait for a person, and rollouts that ended."""

from collections.abc import Iterable
from uuid import UUID

from django.db import transaction
from django.db.models import Count
from django.db.models.functions import Now
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from credentials.rollouts.models import Push, Rollout, UntoldEnd
from credentials.rollouts.states import State, counted
from instances.failures import Code
from instances.models import label_of
from portal.notices.kinds import Batch, Kind, Told, Words, register
from portal.notices.notes import note
from portal.processes.housekeeping import every
from portal.punctuation import labelled

FAILED, ENDED = "push.failed", "rollout.ended"
LOOK_FOR_ENDS = 10.0  # seconds


def note_failure(push: Push, code: str) -> None:
    """Have people told that a push failed for good, in the caller's transaction."""
    details: dict[str, object] = {"code": code, "rollout": push.rollout.number}
    link = reverse("push", args=[push.pk])
    note(FAILED, subject=str(push.installation), details=details, link=link)


def _failed(batch: Batch) -> Words:
    if only := batch.only:
        words = {"push": label_of(only.subject), "rollout": only.details.get("rollout")}
        why = dict(Code.choices).get(str(only.details.get("code")), "")
        return Words(_("Push failed: %(push)s (rollout #%(rollout)s)") % words, [str(why)] if why else [])
    numbers = {each: f"#{each}" for each in batch.tally.get("rollout", ())}
    lines = [
        batch.counted("code", dict(Code.choices)),
        _("By rollout: %s") % batch.counted("rollout", numbers),
        batch.named(label_of),
    ]
    return Words(
        ngettext(
            "%d push failed and waits for a person", "%d pushes failed and wait for a person", batch.count
        )
        % batch.count,
        lines,
        reverse("failed_pushes"),
    )


def tell_end_of(rollouts: Iterable[UUID]) -> None:
    """Have people told once these rollouts have no open push any more; in the caller's transaction.

    Written anew if it is there: so `tell_ends`, if it is just looking, waits for this transaction.
    """
    for pk in sorted(set(rollouts)):
        UntoldEnd.objects.update_or_create(rollout_id=pk, defaults={"since": Now()})


@every(LOOK_FOR_ENDS)
def tell_ends() -> int:
    """Note the rollouts that ended since somebody started or retried them; return how many."""
    is_open = Push.objects.open().order_by().values("rollout")
    ended = UntoldEnd.objects.exclude(rollout__in=is_open).order_by("rollout__number")
    return sum(_tell_end(pk) for pk in ended.values_list("pk", flat=True))


@transaction.atomic
def _tell_end(pk: UUID) -> bool:
    """Note one end, unless another process did, or a push was retried meanwhile."""
    row = UntoldEnd.objects.select_for_update().filter(pk=pk).first()
    if row is None or Push.objects.open().filter(rollout=pk).exists():
        return False
    rollout = Rollout.objects.select_related("secret__account").get(pk=pk)
    counts = dict(rollout.pushes.order_by().values_list("state").annotate(count=Count("*")))
    details: dict[str, object] = {"rollout": rollout.number, "version": rollout.secret.version, **counts}
    name = rollout.secret.account.name
    note(ENDED, subject=name, details=details, link=reverse("rollout", args=[pk]))
    row.delete()
    return True


def _ended(batch: Batch) -> Words:
    if only := batch.only:
        words = {"rollout": only.details.get("rollout"), "account": only.subject, "counts": _counts(only)}
        return Words(_("Rollout #%(rollout)s of %(account)s ended: %(counts)s") % words)
    lines = [
        labelled(f"#{each.details.get('rollout')} {each.subject}", _counts(each)) for each in batch.first
    ]
    return Words(
        ngettext("%d rollout ended", "%d rollouts ended", batch.count) % batch.count,
        lines,
        reverse("rollouts"),
    )


def _counts(told: Told) -> str:
    """Return `12 succeeded, 2 failed`."""
    counts = [(state, told.details.get(state.value)) for state in State]
    return ", ".join(counted(state, count) for state, count in counts if isinstance(count, int) and count)


register(
    Kind(FAILED, gettext_lazy("Push failed"), _failed, quiet=60, longest=900, counted=("code", "rollout"))
)
register(Kind(ENDED, gettext_lazy("Rollout ended"), _ended, quiet=10, longest=60))
