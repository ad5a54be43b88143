"""The map as of a moment, counted, says the same as judged one by one, whatever happened until then."""

import uuid
from collections.abc import Iterable
from datetime import datetime, timedelta
from random import Random
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import Model
from django.utils import timezone

from credentials.coverage.cells import OTHERS, Wanted
from credentials.coverage.past_tallies import instances_as_of, tallies_as_of
from credentials.coverage.states import Cover, How, Need
from credentials.models import ClientSecret, DesiredVersionChange, GoalChange, TechnicalAccount
from credentials.rollouts.hand_reports import HandReport
from credentials.rollouts.models import HOLDING, Attempt, ConfirmedVersion, ProvenDigest, ProvenWrite, Push
from instances.discovery.as_of import InTheFuture
from instances.discovery.models import Observation
from instances.models import Installation
from portal.audit.append_only import without_triggers
from tests.benchmarks.filling import fill
from tests.benchmarks.scale import Scale
from tests.benchmarks.work import counted
from tests.credentials.coverage.both_ways import cells_as_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database, pytest.mark.usefixtures("roles")]

NOW = timezone.now().replace(microsecond=0)
MINUTES = 1_000
"""So long ago was the first of what happened."""


def some_time(chance: Random) -> datetime:
    return NOW - timedelta(minutes=chance.randrange(MINUTES))


def spread(chance: Random) -> None:
    """Spread everything that a seeded portal has over the time, in no order; fresh secrets are among it."""
    _move(Installation, Installation.objects.all(), chance, ("created",))
    for model in (DesiredVersionChange, GoalChange):
        _move(model, model.objects.all(), chance, ("at",))
    proofs = _proofs(chance)
    seen: dict[uuid.UUID, dict[str, object]] = {}
    with without_triggers(connection, Observation._meta.db_table):
        for row in Observation.objects.order_by("pk"):
            place, first = row.installation_id, some_time(chance)
            if place not in seen or chance.random() < 0.7:
                own = [each for each in proofs if each.attempt.push.installation_id == place]
                seen[place] = _sight(chance, chance.choice(chance.choice([proofs, own or proofs])))
            attempts = Attempt.objects.filter(push__installation=place).values_list("pk", flat=True)
            ids = [*map(str, attempts.order_by("pk")[:3]), "x"]
            Observation.objects.filter(pk=row.pk).update(
                **seen[place],
                at=first,
                last_seen=min(NOW, first + timedelta(minutes=chance.choice([0, 5, 300]))),
                source=chance.choice(Observation.Source.values),
                source_id=chance.choice(ids),
                last_source=chance.choice(["push", "read", "hand"]),
                last_source_id=chance.choice(ids),
            )


def _sight(chance: Random, proof: ProvenDigest) -> dict[str, object]:
    """What a file may show: mostly a secret that is known."""
    return {
        "client_id": chance.choice([*[proof.secret.client_id] * 4, "other"]),
        "account_id": "",
        "digest": chance.choice([*[proof.digest] * 4, "", "f" * 64]),
        "organization_id": chance.choice([*["A@AdobeOrg"] * 9, '""']),
        "is_jwt": False,
        "build": chance.choice([None, 9394, 9395]),
    }


def _proofs(chance: Random) -> list[ProvenDigest]:
    """Let digests be known, some of two versions: the same secret may have been entered twice."""
    attempts = list(Attempt.objects.select_related("push__rollout__secret__account").order_by("pk"))
    for number, attempt in enumerate(chance.sample(attempts, 80)):
        own = attempt.push.rollout.secret
        for secret in own.account.secrets.all() if number % 4 == 0 else [own]:
            ProvenDigest.objects.create(digest=f"{number:064}", secret=secret, attempt=attempt)
    return list(ProvenDigest.objects.select_related("secret", "attempt__push").order_by("pk"))


def _move(model: type[Model], rows: Iterable[Model], chance: Random, names: tuple[str, ...]) -> None:
    with without_triggers(connection, model._meta.db_table):
        for row in rows:
            model._default_manager.filter(pk=row.pk).update(**{name: some_time(chance) for name in names})


def tell(chance: Random) -> None:
    """Let people have confirmed and reported, pushes have been proven and retried, and goals have changed."""
    versions = list(ClientSecret.objects.all())
    for sight in Observation.objects.filter(ended=None):
        proof = ProvenDigest.objects.filter(digest=sight.digest).first()
        is_right = proof and chance.random() < 0.6
        _tell_of(chance, sight, proof.secret if proof and is_right else chance.choice(versions))
    for account in TechnicalAccount.objects.all():
        mine = chance.choice([None, *account.secrets.all()])
        GoalChange.objects.create(account=account, version=mine, at=some_time(chance))
    for push in Push.objects.all():
        asked = some_time(chance)
        Push.objects.filter(pk=push.pk).update(
            requested=asked,
            finished=chance.choice([None, asked + timedelta(minutes=20)]),
            retried=chance.choice([None, asked + timedelta(minutes=40)]),
        )
    _prove(chance)


