"""Drift: files that differ from what the portal wrote, or a person accepted, or else saw first."""

import uuid
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import Min, Q, QuerySet
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from credentials.coverage.cells import Version, versions
from credentials.coverage.holding import COMPARED, covered, with_holding
from credentials.coverage.models import AcceptedSight
from credentials.desired import change
from credentials.models import ClientSecret, Why
from credentials.rollouts.starting import one_start_at_a_time
from instances.discovery.models import Observation
from instances.models import Installation
from portal.audit.trail import Actor, record


class NotAccepted(Exception):
    """A sight that is not accepted; the text is for the person who asked."""


WORDS: dict[str, Promise] = {
    "client_id": gettext_lazy("Client ID"),
    "account_id": gettext_lazy("Technical account ID"),
    "organization_id": gettext_lazy("Organization ID"),
    "digest": gettext_lazy("Client secret"),
    "is_jwt": gettext_lazy("JWT"),
}


@dataclass(frozen=True)
class Difference:
    """One value of a file that differs. Of a secret only what is known of its digest."""

    name: str
    before: str
    now: str

    @property
    def label(self) -> Promise:
        return WORDS[self.name]


@dataclass(frozen=True)
class Drift:
    """One installation whose file differs, what differs, and which version its secret is, if known."""

    installation: Installation
    seen: Observation
    baseline: Observation
    """What it is compared with."""
    is_accepted: bool
    is_reported: bool
    is_proven: bool
    """What the baseline is: accepted or reported by a person, or proven by a push; none: the first sight."""
    version: Version | None
    expected: Version | None
    differences: list[Difference]


def drifting() -> "QuerySet[Any]":  # Any: installations with annotations
    """Return the installations that drifted, by instance and container."""
    return with_holding(covered()).filter(is_drifted=True).order_by("instance__name", "container__name")


def drifted(condition: Q = Q()) -> list[Drift]:  # noqa: B008  # a Q is not changed
    """Return the installations that drifted and meet a condition; five statements."""
    annotated = (
        drifting()
        .filter(condition)
        .select_related(
            *(
                "instance__assignment__account",
                "container",
                "proven_write",
                "accepted_sight",
                "reported_version",
            )
        )
    )
    installations = list(annotated)
    seen = Observation.objects.in_bulk([each.seen_id for each in installations])
    compared = _baselines(installations)
    names = versions(
        {pk for each in installations for pk in (each.held_version, _written(each)) if pk},
    )
    return [_drift(each, seen, compared, names) for each in installations]


def _written(row: Any) -> uuid.UUID | None:
    """Return the version that the portal, or a person, is known to have set there last."""
    write = row.reported_version if row.is_reported else getattr(row, "proven_write", None)
    return write.secret_id if write else None


def _baselines(rows: list[Any]) -> dict[uuid.UUID, Observation]:
    """Return what each is compared with, by installation."""
    ids: dict[uuid.UUID, int] = {}
    for row in rows:
        write = getattr(row, "proven_write", None)
        if row.is_accepted:
            ids[row.pk] = row.accepted_sight.observation_id
        elif row.is_reported:
            ids[row.pk] = row.reported_version.observation_id
        elif write and write.observation_id:
            ids[row.pk] = write.observation_id
    others = [row.pk for row in rows if row.pk not in ids]
    theirs = Observation.objects.filter(installation__in=others).order_by()
    ids |= dict(theirs.values_list("installation").annotate(first=Min("pk")))
    known = Observation.objects.in_bulk(ids.values())
    return {pk: known[number] for pk, number in ids.items()}


def _drift(
    row: Any,
    seen: dict[int, Observation],
    compared: dict[uuid.UUID, Observation],
    names: dict[uuid.UUID, Version],
) -> Drift:
    sight, baseline = seen[row.seen_id], compared[row.pk]
    held, written = row.held_version, _written(row)
    version = names.get(held) if held else None
    expected = names.get(written) if written else None
    is_reported = row.is_reported and not row.is_accepted
    rests_on_sight = row.is_accepted or is_reported or not written
    before = baseline.digest if rests_on_sight else row.proven_write.digest
    differences = [
        Difference(name, str(getattr(baseline, name)), str(getattr(sight, name)))
        for name in COMPARED
        if name != "digest" and getattr(baseline, name) != getattr(sight, name)
    ]
    if before != sight.digest:
        differences.append(Difference("digest", str(expected or ""), str(version or "")))
    return Drift(
        installation=row,
        seen=sight,
        baseline=baseline,
        is_accepted=row.is_accepted,
        is_reported=is_reported,
        is_proven=bool(written) and not row.is_accepted and not is_reported,
        version=version,
        expected=expected,
        differences=differences,
    )


@transaction.atomic
def accept(*, installation: Installation, observation: int, reason: str, actor: Actor) -> None:
    """Accept what an installation holds: it is compared with that from now on, and left as it is.

    `observation` is the number of the sight that the person saw. `NotAccepted` if the file was seen in
    another state since, if a push is open there, or without a reason; then nothing was changed.
    """
    if not reason.strip():
        raise NotAccepted(_("Give a reason: it is kept in the history."))
    one_start_at_a_time()
    row = with_holding(covered().filter(pk=installation.pk)).first()
    if row is None:
        raise NotAccepted(_("No account is in use on this installation: nothing is compared there."))
    if row.is_open:
        raise NotAccepted(_("A push is under way there: wait until it ends, then look again."))
    former = AcceptedSight.objects.filter(pk=row.pk, observation=observation).first()
    if former and row.seen_id == observation:
        raise NotAccepted(_("%s has accepted it already: there is nothing left to decide.") % former.by)
    if row.seen_id != observation or not row.is_drifted:
        raise NotAccepted(_("The file has been seen in another state since: look again."))
    facts = {"observation_id": observation, "by": actor.name, "reason": reason[:250]}
    AcceptedSight.objects.filter(pk=row.pk).delete()
    AcceptedSight.objects.create(installation=row, **facts)
    held = ClientSecret.objects.filter(pk=row.held_version, state=ClientSecret.State.USABLE).first()
    change({row.pk: (held.pk if held else None, None)}, Why.CONFIRMED)
    details: dict[str, object] = {"reason": reason[:250], "observation": observation}
    details |= {"version": held.version if held else None}
    record("drift.accepted", actor=actor, target=row, details=details)
