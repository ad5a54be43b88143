"""The map as of a moment, counted by the database.

`credentials.coverage.past` judges one installation after the other, for the page that is shown; this asks the
same of all of them at once, so that none is fetched to be counted. The ORM finds the rows that matter, but it
cannot join them and take the first of each sort, hence the text. The tests hold both together.
"""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery

from credentials.coverage.cells import Version, Wanted, versions
from credentials.coverage.holding import ACCOUNT
from credentials.coverage.past import (
    AS_IF,
    entered,
    failed_then,
    goals_then,
    last_of_each,
    open_then,
    twice_claimed,
)
from credentials.coverage.states import Fact, How, judge
from credentials.coverage.tallies import Tally
from credentials.models import DesiredVersionChange
from credentials.rollouts.models import (
    HOLDING,
    Attempt,
    ConfirmedVersion,
    HandReport,
    ProvenDigest,
    ProvenWrite,
)
from instances.discovery.models import EMPTY_ORGANIZATION, Observation
from instances.discovery.timeline import FIELDS, UUID_TEXT
from portal.sql_parts import Paged, compiled, fetch, id_of, is_true, stored_id


@dataclass(frozen=True, slots=True)
class PastTally:
    """How many installations were in the same state as of a moment, and how certain that is."""

    tally: Tally
    certainty: str


def tallies_as_of(wanted: Wanted, moment: datetime) -> list[PastTally]:
    """Return what is wanted of the map as of a moment, counted: a row for each sort of installation.

    Two statements. `InTheFuture` for a moment that has not come yet.
    """
    text, values = _judged(wanted, moment)
    sorts = "environment, account, account_name, held, how, facts, certainty"
    rows = fetch([text, f"SELECT {sorts}, COUNT(*) FROM judged GROUP BY {sorts}"], values)  # noqa: S608
    known = versions({held for row in rows if (held := id_of(row[3]))})
    found = (_tally(row, known) for row in rows)
    return [each for each in found if wanted.accepts(each.tally)]


def _tally(row: tuple[Any, ...], known: Mapping[uuid.UUID, Version]) -> PastTally:  # Any: values of columns
    environment, account, account_name, held, how, number, certainty, count = row
    facts = Fact(number)
    cover, need = judge(facts)
    pk = id_of(held)
    version = known[pk] if pk else None
    return PastTally(
        Tally(environment, id_of(account), account_name, version, how, cover, need, facts, count), certainty
    )


def instances_as_of(wanted: Wanted, moment: datetime, found: Iterable[PastTally]) -> Paged[uuid.UUID]:
    """Return the instances with a wanted installation, by name, for a paginator.

    `found` are the tallies of the same: what a state means in facts is taken from them.
    """
    text, values = _judged(wanted, moment)
    chosen, further = _chosen(wanted, [each.tally for each in found])

    def ask(question: str, *limits: int) -> list[tuple[Any, ...]]:  # Any: values of columns
        return fetch([text, chosen, question], [*values, *further, *limits])

    def part(begin: int, end: int) -> list[uuid.UUID]:
        columns = "SELECT instance FROM chosen GROUP BY instance, instance_name ORDER BY instance_name"
        rows = ask(columns + " LIMIT %s OFFSET %s", end - begin, begin)
        return [pk for row in rows if (pk := id_of(row[0]))]

    return Paged(lambda: int(ask("SELECT COUNT(DISTINCT instance) FROM chosen")[0][0]), part)


def _chosen(wanted: Wanted, found: Sequence[Tally]) -> tuple[str, list[Any]]:  # Any: values of columns
    """Return a part of a statement that has the wanted ones of `judged`, and its values."""
    conditions, values = ["1 = 1"], []
    if wanted.state:
        facts = sorted({each.facts.value for each in found})
        conditions.append(f"facts IN ({', '.join(['%s'] * len(facts)) or 'NULL'})")
        values += facts
    if wanted.version is not None:
        held = {(each.account_id, each.held.id) for each in found if each.account_id and each.held}
        pairs = ["account = %s AND held = %s"] * len(held)
        conditions.append(f"({' OR '.join(pairs) or '1 = 0'})")
        values += [stored_id(pk) for pair in held for pk in pair]
    return f", chosen AS (SELECT * FROM judged WHERE {' AND '.join(conditions)})", values  # noqa: S608


