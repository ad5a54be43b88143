"""The map as of a moment, from what was seen and decided until then."""

import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from django.db.models import Case, Count, Exists, F, Model, OuterRef, Q, QuerySet, Subquery, Value, When
from django.db.models.functions import Coalesce
from django.utils import timezone

from credentials.coverage.cells import NAMES, Cell, Version, Wanted, place, versions
from credentials.coverage.holding import ACCOUNT, covered
from credentials.coverage.states import Fact, How, facts, facts_of_versions, is_decided, judge
from credentials.models import DesiredVersionChange, GoalChange, TechnicalAccount
from credentials.rollouts.models import (
    HOLDING,
    Attempt,
    ConfirmedVersion,
    HandReport,
    ProvenDigest,
    ProvenWrite,
    Push,
)
from instances.discovery.as_of import InTheFuture
from instances.discovery.models import EMPTY_ORGANIZATION, Observation
from instances.discovery.timeline import changes
from instances.models import Installation

Row = TypeVar("Row", bound=Model)

AS_IF = Fact.ON | Fact.WORKING
"""What is not known of the past: nobody kept when a container was off, or a version was deleted."""


@dataclass(frozen=True)
class _Proof:
    """The version that a digest was ever proven for, and the installation where it was proven first."""

    version: uuid.UUID
    installation: uuid.UUID


@dataclass(frozen=True)
class _Past:
    """What is known of all installations as of a moment, by installation, account or digest."""

    seen: dict[uuid.UUID, Observation]
    certain: dict[uuid.UUID, str]
    """How certain it is that what was seen was there at the moment: a `certainty` of cells."""
    desired: dict[uuid.UUID, DesiredVersionChange]
    goals: dict[uuid.UUID, uuid.UUID | None]
    goals_since: dict[uuid.UUID, datetime]
    digests: dict[tuple[str, str], _Proof]
    written: dict[uuid.UUID, tuple[uuid.UUID, str]]
    """The version that the last push had proven there until then, and its digest."""
    confirmed: dict[uuid.UUID, tuple[uuid.UUID, str]]
    """The version that a person had confirmed there until then, and its digest."""
    told: dict[int, uuid.UUID]
    """What people said they had set, by the number of the sight."""
    opened: set[uuid.UUID]
    failed: set[uuid.UUID]
    """Pushes that had failed."""
    named: dict[uuid.UUID, Version]


FEW = 1_000
"""A statement names at most this number of installations; beyond that it asks for all."""


def cells_as_of(
    wanted: Wanted, moment: datetime, *, instances: Collection[uuid.UUID] | None = None
) -> list[Cell]:
    """Return the wanted cells as they were, for the assignments of today; of all instances, or of these.

    What was entered in the inventory later was not there, and what was removed since is not either.
    A constant number of statements. `InTheFuture` for a moment that has not come yet.
    """
    rows = entered(wanted, moment)
    if instances is not None:
        rows = rows.filter(instance__in=list(instances))
    facts = list(rows.order_by("instance__name", "container__name").values(*NAMES))
    past = _past({row["pk"] for row in facts}, moment)
    cells = (_cell(row, past, moment) for row in facts)
    return [cell for cell in cells if wanted.accepts(cell)]


def entered(wanted: Wanted, moment: datetime) -> QuerySet[Installation]:
    """Return the wanted installations that were there; `InTheFuture` for a moment that has not come yet."""
    if moment > timezone.now():
        raise InTheFuture
    return covered().filter(wanted.condition()).filter(_was_known(moment))


def _was_known(moment: datetime) -> Q:
    """Whether an installation had been entered, or seen, or pushed to until a moment."""
    here = OuterRef("pk")
    seen = Observation.objects.filter(installation=here, at__lte=moment)
    pushed = Push.objects.filter(installation=here, requested__lte=moment)
    return Q(created__lte=moment) | Q(Exists(seen)) | Q(Exists(pushed))


def _past(installations: Collection[uuid.UUID], moment: datetime) -> _Past:
    here = _here(installations)
    seen = _by_number(last_of_each(Observation.objects.all(), moment), installations)
    desired = _by_number(last_of_each(DesiredVersionChange.objects.all(), moment), installations)
    goal_rows = list(goals_then(moment).values_list("account", "version", "at"))
    goals: dict[uuid.UUID, uuid.UUID | None] = {account: version for account, version, _at in goal_rows}
    digests = _proven_digests({row.digest for row in seen.values()})
    confirmed = _confirmed_then(moment, here("pk"))
    told = _told_then([row.pk for row in seen.values()], moment)
    ids = {*told.values(), *goals.values(), *(row.version_id for row in desired.values())}
    ids |= {proof.version for proof in digests.values()} | {
        version for version, _digest in confirmed.values()
    }
    return _Past(
        seen={row.installation_id: row for row in seen.values()},
        certain=_certainties(seen, moment, here("installation")),
        desired={row.installation_id: row for row in desired.values()},
        goals=goals,
        goals_since={account: at for account, _version, at in goal_rows},
        digests=digests,
        written=_written_then(seen.values(), moment, here("pk")),
        confirmed=confirmed,
        told=told,
        opened=set(open_then(moment).filter(here("installation")).values_list("installation", flat=True)),
        failed=_failed_then([row.push for row in desired.values() if row.push], moment),
        named=versions({pk for pk in ids if pk}),
    )


