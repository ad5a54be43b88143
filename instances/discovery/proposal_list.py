"""Which proposals there are, counted and cut into pages by the database.

`instances.discovery.proposals` has the rules in words and says everything about each; this asks the same of
the database, so that a page fetches what it shows and no more, whatever the size of the fleet. Django's
queries cannot look into the names of a JSON object, hence the text. The tests hold the two together.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from instances.discovery.doubts import former_build
from instances.discovery.models import EMPTY_ORGANIZATION, Dismissal, open_sight
from instances.discovery.proposals import (
    NO_FILE,
    NOT_SAID_ELSEWHERE,
    SAID_ELSEWHERE,
    Kind,
    Proposal,
    installed,
    newest,
    proposals_of,
)
from instances.models import NONE_RETIRED, NOT_HOSTED, Instance
from instances.nlserver import MIN_BUILD
from instances.nlserver.job import INSTANCE
from instances.nlserver.reading import MOST_FILES
from instances.requirements import all_met
from portal.sql_parts import Paged, compiled, fetch, id_of, is_true

KEY = re.compile("[0-9a-f]{16}")
KINDS = tuple(Kind)
"""In the order of the list."""


@dataclass(frozen=True)
class Wanted:
    """What the list is narrowed to; `is_left`: to those that somebody left as they are."""

    kind: str = ""
    """One of `Kind`, or `NOT_SAID_ELSEWHERE`."""
    text: str = ""
    is_left: bool = False

    @property
    def kinds(self) -> Collection[Kind]:
        if self.kind == NOT_SAID_ELSEWHERE:
            return [each for each in KINDS if each not in SAID_ELSEWHERE]
        return [Kind(self.kind)] if self.kind else KINDS


class Where(NamedTuple):
    """What proposals are about: a container, or an instance as a whole."""

    container: UUID | None
    instance: UUID | None
    name: str
    number: int
    """How many are about it."""


def count(wanted: Wanted) -> int:
    """Return how many proposals are wanted; one statement."""
    return int(_ask(wanted, "SELECT COUNT(*) FROM wanted")[0][0])


def page(wanted: Wanted, begin: int, end: int) -> list[Proposal]:
    """Return some of them, in the order of kinds, containers and instances; a few statements."""
    columns = "SELECT key, container, instance FROM wanted ORDER BY kind, container_name, name"
    return _in_full(_ask(wanted, columns + " LIMIT %s OFFSET %s", end - begin, begin))


def find(key: str) -> Proposal | None:
    """Return the proposal with this key, left or not, unless what was seen has changed since it was shown."""
    if not KEY.fullmatch(key):
        return None
    text, values = _keyed()
    question = "SELECT key, container, instance FROM keyed WHERE key = %s"
    return next(iter(_in_full(fetch([text, question], [*values, key]))), None)


def places(wanted: Wanted, most: int) -> tuple[list[Where], int]:
    """Return what most of the wanted proposals are about, `most` of these; and how many there are.

    One statement.
    """
    grouped = (
        "SELECT container, CASE WHEN container IS NULL THEN instance END AS whole, "
        "COALESCE(container_name, name) AS place, COUNT(*) AS number, COUNT(*) OVER () FROM wanted "
        "GROUP BY container, whole, place ORDER BY number DESC, place LIMIT %s"
    )
    rows = _ask(wanted, grouped, most)
    found = [Where(id_of(row[0]), id_of(row[1]), row[2], row[3]) for row in rows]
    return found, rows[0][4] if rows else 0


def listed(wanted: Wanted) -> Paged[Proposal]:
    """Return the wanted proposals for a paginator."""
    return Paged(lambda: count(wanted), lambda begin, end: page(wanted, begin, end))


def _in_full(rows: Sequence[Sequence[Any]]) -> list[Proposal]:  # Any: values of columns
    """Return the proposals with these keys; one that is no longer proposed is left out."""
    containers = {id_of(container) for _key, container, _instance in rows} - {None}
    instances = {id_of(instance) for _key, container, instance in rows if container is None}
    found = proposals_of([pk for pk in containers if pk], [pk for pk in instances if pk])
    known = {each.key: each for each in found}
    return [known[row[0]] for row in rows if row[0] in known]


def _ask(wanted: Wanted, question: str, *further: int) -> list[tuple[Any, ...]]:  # Any: values of columns
    """Ask something of `wanted`."""
    text, values = _keyed()
    kinds = [KINDS.index(each) for each in wanted.kinds]
    typed = wanted.text.lower().replace("!", "!!").replace("%", "!%").replace("_", "!_")
    dismissals, dismissal_values = compiled(Dismissal.objects.order_by().values_list("proposal"))
    narrowed = _WANTED.format(dismissals=dismissals, kinds=", ".join(["%s"] * len(kinds)))
    own = [*dismissal_values, wanted.is_left, *kinds, f"%{typed}%", f"%{typed}%"]
    return fetch([text, narrowed, question], [*values, *own, *further])


def _keyed() -> tuple[str, list[Any]]:  # Any: values of columns
    """Return the beginning of a statement that has all proposals in `keyed`, and its values."""
    readings = (
        newest(None)
        .order_by()
        .values_list(
            "pk",
            "container",
            "container__name",
            "started",
            "finished",
            "build",
            "found",
            "further",
            former_build(),
        )
    )
    entered = (
        installed(None)
        .order_by()
        .annotate(
            sight=open_sight(),
            is_ours=is_true(NOT_HOSTED.of("instance").condition()),
            in_use=is_true(all_met(NONE_RETIRED)),
        )
    )
    placed = entered.values_list(
        *("container", "container__name", "instance", "instance__name", "is_ours", "in_use"),
        *("observed_build", "observed_jwt", "observed", "created"),
        *("sight__pk", "sight__organization_id", "sight__last_seen"),
    )
    instances = Instance.objects.order_by().values_list("pk", "name")
    parts = {
        name: compiled(rows)
        for name, rows in (("readings", readings), ("placed", placed), ("instances", instances))
    }
    ranks = {f"rank_{each.name.lower()}": str(rank) for rank, each in enumerate(KINDS)}
    text = _PROPOSED.format(
        **{name: text for name, (text, _values) in parts.items()}, **ranks, **_DIALECT[connection.vendor]
    )
    own = [MOST_FILES, NO_FILE, MIN_BUILD, EMPTY_ORGANIZATION]
    return text, [*(value for _text, values in parts.values() for value in values), *own]


_DIALECT: Mapping[str, Mapping[str, str]] = {
    "sqlite": {
        "files": "JSON_EACH(reading.found)",
        "by_bytes": "",
        "is_name": f"REGEXP '^{INSTANCE.pattern}\\Z'",
        "builds": "GROUP_CONCAT(build, ' ')",
        "where": " || '-' || ".join(
            f"SUBSTR(container, {begin}, {length})"
            for begin, length in ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))
        ),
        "digest": "SHA256(text)",
    },
    "postgresql": {
        "files": "JSONB_EACH_TEXT(reading.found)",
        "by_bytes": 'COLLATE "C"',
        "is_name": f"~ '^{INSTANCE.pattern}\\Z'",
        "builds": "STRING_AGG(CAST(build AS text), ' ' ORDER BY build)",
        "where": "CAST(container AS text)",
        "digest": "ENCODE(SHA256(CONVERT_TO(text, 'UTF8')), 'hex')",
    },
}
"""What the two engines say differently. PostgreSQL's own SHA-256 needs no extension, as Django's does."""

_PROPOSED = """
WITH reading (
    pk, container, container_name, started, finished, build, found, further, former
) AS ({readings}),
placed (
    container, container_name, instance, name, is_ours, in_use, build, jwt, observed, created, sight,
    organization, seen
) AS ({placed}),
entered (pk, name) AS ({instances}),
files AS (
    SELECT reading.container, reading.container_name, file.key AS name, file.value AS word,
        ROW_NUMBER() OVER (PARTITION BY reading.pk ORDER BY file.key {by_bytes}) AS number
    FROM reading, {files} AS file
),
used AS (SELECT DISTINCT container FROM placed WHERE in_use),
later AS (  -- a push saw another build after the reading
    SELECT placed.container, placed.build, ROW_NUMBER() OVER (
        PARTITION BY placed.container ORDER BY placed.observed DESC, placed.build DESC
    ) AS number
    FROM placed JOIN reading ON reading.container = placed.container
    WHERE in_use AND placed.build > 0 AND placed.observed > reading.finished
        AND (reading.build IS NULL OR placed.build <> reading.build)
),
runs AS (
    SELECT reading.container, reading.container_name, COALESCE(later.build, reading.build) AS build
    FROM reading JOIN used ON used.container = reading.container
    LEFT JOIN later ON later.container = reading.container AND later.number = 1
),
mixed AS (
    SELECT instance, name, {builds} AS builds FROM (
        SELECT DISTINCT instance, name, build FROM placed WHERE in_use AND build > 0 ORDER BY instance, build
    ) AS seen
    GROUP BY instance, name HAVING COUNT(*) > 1
),
proposed (kind, code, container, container_name, instance, name, seen) AS (
    SELECT CASE WHEN entered.pk IS NULL THEN {rank_create} ELSE {rank_add} END, 'create_instance',
        files.container, files.container_name, entered.pk, files.name, ''
    FROM files LEFT JOIN entered ON entered.name = files.name
    LEFT JOIN placed ON placed.container = files.container AND placed.name = files.name
    WHERE number <= %s AND placed.name IS NULL AND word <> %s AND LOWER(files.name) <> 'default'
        AND files.name {is_name}
    UNION ALL
    SELECT {rank_gone}, 'gone', placed.container, placed.container_name, placed.instance, placed.name,
        CASE WHEN sight IS NULL THEN 'never' ELSE 'after ' || CAST(sight AS text) END
    FROM placed JOIN reading ON reading.container = placed.container
    LEFT JOIN files ON files.container = placed.container AND files.name = placed.name
    WHERE in_use AND further = 0 AND files.name IS NULL AND (
        COALESCE(started, finished) IS NULL
        OR created <= COALESCE(started, finished) AND COALESCE(seen, created) <= COALESCE(started, finished)
    )
    UNION ALL
    SELECT {rank_old}, 'build_old', container, container_name, NULL, '', CAST(build AS text)
    FROM runs WHERE build > 0 AND build < %s
    UNION ALL
    SELECT {rank_build}, 'build_changed', container, container_name, NULL, '',
        CAST(former AS text) || ' ' || CAST(build AS text)
    FROM reading WHERE former > 0 AND build > 0 AND former <> build
    UNION ALL
    SELECT {rank_organization}, 'organization_empty', container, container_name, instance, name, ''
    FROM placed WHERE in_use AND is_ours AND organization = %s
    UNION ALL
    SELECT {rank_jwt}, 'jwt_present', container, container_name, instance, name, ''
    FROM placed WHERE in_use AND is_ours AND jwt
    UNION ALL
    SELECT {rank_mixed}, 'builds_mixed', NULL, NULL, instance, name, builds FROM mixed
),
told AS (
    SELECT *, code || '\n' || COALESCE({where}, '') || '\n' || name || '\n' || seen AS text FROM proposed
),
keyed AS (SELECT *, SUBSTR({digest}, 1, 16) AS key FROM told)
"""
"""Everything that is proposed, with the key that `Proposal.key` has; the rules are those of `proposals`."""

_WANTED = """
, dismissed (proposal) AS ({dismissals}),
wanted AS (
    SELECT keyed.* FROM keyed LEFT JOIN dismissed ON dismissed.proposal = keyed.key
    WHERE (dismissed.proposal IS NOT NULL) = %s AND kind IN ({kinds})
        AND (LOWER(name) LIKE %s ESCAPE '!' OR LOWER(COALESCE(container_name, '')) LIKE %s ESCAPE '!')
)
"""
