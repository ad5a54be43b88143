"""What happened to installations and containers, as one list of lines, the newest first.

Rooms above register further kinds of lines, such as pushes, and where the evidence for a sight is to be seen.
"""

import heapq
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from uuid import UUID

from django.db.models import F, OuterRef, QuerySet, Subquery
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from instances.discovery.models import EMPTY_ORGANIZATION, Observation, Reading
from instances.failures import Code, explain
from instances.models import Container, Installation, Instance
from portal.web.tags import moment


@dataclass(frozen=True)
class Scope:
    """What a timeline is about: ids, and how its lines call each of them (empty: they need not)."""

    installations: Mapping[UUID, str] = field(default_factory=dict)
    containers: Mapping[UUID, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Wanted:
    """Which lines are asked for: the newest `most` that began until a moment.

    `everything`: also those that say only that nothing changed.
    """

    most: int
    until: datetime | None = None
    everything: bool = False


@dataclass(frozen=True)
class Change:
    """One value that differs from what was there before; each None if there is none."""

    name: str
    before: str | None
    after: str | None


@dataclass(frozen=True)
class Link:
    """Where the evidence is to be seen. `is_proof`: it also proves that it wrote what was seen."""

    text: str
    url: str
    is_proof: bool = False


@dataclass(frozen=True)
class Line:
    """One line of a timeline. `notes` are sentences, `about` names the installation or container.

    `rank`: of lines of different kinds at one moment, that with the higher one happened later.
    """

    at: datetime
    title: str
    about: str = ""
    icon: str = "info"
    tone: str = ""
    changes: Sequence[Change] = ()
    notes: Sequence[str] = ()
    links: Sequence[Link] = ()
    rank: int = 0


Lines = Callable[[Scope, Wanted], Sequence[Line]]
Evidence = Callable[[Collection[str]], Mapping[str, Link]]
Meanings = Callable[[Collection[Observation]], Mapping[int, Sequence[tuple[Promise, str]]]]
_kinds: list[Lines] = []
_evidence: dict[str, Evidence] = {}
_meanings: list[Meanings] = []


def lines(of: Lines) -> Lines:
    """Register a kind of lines: a function that returns the newest ones, in the order of its own numbers.

    It asks the database a constant number of times, and returns `wanted.most` lines at most.
    """
    _kinds.append(of)
    return of


def evidence(*sources: str) -> Callable[[Evidence], Evidence]:
    """Register a function that gives links for `source_id`s of observations, by source (`push`, `look`)."""

    def register(of: Evidence) -> Evidence:
        _evidence.update(dict.fromkeys(sources, of))
        return of

    return register


def meaning(of: Meanings) -> Meanings:
    """Register a function that says more of observations than the file does, with a name for each value.

    It gets them all at once, answers by their numbers, and asks the database a constant number of times.
    """
    _meanings.append(of)
    return of


def meanings(rows: Collection[Observation]) -> dict[int, list[tuple[Promise, str]]]:
    """Return what rooms above know of these observations, by their numbers."""
    known = [of(rows) for of in _meanings]
    return {row.pk: [fact for each in known for fact in each.get(row.pk, ())] for row in rows}


def timeline(scope: Scope, wanted: Wanted) -> list[Line]:
    """Return the newest lines of all kinds.

    Each kind keeps its own order, which is that of numbers; the clock decides only between kinds. Where it
    was set back, what is behind a line of one kind follows it at once: the merge compares what is in front.
    """
    columns = [of(scope, wanted) for of in _kinds]
    merged = heapq.merge(*columns, key=lambda line: (line.at, line.rank), reverse=True)
    return list(islice(merged, wanted.most))


FIELDS: Mapping[str, Promise] = {
    "client_id": _("Client ID"),
    "account_id": _("Technical account ID"),
    "organization_id": _("Organization ID"),
    "digest": _("Digest of the encrypted secret"),
    "is_jwt": _("JWT credential"),
    "build": _("Build"),
}
UUID_TEXT = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
SHORT = 12
"""Characters of a digest that are shown: enough to tell two apart."""
BY: Mapping[str, Promise] = {
    Observation.Source.PUSH: _("a push"),
    Observation.Source.LOOK: _("a look after a push"),
    Observation.Source.READ: _("a reading"),
    Observation.Source.HAND: _("a report by hand"),
}


def values(row: Observation) -> dict[str, str | None]:
    """Return what an observation saw, by field, as words; None where there is nothing."""
    return {name: _word(name, getattr(row, name)) for name in FIELDS}


def _word(name: str, value: object) -> str | None:
    if name == "is_jwt":
        return gettext("still there") if value else gettext("none")
    if not value:
        return None
    if name == "digest":
        return f"{str(value)[:SHORT]}…"
    if name == "organization_id":
        return str(value).replace(EMPTY_ORGANIZATION, gettext("empty"))
    return str(value)


def changes(former: Observation, row: Observation) -> list[Change]:
    """Return what differs between two sights. A build that one of them did not learn is no difference."""
    before, after = values(former), values(row)
    return [
        Change(str(words), before[name], after[name])
        for name, words in FIELDS.items()
        if getattr(former, name) != getattr(row, name)
        and not (name == "build" and None in (former.build, row.build))
    ]


def _newest_first(scope: Scope) -> QuerySet[Observation]:
    """Return the observations of a scope by number.

    Of one installation, an index has them in this order. Of several, it has not, and PostgreSQL would go
    through the newest of all installations until it has found enough: the sum keeps it from that.
    """
    if len(scope.installations) == 1:
        return Observation.objects.filter(installation=next(iter(scope.installations))).order_by("-pk")
    mine = Observation.objects.filter(installation__in=scope.installations.keys())
    return mine.order_by((F("pk") + 0).desc())


@lines
def sights(scope: Scope, wanted: Wanted) -> list[Line]:
    """Return a line for each observation: what differed from the one before, and how that is known."""
    rows = _newest_first(scope)
    if wanted.until:
        rows = rows.filter(at__lte=wanted.until)
    mine = Observation.objects.filter(installation=OuterRef("installation"), pk__lt=OuterRef("pk"))
    found = list(rows.annotate(former=Subquery(mine.order_by("-pk").values("pk")[:1]))[: wanted.most])
    formers = Observation.objects.in_bulk([pk for row in found if (pk := row.former)])
    links = evidence_of(found)
    abouts = scope.installations
    return [
        _sight(row, formers.get(row.former), abouts[row.installation_id], links, wanted.until)
        for row in found
    ]


def _sight(
    row: Observation,
    former: Observation | None,
    about: str,
    links: Mapping[str, Link],
    until: datetime | None,
) -> Line:
    differing = changes(former, row) if former else _first(row)
    was_written = bool(former and row.stamp and former.stamp and row.stamp != former.stamp)
    if former is None:
        title, icon, tone = gettext("Seen for the first time"), "search", "info"
    elif differing and _is_own(row, former):
        push = links.get(row.source_id)
        by_it = push and push.is_proof
        title = gettext("Changed by a push") if by_it else gettext("Changed during a push")
        icon, tone = "send", ""
    elif differing:
        title, icon, tone = gettext("Something different was seen"), "edit", "warning"
    elif was_written:
        title, icon, tone = gettext("Written again with the same content"), "edit", ""
    else:
        title, icon, tone = gettext("Seen with the same content"), "search", ""
    return Line(
        at=row.at,
        title=title,
        about=about,
        icon=icon,
        tone=tone,
        changes=differing,
        notes=[
            note for note in (_how(row, former, bool(differing), was_written), _again(row, until)) if note
        ],
        links=[links[key] for key in dict.fromkeys((row.source_id, row.last_source_id)) if key in links],
    )


def _is_own(row: Observation, former: Observation) -> bool:
    """Whether one push saw the file before it wrote, as it was known to be, and again afterwards."""
    is_push = row.source == former.last_source == Observation.Source.PUSH
    return is_push and row.source_id == former.last_source_id


def _first(row: Observation) -> list[Change]:
    return [Change(str(FIELDS[name]), None, text) for name, text in values(row).items() if text is not None]


def _how(row: Observation, former: Observation | None, differs: bool, was_written: bool) -> SafeString | str:
    """Say between which sights it happened, or that nobody knows whether anything did."""
    by = BY.get(row.source, row.source)
    if former is None:
        return gettext("Seen by %s. What was there before is not known.") % by
    if (differs or was_written) and _is_own(row, former):
        text = gettext(
            "It happened between {before}, when the push began, and {after}, when it ended: the push found "
            "the file as it had been seen last, and read it again after it had written."
        )
    elif differs or was_written:
        text = gettext(
            "It happened between {before}, when the earlier content was last seen, and {after}, when {by} "
            "saw it."
        )
    else:
        text = gettext(
            "Seen by {by}. It is not known whether the file was written between {before} and {after}: at "
            "least one of the two observations does not tell when it was last written."
        )
    return format_html(text, before=moment(former.last_seen), after=moment(row.at), by=by)


def _again(row: Observation, until: datetime | None) -> SafeString | str:
    """Say how often it was seen since; of a moment before the last time, nobody kept how often until then."""
    if row.sights < 2:
        return ""
    if until and row.last_seen > until:
        text = gettext("Unchanged at this moment: it was seen again later, still the same, at {last}.")
        return format_html(text, last=moment(row.last_seen))
    text = ngettext(
        "Seen once more since then, unchanged: {last}.",
        "Seen {count} more times since then, unchanged; the last time {last}.",
        row.sights - 1,
    )
    return format_html(text, count=row.sights - 1, last=moment(row.last_seen))


def evidence_of(rows: Iterable[Observation]) -> dict[str, Link]:
    """Return links to what saw these, by `source_id`; one question for each kind of source."""
    wanted: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        wanted[row.source].add(row.source_id)
        wanted[row.last_source].add(row.last_source_id)
    links: dict[str, Link] = {}
    for source, of in _evidence.items():
        links |= of(wanted.get(source, set()))
    return links


@evidence(Observation.Source.READ)
def _readings(ids: Collection[str]) -> dict[str, Link]:
    return {str(each): Link(gettext("Reading"), reverse("reading", args=[each])) for each in uuids(ids)}


def uuids(ids: Iterable[str]) -> list[UUID]:
    """Return those ids that are UUIDs; what else was stored as a source leads nowhere."""
    return [UUID(each) for each in ids if UUID_TEXT.fullmatch(each)]


@lines
def reads(scope: Scope, wanted: Wanted) -> list[Line]:
    """Return a line for each read of a container that has ended: those that failed, or everything."""
    rows = Reading.objects.filter(container__in=scope.containers.keys()).exclude(finished=None)
    rows = rows.order_by("-asked").defer("found")
    if wanted.until:
        rows = rows.filter(asked__lte=wanted.until)
    if not wanted.everything:
        rows = rows.filter(state=Reading.State.FAILED)
    return [_read(row, scope.containers[row.container_id]) for row in rows[: wanted.most]]


def _read(row: Reading, about: str) -> Line:
    by = gettext("Asked for by %s.") % row.asked_by
    link = Link(gettext("Reading"), reverse("reading", args=[row.pk]))
    at = row.finished or row.asked
    if row.state == Reading.State.FAILED:
        title = gettext("Could not be read: %s") % Code(row.code).label
        notes = [str(explain(row.code).cause), by]
        return Line(at, title, about, "failed", "danger", notes=notes, links=[link])
    title = gettext("Read: build %s") % row.build if row.build else gettext("Read")
    return Line(at, title, about, "search", notes=[by], links=[link])


def of_installation(row: Installation) -> Scope:
    """Return the scope of one installation: its sights, and the reads of its container."""
    return Scope({row.pk: ""}, {row.container_id: ""})


def of_container(row: Container) -> Scope:
    """Return the scope of a container: its reads, and the sights of every installation there."""
    found = row.installations.order_by("instance__name").values_list("pk", "instance__name")
    return Scope(dict(found), {row.pk: ""})


def of_instance(row: Instance) -> Scope:
    """Return the scope of an instance: the sights of its installations, and the reads of their containers."""
    columns = ("pk", "container", "container__name")
    found = list(row.installations.order_by("container__name").values_list(*columns))
    return Scope({pk: name for pk, _at, name in found}, {container: name for _pk, container, name in found})