def _here(installations: Collection[uuid.UUID]) -> Callable[[str], Q]:
    """Return what limits rows to these installations, by the name of their column, if they are few."""
    return lambda column: Q(**{f"{column}__in": installations}) if len(installations) <= FEW else Q()


def goals_then(moment: datetime) -> QuerySet[GoalChange]:
    """Return the last change of each account's goal until a moment."""
    until = GoalChange.objects.filter(account=OuterRef("pk"), at__lte=moment).order_by("-pk")
    newest = TechnicalAccount.objects.order_by().annotate(newest=Subquery(until.values("pk")[:1]))
    return GoalChange.objects.filter(pk__in=newest.values("newest")).order_by()


def twice_claimed(moment: datetime) -> "QuerySet[Any]":  # Any: a query set of values
    """Return the installations where two sights claim a moment, since the clock was set back."""
    claims = Observation.objects.filter(at__lte=moment, last_seen__gte=moment).order_by()
    twice = claims.values("installation").annotate(count=Count("*")).filter(count__gt=1)
    return twice.values_list("installation", flat=True)


def _certainties(seen: Mapping[int, Observation], moment: datetime, here: Q) -> dict[uuid.UUID, str]:
    """Return what each newest sight before a moment says of the moment itself, by installation.

    Known: it goes on until then. Since: nobody has looked since. Between: the next one shows something else.
    Likely: it shows the same, but nobody knows what the file held in between, since it was or may have been
    written. Where the clock was set back, and two sights claim the moment, it lies between them.
    """
    doubtful = set(twice_claimed(moment).filter(here))
    ended = [row.pk for row in seen.values() if row.last_seen < moment]
    later = Observation.objects.filter(installation=OuterRef("installation"), pk__gt=OuterRef("pk"))
    following = dict(
        Observation.objects.filter(pk__in=ended)
        .annotate(following=Subquery(later.order_by("pk").values("pk")[:1]))
        .order_by()
        .values_list("pk", "following")
    )
    found = Observation.objects.in_bulk([pk for pk in following.values() if pk])

    def certainty(row: Observation) -> str:
        if row.installation_id in doubtful:
            return "between"
        if moment <= row.last_seen:
            return "known"
        after = found.get(following.get(row.pk))
        if after is None:
            return "since"
        return "between" if changes(row, after) else "likely"

    return {row.installation_id: certainty(row) for row in seen.values()}


def last_of_each(rows: "QuerySet[Row]", moment: datetime) -> "QuerySet[Row]":
    """Return the last row of each installation until a moment, by its number."""
    until = rows.filter(installation=OuterRef("pk"), at__lte=moment).order_by("-pk")
    every = Installation.objects.order_by().annotate(newest=Subquery(until.values("pk")[:1]))
    return rows.filter(pk__in=every.values("newest")).order_by()


def _by_number(rows: "QuerySet[Row]", installations: Collection[uuid.UUID]) -> dict[Any, Row]:
    """Return the rows of these installations by their numbers."""
    found = rows.filter(_here(installations)("installation"))
    return {row.pk: row for row in found if row.installation_id in installations}  # type: ignore[attr-defined]


def _proven_digests(digests: Iterable[str]) -> dict[tuple[str, str], _Proof]:
    """Return the version that a digest was ever proven for, by digest and client id."""
    rows = ProvenDigest.objects.filter(digest__in=[each for each in digests if each])
    names = ("digest", "secret__client_id", "secret", "attempt__push__installation")
    return {
        (digest, client): _Proof(*proof)
        for digest, client, *proof in rows.order_by("-secret__version").values_list(*names)
    }


def _written_then(
    seen: Iterable[Observation], moment: datetime, here: Q
) -> dict[uuid.UUID, tuple[uuid.UUID, str]]:
    """Return the version that a push had proven on each installation until a moment, and its digest.

    Asked are the attempts that saw the file, and the last proven writes. To look for the newest of all
    attempts took 40 s where 10,000 installations had a hundred each.
    """
    last = ProvenWrite.objects.filter(here, observation__at__lte=moment).order_by()
    found = {row.pk: (row.secret_id, row.digest) for row in last}
    ids = {pk for row in seen for pk in _attempts_of(row)}
    proven = Attempt.objects.filter(pk__in=ids, proof__in=HOLDING, finished__lte=moment).order_by("number")
    names = ("push__installation", "push__rollout__secret", "after_digest")
    found.update({place: (version, digest) for place, version, digest in proven.values_list(*names)})
    return found


def _attempts_of(sight: Observation) -> Iterator[uuid.UUID]:
    """Yield the attempts that saw it first and last; the text that a sight keeps may be none of their ids."""
    sources = (sight.source, sight.source_id), (sight.last_source, sight.last_source_id)
    for source, name in sources:
        if source == Observation.Source.PUSH:
            with suppress(ValueError):
                yield uuid.UUID(name)


