"""What was seen and does not fit the inventory, as proposals: computed, and never applied unasked.

`instances.inventory.proposed` applies one, `instances.discovery.dismissals` leaves one as it is.
"""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import NamedTuple
from uuid import UUID

from django.db.models import QuerySet
from django.db.models.functions import Lower

from instances.discovery.doubts import doubtful_containers, former_build, mixed_builds
from instances.discovery.models import EMPTY_ORGANIZATION, Dismissal, Reading, open_sight
from instances.models import (
    CONTAINER_ON,
    NONE_RETIRED,
    NOT_BY_HAND,
    NOT_HOSTED,
    NOT_RETIRED,
    Installation,
    Instance,
)
from instances.nlserver import MIN_BUILD
from instances.nlserver.job import INSTANCE
from instances.nlserver.reading import MOST_FILES
from instances.requirements import all_met
from portal.sql_parts import is_true

Kind = Dismissal.Kind
ON = all_met(each.of("container") for each in (CONTAINER_ON, NOT_BY_HAND, NOT_RETIRED))
"""Asked of readings and installations: nobody looks at a container that is off or retired."""
NO_FILE = "none"
"""A reading's word for a folder, or a link that leads nowhere."""
MOST_NAMED = 5_000
"""A statement names no more installations than this; beyond them it asks for all."""
SAID_ELSEWHERE = (Kind.OLD, Kind.JWT)
"""The home page has lines of their own for these."""
NOT_SAID_ELSEWHERE = "others"
"""Chooses what remains, in the address of the list."""


class Place(NamedTuple):
    """A container, as far as a proposal names it: thousands are made for one page."""

    pk: UUID
    name: str

    def __str__(self) -> str:
        return self.name


class Read(NamedTuple):
    """The newest successful reading of a container, and the build that the one before it saw."""

    pk: UUID
    place: Place
    started: datetime | None
    finished: datetime | None
    build: int | None
    found: Mapping[str, str]
    further: int
    former_build: int | None


@dataclass(frozen=True)
class Proposal:
    """One thing that was seen and does not fit the inventory, or that a person has to set right.

    `seen` is what it rests on: when that changes, it is another proposal with another `key`. `alike` is an
    instance whose name differs in upper and lower case only.
    """

    kind: Kind
    instance: str = ""
    container: Place | None = None
    seen: str = ""
    instance_id: UUID | None = None
    reading: UUID | None = None
    at: datetime | None = None
    builds: tuple[int, ...] = ()
    alike: str = ""
    is_hosted: bool = False

    @cached_property
    def key(self) -> str:
        """Names the proposal in addresses, forms and commands: 16 hexadecimal digits.

        A file of nobody stays the same one when its instance is entered for another container meanwhile.
        """
        where = str(self.container.pk) if self.container else ""
        kind = Kind.CREATE if self.kind == Kind.ADD else self.kind
        text = f"{kind}\n{where}\n{self.instance}\n{self.seen}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def can_be_applied(self) -> bool:
        """Whether the portal can do it: the others are for a person to do, here or on the container."""
        return self.kind in (Kind.CREATE, Kind.ADD) and not self.is_hosted


class Entered(NamedTuple):
    """An installation of the inventory, with what is known of it."""

    pk: UUID
    instance_id: UUID
    instance: str
    place: Place
    is_ours: bool
    """Not hosted by Adobe."""
    in_use: bool
    """Neither it nor its instance is retired."""
    build: int | None
    jwt: bool | None
    sight: int | None
    """The number of the open observation."""
    organization: str | None


class Times(NamedTuple):
    """When an installation was entered, when anything was seen there last, and when its file was."""

    created: datetime
    observed: datetime | None
    last_seen: datetime | None


@dataclass
class _Facts:
    """Everything that proposals of some containers come from: four statements, whatever their number.

    Reading four moments of each installation would take longer than all the rest, so `times` has those of the
    installations that something may be wrong with.
    """

    readings: list[Read]
    entered: dict[UUID, list[Entered]] = field(default_factory=dict)
    """By container, those in use."""
    retired: dict[UUID, set[str]] = field(default_factory=dict)
    """By container, the names of instances that are retired there: nobody proposes to enter them again."""
    instances: dict[str, tuple[UUID, bool]] = field(default_factory=dict)
    """By name: the id, and whether Adobe hosts it."""
    folded: dict[str, str] = field(default_factory=dict)
    times: dict[UUID, Times] = field(default_factory=dict)
    """By installation."""


