"""The map as of a moment, from what was seen and decided until then."""

import uuid
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from django.db.models import Count, Exists, Model, OuterRef, Q, QuerySet, Subquery
from django.utils import timezone

from credentials.coverage.cells import NAMES, Cell, Version, Wanted, place, versions
from credentials.coverage.holding import ACCOUNT, covered
from credentials.coverage.states import How, is_decided, judge
from credentials.models import DesiredVersionChange, GoalChange
from credentials.rollouts.models import Attempt, HandReport, ProvenDigest, Push
from instances.discovery.as_of import InTheFuture
from instances.discovery.models import Observation
from instances.models import Installation

Row = TypeVar("Row", bound=Model)


@dataclass(frozen=True)
class _Past:
    """What is known of all installations as of a moment, by installation, account or digest."""

    seen: dict[uuid.UUID, Observation]
    doubtful: set[uuid.UUID]
    """Installations for which two sights claim the moment: a clock was set back."""
    desired: dict[uuid.UUID, DesiredVersionChange]
    goals: dict[uuid.UUID, uuid.UUID | None]
    goals_since: dict[uuid.UUID, datetime]
    digests: dict[tuple[str, str], uuid.UUID]
    told: dict[int, uuid.UUID]
    """What people said they had set, by the number of the sight."""
    opened: set[uuid.UUID]
    named: dict[uuid.UUID, Version]


def cells_as_of(wanted: Wanted, moment: datetime) -> list[Cell]:
    """Return the wanted cells as they were, for the installations and assignments of today.

    A constant number of statements. `InTheFuture` for a moment that has not come yet.
    """
    if moment > timezone.now():
        raise InTheFuture
    facts = list(
        covered().filter(wanted.condition()).order_by("instance__name", "container__name").values(*NAMES)
    )
    past = _past({row["pk"] for row in facts}, moment)
    cells = (_cell(row, past, moment) for row in facts)
    return [cell for cell in cells if wanted.accepts(cell)]


def _past(installations: Collection[uuid.UUID], moment: datetime) -> _Past:
    earlier = Observation.objects.filter(at__lte=moment)
    seen = _newest_of_each(earlier, installations)
    claims = earlier.filter(last_seen__gte=moment).order_by().values("installation")
    doubtful = claims.annotate(count=Count("*")).filter(count__gt=1)
    desired = _newest_of_each(DesiredVersionChange.objects.filter(at__lte=moment), installations)
    changes = GoalChange.objects.filter(at__lte=moment).order_by("pk")
    goal_rows = list(changes.values_list("account", "version", "at"))
    goals: dict[uuid.UUID, uuid.UUID | None] = {account: version for account, version, _at in goal_rows}
    digests = _proven_digests({row.digest for row in seen.values()})
    told = _told_then([row.pk for row in seen.values()], moment)
    ids = {*told.values(), *digests.values(), *goals.values(), *(row.version_id for row in desired.values())}
    return _Past(
        seen={row.installation_id: row for row in seen.values()},
        doubtful=set(doubtful.values_list("installation", flat=True)),
        desired={row.installation_id: row for row in desired.values()},
        goals=goals,
        goals_since={account: at for account, _version, at in goal_rows},
        digests=digests,
        told=told,
        opened=_open_then(moment),
        named=versions({pk for pk in ids if pk}),
    )


def _newest_of_each(rows: "QuerySet[Row]", installations: Collection[uuid.UUID]) -> dict[Any, Row]:
    """Return the row with the highest number for each installation."""
    newest = rows.filter(installation=OuterRef("pk")).order_by("-pk").values("pk")[:1]
    every = Installation.objects.annotate(newest=Subquery(newest)).exclude(newest=None)
    found = every.order_by().values_list("pk", "newest")
    wanted = [newest for pk, newest in found if pk in installations]
    return rows.in_bulk(wanted)


def _proven_digests(digests: Iterable[str]) -> dict[tuple[str, str], uuid.UUID]:
    """Return the version that a digest was ever proven for, by digest and client id."""
    rows = ProvenDigest.objects.filter(digest__in=[each for each in digests if each])
    names = ("digest", "secret__client_id", "secret")
    return {
        (digest, client): pk for digest, client, pk in rows.order_by("-secret__version").values_list(*names)
    }


def _told_then(sights: Collection[int], moment: datetime) -> dict[int, uuid.UUID]:
    """Return the version that was reported with each of these sights until a moment."""
    rows = HandReport.objects.filter(observation__in=sights, at__lte=moment).exclude(version=None)
    return dict(rows.order_by("pk").values_list("observation", "version"))


def _open_then(moment: datetime) -> set[uuid.UUID]:
    """Return the installations with a push that had been asked for and had not ended.

    A retry opens a push once more: between its failure and the retry it was not open.
    """
    ended = Attempt.objects.filter(push=OuterRef("pk"), finished__lte=moment)
    ended = ended.exclude(verdict__in=Push.OPEN)
    failed_then = Q(retried__gt=moment) & Exists(ended)
    opened = Push.objects.filter(requested__lte=moment).filter(Q(finished=None) | Q(finished__gt=moment))
    opened = opened.exclude(failed_then)
    return set(opened.order_by().values_list("installation", flat=True))


def versions_seen(sights: Collection[Observation], moment: datetime) -> dict[int, Version]:
    """Return the version that each of these sights showed, as far as it is known, by their numbers."""
    digests = _proven_digests({row.digest for row in sights})
    told = _told_then([row.pk for row in sights], moment)
    known = {
        row.pk: pk for row in sights if (pk := digests.get((row.digest, row.client_id)) or told.get(row.pk))
    }
    named = versions(set(known.values()))
    return {number: named[pk] for number, pk in known.items()}


def _held(sight: Observation, past: _Past) -> tuple[Version | None, How]:
    """Return what an installation held, and how that is known; a person's report is called nothing else."""
    proven = past.digests.get((sight.digest, sight.client_id))
    held = past.named.get(proven or past.told.get(sight.pk))  # type: ignore[arg-type]
    if held is None:
        return None, How.NOT_KNOWN
    is_told = Observation.Source.HAND in (sight.source, sight.last_source)
    return held, How.SEEN if proven and not is_told else How.REPORTED


def _cell(row: dict[str, Any], past: _Past, moment: datetime) -> Cell:  # Any: the values of NAMES
    installation = row["pk"]
    sight = past.seen.get(installation)
    certainty = "not_known"
    if sight:
        is_known = moment <= sight.last_seen and installation not in past.doubtful
        certainty = "known" if is_known else "between"
    held, how = _held(sight, past) if sight else (None, How.NOT_KNOWN)
    change = past.desired.get(installation)
    desired = past.named.get(change.version_id) if change and change.version_id else None
    goal = past.named.get(past.goals.get(row[ACCOUNT]))  # type: ignore[arg-type]
    cover, need = judge(
        held=held,
        desired=desired,
        goal=goal,
        is_open=installation in past.opened,
        is_decided=is_decided(change.at if change else None, past.goals_since.get(row[ACCOUNT])),
    )
    return Cell(
        **place(row),
        held=held,
        desired=desired,
        goal=goal,
        how=how,
        cover=cover,
        need=need,
        push=change.push if change else None,
        since=sight.at if sight else None,
        seen=sight.last_seen if sight else None,
        certainty=certainty,
    )