def _tell_of(chance: Random, sight: Observation, version: ClientSecret) -> None:
    """Let people and pushes have said something of one of the sights of an installation."""
    # Any: values of columns
    here: dict[str, Any] = {"installation_id": sight.installation_id}
    said: dict[str, Any] = {"secret": version, "digest": sight.digest, "by": "alice", "reason": "asked"}
    if chance.random() < 0.6:
        ConfirmedVersion.objects.update_or_create(**here, defaults={**said, "at": some_time(chance)})
    reported: list[list[ClientSecret | None]] = [
        [],
        [version],
        [version, None, *version.account.secrets.all()],
    ]
    for told in chance.choice(reported):
        HandReport.objects.create(
            **here,
            version=told,
            observation=sight,
            nonce=uuid.uuid4().hex,
            measured=NOW,
            at=some_time(chance),
        )
    ProvenWrite.objects.filter(**here).update(
        secret=version, digest=sight.digest, observation=chance.choice([None, sight])
    )
    pushes = Push.objects.filter(**here).values_list("pk", flat=True)
    DesiredVersionChange.objects.create(
        **here,
        version=chance.choice([None, version]),
        at=some_time(chance),
        push=chance.choice([None, *pushes[:2]]),
    )


def _prove(chance: Random) -> None:
    """Let attempts have left the digests that were seen, and others."""
    with without_triggers(connection, Attempt._meta.db_table):
        for attempt in Attempt.objects.select_related("push__rollout"):
            sights = Observation.objects.filter(installation=attempt.push.installation_id)
            seen = sights.values_list("digest", flat=True)
            right = ProvenDigest.objects.filter(secret=attempt.push.rollout.secret_id, digest__in=seen)
            digests = [*right.values_list("digest", flat=True)] or ["", *seen]
            begun = some_time(chance)
            Attempt.objects.filter(pk=attempt.pk).update(
                started=begun,
                finished=begun + timedelta(minutes=1),
                proof=chance.choice([*HOLDING, ""]),
                after_digest=chance.choice(digests),
            )


@pytest.fixture
def chance() -> Random:
    chance = Random(7)
    fill(Scale(installations=40, attempts=160, events=10, sights=4), chance)
    with transaction.atomic():
        spread(chance)
        tell(chance)
    return chance


def test_numbers_agree_with_the_cells_at_any_moment(chance: Random) -> None:
    hows, certainties, covers = set(), set(), set()
    for _ in range(40):
        moment = some_time(chance) + timedelta(seconds=chance.choice([0, 1, 30]))
        for cell in cells_as_of(Wanted(), min(moment, timezone.now())):
            hows.add(cell.how)
            certainties.add(cell.certainty)
            covers.add(cell.cover)
    assert hows == set(How)
    assert certainties == {"known", "likely", "between", "since", "not_known"}
    assert covers >= {Cover.DONE, Cover.UNDER_WAY, Cover.NEEDS_YOU, Cover.KEPT}


def test_numbers_agree_whatever_is_wanted(chance: Random) -> None:
    moment = NOW - timedelta(minutes=MINUTES // 4)
    account = TechnicalAccount.objects.earliest("name")
    states = [Wanted(state=state) for state in (*Cover.values, *Need.values, OTHERS)]
    numbers = [Wanted(version=number) for number in (1, 2, 3, 4)]
    both = [Wanted(version=2, state=Cover.NEEDS_YOU), Wanted(account=account.pk), Wanted(text="1")]
    sizes = {len(cells_as_of(wanted, moment)) for wanted in (Wanted(), *states, *numbers, *both)}
    assert len(sizes) > 4


def test_nothing_is_fetched_to_be_counted(chance: Random) -> None:
    with counted(connection) as work:
        found = tallies_as_of(Wanted(), NOW)
        page = instances_as_of(Wanted(), NOW, found)[:3]
    assert len(page) == 3
    assert work.statements == 4
    assert work.rows <= len(found) + ClientSecret.objects.count() + 4


def test_a_moment_to_come_is_refused() -> None:
    with pytest.raises(InTheFuture):
        tallies_as_of(Wanted(), timezone.now() + timedelta(minutes=1))