def proposals(*, containers: Collection[UUID] | None = None) -> list[Proposal]:
    """Return what is proposed, in the order of kinds, containers and instances.

    `containers` limits it to these; what concerns all containers of an instance is left out then.
    """
    found = list(_mixed()) if containers is None else []
    facts = _facts(_asked(containers))
    found += [each for reading in facts.readings for each in _of_container(reading, facts)]
    found += _of_installations(facts)
    place = {kind: number for number, kind in enumerate(Kind)}
    return sorted(
        found,
        key=lambda each: (place[each.kind], each.container.name if each.container else "", each.instance),
    )


def proposals_of(containers: Collection[UUID], instances: Collection[UUID]) -> list[Proposal]:
    """Return what is proposed about these containers, and about these instances as a whole.

    Everything, where a statement would have to name too many of them.
    """
    if max(len(containers), len(instances)) > MOST_NAMED:
        return proposals()
    found = proposals(containers=containers) if containers else []
    return found + list(_mixed(instances)) if instances else found


def _asked(containers: Collection[UUID] | None) -> Collection[UUID] | None:
    """Return those of the containers that something may be wrong with; None: all, since they are too many."""
    found = doubtful_containers(newest(containers), installed(containers))
    return None if containers is None and len(found) > MOST_NAMED else found


def _facts(containers: Collection[UUID] | None) -> _Facts:
    facts = _Facts(list(_readings(containers)))
    for row in _entered(containers):
        if row.in_use:
            facts.entered.setdefault(row.place.pk, []).append(row)
        else:
            facts.retired.setdefault(row.place.pk, set()).add(row.instance)
    facts.instances = _instances({name for reading in facts.readings for name in reading.found})
    facts.folded = {name.casefold(): name for name in facts.instances}
    facts.times = _times({row.pk for row in _with_moments(facts)})
    return facts


def _instances(names: Collection[str]) -> dict[str, tuple[UUID, bool]]:
    """Return the instances that are called so, in upper or lower case: the id, and whether Adobe hosts it."""
    rows = Instance.objects.order_by()
    if len(names) < MOST_NAMED:
        rows = rows.alias(folded=Lower("name")).filter(folded__in={name.casefold() for name in names})
    columns = rows.values_list("name", "pk", is_true(NOT_HOSTED.condition()))
    return {name: (pk, not is_ours) for name, pk, is_ours in columns}


def _with_moments(facts: _Facts) -> Iterator[Entered]:
    """Yield the installations whose moments decide whether something is proposed, or are told by it."""
    newest = {reading.place.pk: reading for reading in facts.readings}
    for row in (row for rows in facts.entered.values() for row in rows):
        reading = newest.get(row.place.pk)
        is_other = reading and (row.instance not in reading.found or row.build != reading.build)
        if row.jwt or row.organization == EMPTY_ORGANIZATION or is_other:
            yield row


def _times(pks: Collection[UUID]) -> dict[UUID, Times]:
    rows = Installation.objects.order_by().annotate(sight=open_sight())
    if len(pks) < MOST_NAMED:
        rows = rows.filter(pk__in=pks)
    columns = rows.values_list("pk", "created", "observed", "sight__last_seen")
    return {pk: Times(*moments) for pk, *moments in columns}


def newest(containers: Collection[UUID] | None) -> QuerySet[Reading]:
    """Return the newest successful reading of each container that is on."""
    return Reading.objects.newest(containers=containers, state=Reading.State.SUCCEEDED).filter(ON)


def installed(containers: Collection[UUID] | None) -> QuerySet[Installation]:
    """Return the installations on containers that are on."""
    rows = Installation.objects.filter(ON)
    return rows if containers is None else rows.filter(container__in=containers)


def _readings(containers: Collection[UUID] | None) -> Iterator[Read]:
    rows = newest(containers).order_by("container__name")
    columns = ("pk", "container", "container__name", "started", "finished", "build", "found", "further")
    for pk, container, name, *others in rows.values_list(*columns, former_build()):
        yield Read(pk, Place(container, name), *others)