def _judged(wanted: Wanted, moment: datetime) -> tuple[str, list[Any]]:  # Any: values of columns
    """Return the beginning of a statement that has all installations in `judged`, and its values."""
    later = Observation.objects.filter(installation=OuterRef("installation"), pk__gt=OuterRef("pk"))
    sights = last_of_each(Observation.objects.all(), moment).annotate(
        is_empty=is_true(Q(organization_id__contains=EMPTY_ORGANIZATION)),
        is_current=is_true(Q(last_seen__gte=moment)),
        following=Subquery(later.order_by("pk").values("pk")[:1]),
    )
    failed = failed_then(moment).filter(pk=OuterRef("push"))
    changes = last_of_each(DesiredVersionChange.objects.all(), moment).annotate(has_failed=Exists(failed))
    proven = ProvenDigest.objects.exclude(digest="").order_by()
    attempts = Attempt.objects.filter(proof__in=HOLDING, finished__lte=moment).order_by()
    writes = ProvenWrite.objects.filter(observation__at__lte=moment).order_by()
    confirmed = ConfirmedVersion.objects.filter(at__lte=moment).order_by()
    told = HandReport.objects.filter(at__lte=moment).exclude(version=None).order_by()
    place = ("pk", "instance", "instance__name", "instance__environment", ACCOUNT, f"{ACCOUNT}__name")
    source = ("source", "source_id", "last_source", "last_source_id", "is_empty", "is_current", "following")
    proof = ("digest", "secret__client_id", "secret", "attempt__push__installation", "secret__version", "pk")
    write = ("pk", "push__installation", "push__rollout__secret", "after_digest", "number")
    rows: list[tuple[str, QuerySet[Any, Any]]] = [  # in their order in the text
        ("places", entered(wanted, moment).order_by().values_list(*place)),
        ("sights", sights.values_list("pk", "installation", *source, *FIELDS)),
        ("others", Observation.objects.order_by().values_list("pk", *FIELDS)),
        ("doubtful", twice_claimed(moment)),
        ("proofs", proven.values_list(*proof)),
        ("attempts", attempts.values_list(*write)),
        ("writes", writes.values_list("pk", "secret", "digest")),
        ("confirmed", confirmed.values_list("pk", "secret", "digest")),
        ("told", told.values_list("observation", "version", "pk")),
        ("changes", changes.values_list("installation", "version", "at", "has_failed")),
        ("goals", goals_then(moment).values_list("account", "version", "at")),
        ("opened", open_then(moment).values_list("installation").distinct()),
    ]
    parts = [(name, *compiled(each)) for name, each in rows]
    facts = {f"fact_{fact.name.lower()}": str(fact.value) for fact in Fact if fact.name}
    hows = {f"how_{how.name.lower()}": f"'{how.value}'" for how in How}
    text = _JUDGED.format(
        **{name: text for name, text, _values in parts},
        **facts,
        **hows,
        as_if=AS_IF.value,
        fields=", ".join(FIELDS),
        differs=" OR ".join(f"sight.{name} <> other.{name}" for name in FIELDS),
        attempt=_ATTEMPT[connection.vendor],
    )
    return text, [value for _name, _text, values in parts for value in values]


_ATTEMPT: Mapping[str, str] = {
    "sqlite": "REPLACE(name, '-', '')",
    "postgresql": f"CASE WHEN name ~ '^{UUID_TEXT.pattern}$' THEN CAST(name AS uuid) END",
}
"""The id of an attempt from the text that a sight keeps, which may be none."""