def _confirmed_then(moment: datetime, here: Q) -> dict[uuid.UUID, tuple[uuid.UUID, str]]:
    """Return what people had confirmed; of an installation where they did it twice, only the last is kept."""
    rows = ConfirmedVersion.objects.filter(here, at__lte=moment).order_by()
    return {row.pk: (row.secret_id, row.digest) for row in rows}


def _told_then(sights: Collection[int], moment: datetime) -> dict[int, uuid.UUID]:
    """Return the version that was reported with each of these sights until a moment."""
    rows = HandReport.objects.filter(observation__in=sights, at__lte=moment).exclude(version=None)
    return dict(rows.order_by("pk").values_list("observation", "version"))


def _last_verdict(moment: datetime) -> Coalesce:
    """Return an annotation for pushes: the last attempt's verdict; empty while it ran, or without one."""
    begun = Attempt.objects.filter(push=OuterRef("pk"), started__lte=moment).order_by("-number")
    shown = Case(When(finished__lte=moment, then=F("verdict")), default=Value(""))
    return Coalesce(Subquery(begun.annotate(shown=shown).values("shown")[:1]), Value(""))


def open_then(moment: datetime) -> QuerySet[Push]:
    """Return the pushes that had been asked for and had not ended.

    A retry opens a push once more: between its failure and the retry it was not open.
    """
    opened = Push.objects.filter(requested__lte=moment).filter(Q(finished=None) | Q(finished__gt=moment))
    opened = opened.annotate(verdict=_last_verdict(moment))
    return opened.exclude(~Q(verdict__in=["", *Push.OPEN]) & Q(retried__gt=moment)).order_by()


def failed_then(moment: datetime) -> QuerySet[Push]:
    """Return the pushes that had failed, whatever a later retry made of them.

    Attempts say so, and pushes that ended as failed without one.
    """
    rows = Push.objects.annotate(verdict=_last_verdict(moment)).order_by()
    return rows.filter(Q(verdict=Push.State.FAILED) | Q(state=Push.State.FAILED, finished__lte=moment))


def _failed_then(pushes: Collection[uuid.UUID], moment: datetime) -> set[uuid.UUID]:
    return set(failed_then(moment).filter(pk__in=pushes).values_list("pk", flat=True))


def versions_seen(sights: Collection[Observation], moment: datetime) -> dict[int, Version]:
    """Return the version that each of these sights showed, as far as it is known, by their numbers."""
    digests = _proven_digests({row.digest for row in sights})
    told = _told_then([row.pk for row in sights], moment)
    proofs = {row.pk: digests.get((row.digest, row.client_id)) for row in sights}
    known = {
        number: pk for number, proof in proofs.items() if (pk := proof.version if proof else told.get(number))
    }
    named = versions(set(known.values()))
    return {number: named[pk] for number, pk in known.items()}


def _held(sight: Observation, past: _Past) -> tuple[Version | None, How]:
    """Return what an installation held, and how that is known; a person's report is called nothing else.

    The order is that of `holding.with_holding`.
    """
    if EMPTY_ORGANIZATION in sight.organization_id:
        return None, How.NOT_KNOWN
    proof = past.digests.get((sight.digest, sight.client_id))
    confirmed, digest = past.confirmed.get(sight.installation_id, (None, ""))
    is_confirmed = bool(digest) and digest == sight.digest and (proof is None or proof.version == confirmed)
    vouched = confirmed if is_confirmed else past.told.get(sight.pk)
    held = past.named.get(proof.version if proof else vouched)  # type: ignore[arg-type]
    if held is None:
        return None, How.NOT_KNOWN
    is_proven = bool(proof and _is_own(proof, sight, past))
    is_told = sight.last_source == Observation.Source.HAND
    if is_told or (sight.source == Observation.Source.HAND and not is_proven):
        return held, How.REPORTED
    if is_proven:
        return held, How.PROVEN
    if is_confirmed:
        return held, How.CONFIRMED
    return held, How.SEEN if proof else How.REPORTED


def _is_own(proof: _Proof, sight: Observation, past: _Past) -> bool:
    """Whether its own push proved what was seen there: until the moment, or as the first one ever."""
    if past.written.get(sight.installation_id) == (proof.version, sight.digest):
        return True
    return proof.installation == sight.installation_id


def _cell(row: dict[str, Any], past: _Past, moment: datetime) -> Cell:  # Any: the values of NAMES
    installation = row["pk"]
    sight = past.seen.get(installation)
    held, how = _held(sight, past) if sight else (None, How.NOT_KNOWN)
    change = past.desired.get(installation)
    desired = past.named.get(change.version_id) if change and change.version_id else None
    goal = past.named.get(past.goals.get(row[ACCOUNT]))  # type: ignore[arg-type]
    decided = is_decided(change.at if change else None, past.goals_since.get(row[ACCOUNT]))
    cover, need = judge(
        AS_IF
        | facts_of_versions(held, desired, goal)
        | facts(
            {
                Fact.OPEN: installation in past.opened,
                Fact.FAILED: change and change.push in past.failed,
                Fact.DECIDED: decided,
            }
        )
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
        certainty=past.certain.get(installation, "not_known"),
    )