def _entered(containers: Collection[UUID] | None) -> Iterator[Entered]:
    told = installed(containers).annotate(
        sight=open_sight(),
        is_ours=is_true(NOT_HOSTED.of("instance").condition()),
        in_use=is_true(all_met(NONE_RETIRED)),
    )
    columns = told.order_by("instance__name").values_list(
        "pk",
        "instance",
        "instance__name",
        "container",
        "container__name",
        "is_ours",
        "in_use",
        "observed_build",
        "observed_jwt",
        "sight__pk",
        "sight__organization_id",
    )
    for pk, instance, name, container, container_name, *others in columns:
        yield Entered(pk, instance, name, Place(container, container_name), *others)


def _of_container(reading: Read, facts: _Facts) -> Iterator[Proposal]:
    entered = facts.entered.get(reading.place.pk, [])
    known = {row.instance for row in entered} | facts.retired.get(reading.place.pk, set())
    yield from _not_entered(reading, known, facts)
    for row in entered:
        if _is_gone(row, reading, facts):
            seen = f"after {row.sight}" if row.sight else "never"
            yield _about(Kind.GONE, reading, row.instance, row.instance_id, seen)
    build, former = _build(reading, entered, facts), reading.former_build
    if build and entered and build < MIN_BUILD:
        yield _about(Kind.OLD, reading, seen=str(build), builds=(build,))
    if former and reading.build and former != reading.build:
        builds = (former, reading.build)
        yield _about(Kind.BUILD, reading, seen=f"{former} {reading.build}", builds=builds)


def _not_entered(reading: Read, entered: Collection[str], facts: _Facts) -> Iterator[Proposal]:
    """Yield what was found there and is not entered: no more than a reading can tell of.

    A container may lie, and an older release may have stored what this one would not believe.
    """
    names = (name for name in sorted(reading.found)[:MOST_FILES] if name not in entered)
    for name in names:
        if not INSTANCE.fullmatch(name) or name.casefold() == "default" or reading.found[name] == NO_FILE:
            continue
        pk, is_hosted = facts.instances.get(name, (None, False))
        yield Proposal(
            Kind.ADD if pk else Kind.CREATE,
            name,
            reading.place,
            instance_id=pk,
            reading=reading.pk,
            at=reading.finished,
            alike="" if pk else facts.folded.get(name.casefold(), ""),
            is_hosted=is_hosted,
        )


def _is_gone(row: Entered, reading: Read, facts: _Facts) -> bool:
    """Whether a complete reading found no such file, and nobody has entered or seen it since."""
    if reading.further or row.instance in reading.found:
        return False
    since, times = reading.started or reading.finished, facts.times[row.pk]
    return since is None or max(times.created, times.last_seen or times.created) <= since


def _build(reading: Read, entered: Iterable[Entered], facts: _Facts) -> int | None:
    """Return the build that a container was seen to run last, by this reading or by a later push."""
    others = [(facts.times[row.pk].observed, row.build) for row in entered if row.build != reading.build]
    finished = reading.finished
    later = [(at, build) for at, build in others if at and build and finished and at > finished]
    return max(later)[1] if later else reading.build


def _about(
    kind: Kind,
    reading: Read,
    instance: str = "",
    instance_id: UUID | None = None,
    seen: str = "",
    builds: tuple[int, ...] = (),
) -> Proposal:
    return Proposal(kind, instance, reading.place, seen, instance_id, reading.pk, reading.finished, builds)


def _of_installations(facts: _Facts) -> Iterator[Proposal]:
    """Yield what the file of an installation shows, by whatever saw it last."""
    for row in (row for rows in facts.entered.values() for row in rows):
        if not row.is_ours:
            continue
        if row.organization == EMPTY_ORGANIZATION:
            at = facts.times[row.pk].last_seen
            yield Proposal(Kind.ORGANIZATION, row.instance, row.place, "", row.instance_id, at=at)
        if row.jwt:
            at = facts.times[row.pk].observed
            yield Proposal(Kind.JWT, row.instance, row.place, "", row.instance_id, at=at)


def _mixed(instances: Collection[UUID] | None = None) -> Iterator[Proposal]:
    """Yield the instances whose containers run several builds; `instances` limits it to these."""
    rows = installed(None) if instances is None else installed(None).filter(instance__in=instances)
    for pk, (name, builds) in mixed_builds(rows).items():
        seen = " ".join(map(str, builds))
        yield Proposal(Kind.MIXED, name, seen=seen, instance_id=pk, builds=builds)