_JUDGED = """
WITH place (pk, instance, instance_name, environment, account, account_name) AS ({places}),
sight (
    number, installation, source, source_id, last_source, last_source_id, is_empty, is_current, following,
    {fields}
) AS ({sights}),
other (number, {fields}) AS ({others}),
doubtful (installation) AS ({doubtful}),
digest_of (digest, client_id, version, installation, version_number, number) AS ({proofs}),
proof AS (  -- the first version that it was proven for
    SELECT *, ROW_NUMBER() OVER (PARTITION BY digest, client_id ORDER BY version_number, number) AS turn
    FROM digest_of
),
proving (pk, installation, version, digest, number) AS ({attempts}),
attempt_of (name) AS (
    SELECT source_id FROM sight WHERE source = 'push'
    UNION SELECT last_source_id FROM sight WHERE last_source = 'push'
),
proven_write (installation, version, digest) AS ({writes}),
writes AS (
    SELECT proving.installation, version, digest, 0 AS place, number
    FROM attempt_of JOIN proving ON proving.pk = {attempt}
    UNION ALL SELECT installation, version, digest, 1, 0 FROM proven_write
),
written AS (  -- the attempts of the sight before the last proven write
    SELECT *, ROW_NUMBER() OVER (PARTITION BY installation ORDER BY place, number DESC) AS turn FROM writes
),
confirmed (installation, version, digest) AS ({confirmed}),
report (sight, version, number) AS ({told}),
told AS (SELECT *, ROW_NUMBER() OVER (PARTITION BY sight ORDER BY number DESC) AS turn FROM report),
desired (installation, version, at, has_failed) AS ({changes}),
goal (account, version, at) AS ({goals}),
opened (installation) AS ({opened}),
known AS (
    SELECT place.*, sight.number AS sight, sight.source, sight.last_source, sight.is_empty,
        proof.version AS proven,
        CASE WHEN proof.installation = place.pk
            OR written.version = proof.version AND written.digest = sight.digest THEN 1 ELSE 0 END AS is_own,
        CASE WHEN confirmed.digest <> '' AND confirmed.digest = sight.digest
            AND (proof.version IS NULL OR proof.version = confirmed.version) THEN confirmed.version
        END AS confirmed,
        told.version AS told,
        CASE WHEN sight.number IS NULL THEN 'not_known'
            WHEN doubtful.installation IS NOT NULL THEN 'between'
            WHEN sight.is_current THEN 'known'
            WHEN other.number IS NULL THEN 'since'
            WHEN {differs} THEN 'between' ELSE 'likely' END AS certainty,
        desired.version AS desired, goal.version AS goal,
        CASE WHEN opened.installation IS NULL THEN 0 ELSE {fact_open} END
        + CASE WHEN desired.has_failed THEN {fact_failed} ELSE 0 END
        + CASE WHEN goal.at IS NULL OR desired.at > goal.at THEN {fact_decided} ELSE 0 END AS further
    FROM place
    LEFT JOIN sight ON sight.installation = place.pk
    LEFT JOIN other ON other.number = sight.following
    LEFT JOIN doubtful ON doubtful.installation = place.pk
    LEFT JOIN proof ON proof.digest = sight.digest AND proof.client_id = sight.client_id AND proof.turn = 1
    LEFT JOIN written ON written.installation = place.pk AND written.turn = 1
    LEFT JOIN confirmed ON confirmed.installation = place.pk
    LEFT JOIN told ON told.sight = sight.number AND told.turn = 1
    LEFT JOIN desired ON desired.installation = place.pk
    LEFT JOIN goal ON goal.account = place.account
    LEFT JOIN opened ON opened.installation = place.pk
),
held AS (
    SELECT *, CASE WHEN sight IS NULL OR is_empty THEN NULL ELSE COALESCE(proven, confirmed, told) END AS held
    FROM known
),
judged AS (
    SELECT instance, instance_name, environment, account, account_name, held, certainty,
        CASE WHEN held IS NULL THEN {how_not_known}
            WHEN last_source = 'hand' OR source = 'hand' AND is_own = 0 THEN {how_reported}
            WHEN is_own = 1 THEN {how_proven}
            WHEN confirmed IS NOT NULL THEN {how_confirmed}
            WHEN proven IS NOT NULL THEN {how_seen}
            ELSE {how_reported} END AS how,
        {as_if} + further
        + CASE WHEN held IS NULL THEN 0 ELSE {fact_holds} END
        + CASE WHEN held = goal THEN {fact_holds_goal} ELSE 0 END
        + CASE WHEN held = desired THEN {fact_holds_desired} ELSE 0 END
        + CASE WHEN desired IS NULL THEN 0 ELSE {fact_desires} END
        + CASE WHEN desired = goal THEN {fact_desires_goal} ELSE 0 END AS facts
    FROM held
)
"""
"""What is known of each installation as of a moment; the rules are those of `past`."""
