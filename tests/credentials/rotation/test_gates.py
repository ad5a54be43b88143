"""The gates say in SQL what a person would say who looks at one installation after the other."""

import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from random import Random

import pytest
from django.db import connection, transaction
from django.db.models import Max
from django.utils import timezone
from pytest_django.fixtures import Settings

from credentials.coverage.holding import with_holding
from credentials.models import ClientSecret, DesiredVersion, TechnicalAccount
from credentials.rollouts.hand_reports import HandReport, ReportedVersion
from credentials.rollouts.models import Attempt, ProvenDigest, ProvenWrite, Push
from credentials.rollouts.settlement import SENT
from credentials.rotation import gates
from credentials.rotation.gates import Missing
from instances.discovery.models import Observation
from instances.models import Container, Installation
from tests.benchmarks.filling import fill
from tests.benchmarks.scale import Scale
from tests.benchmarks.work import counted

pytestmark = [pytest.mark.django_db, pytest.mark.database, pytest.mark.usefixtures("roles")]

ALL_TIME = timedelta(days=4000)
SCALE = Scale(installations=60, attempts=300, events=20)


def by_hand(
    version: ClientSecret, row: Installation, successor: ClientSecret | None, since: datetime | None
) -> Missing | None:
    """Look at one installation, which has what `with_holding` annotates; the worst first."""
    held = row.held_version  # type: ignore[attr-defined]  # annotated, as the next
    if missing := _known_in_the_way(version, row, (held, row.proven_version)):  # type: ignore[attr-defined]
        return missing
    if row.container.is_by_hand:
        report = HandReport.objects.filter(installation=row).order_by("pk").last()
        is_late = bool(since and report and report.at > since)
        return Missing.BY_HAND if is_late and successor and held == successor.pk else Missing.NOT_REPORTED
    if missing := _not_seen(version, row):
        return missing
    assignment = getattr(row.instance, "assignment", None)
    is_own = assignment is not None and assignment.account_id == version.account_id
    return Missing.NOT_NEW if successor and is_own and held != successor.pk else None


def _known_in_the_way(version: ClientSecret, row: Installation, held: tuple[object, ...]) -> Missing | None:
    pushes = Push.objects.open().filter(installation=row)
    if pushes.filter(rollout__secret=version).exists():
        return Missing.OPEN_PUSH
    if version.pk in held:
        return Missing.HOLDS
    if DesiredVersion.objects.filter(installation=row, version=version).exists():
        return Missing.DESIRES
    return Missing.UNDER_WAY if pushes.exists() else None


def _not_seen(version: ClientSecret, row: Installation) -> Missing | None:
    if row.observed is None:
        return Missing.NEVER_SEEN
    if version.client_id in row.observed_client_id and not _is_of_another(row.observed_digest, version):
        return Missing.NOT_PROVEN
    if not _is_read(row, ALL_TIME):
        return Missing.NOT_READ if row.container.is_enabled else Missing.OFF
    return None


def _is_of_another(digest: str, version: ClientSecret) -> bool:
    """Whether a secret that can be used, and is not this one, was proven to look like that."""
    known = [each.secret for each in ProvenDigest.objects.filter(digest=digest).select_related("secret")]
    return bool(digest) and version not in known and any(each.is_usable for each in known)


def _is_read(row: Installation, age: timedelta) -> bool:
    """Whether the portal itself saw the file in this time, and after its last write."""
    seen = Observation.objects.filter(installation=row, ended=None).first()
    if seen is None or seen.last_source == Observation.Source.HAND:
        return False
    sent = Attempt.objects.filter(push__installation=row, stage__in=SENT, kind=Attempt.Kind.PUSH)
    last = sent.aggregate(last=Max("finished"))["last"]
    now = timezone.now()
    is_lately = now - age <= seen.last_seen <= now + gates.CLOCKS
    return is_lately and (last is None or last < seen.last_seen)


def shake(chance: Random, versions: list[ClientSecret]) -> None:
    """Let anything be true of any installation."""
    for row in Installation.objects.select_related("container"):
        version = chance.choice(versions)
        for share, change in CHANGES:
            if chance.random() < share:
                change(chance, row, version)


def _switch_off(_chance: Random, row: Installation, _version: ClientSecret) -> None:
    Container.objects.filter(pk=row.container_id).update(is_enabled=False)


def _desire(_chance: Random, row: Installation, version: ClientSecret) -> None:
    DesiredVersion.objects.filter(installation=row).update(version=version)


def _prove(_chance: Random, row: Installation, version: ClientSecret) -> None:
    ProvenWrite.objects.filter(installation=row).update(secret=version)


def _forget(_chance: Random, row: Installation, _version: ClientSecret) -> None:
    Installation.objects.filter(pk=row.pk).update(observed=None)


def _open_a_push(_chance: Random, row: Installation, version: ClientSecret) -> None:
    pushes = Push.objects.filter(installation=row)
    if not pushes.open().exists() and (push := pushes.filter(rollout__secret=version).first()):
        pushes.filter(pk=push.pk).update(state=Push.State.QUEUED, code="", finished=None)


def _change_the_sight(chance: Random, row: Installation, version: ClientSecret) -> None:
    """Let another file have been seen, at a moment before or after a write, or to come."""
    digests = ["", *version.proven_digests.values_list("digest", flat=True)[:2]]
    named = chance.choice([version.client_id, f"x,{version.client_id}", version.client_id.upper(), ""])
    Installation.objects.filter(pk=row.pk).update(
        observed_client_id=named, observed_digest=chance.choice(digests)
    )
    moments = [timezone.now(), timezone.now() + timedelta(days=1), timezone.now() - 2 * ALL_TIME]
    written = Attempt.objects.filter(push__installation=row, finished__isnull=False).order_by("-finished")
    if last := written.first():
        moments += [last.finished, last.finished - timedelta(seconds=1), last.finished + timedelta(seconds=1)]  # type: ignore[operator, list-item]
    sights = Observation.objects.filter(installation=row, ended=None)
    sights.update(last_seen=chance.choice(moments))


def _report(chance: Random, row: Installation, version: ClientSecret) -> None:
    """Let a person have reported what they set."""
    Container.objects.filter(pk=row.container_id).update(is_by_hand=True)
    sight = Observation.objects.filter(installation=row, ended=None).first()
    if sight is None:
        return
    digest = Installation.objects.get(pk=row.pk).observed_digest
    at = timezone.now() - timedelta(days=chance.choice([0, 1, 5]))
    told = {"nonce": uuid.uuid4().hex, "host": "far", "by": "alice", "measured": at, "at": at}
    report = HandReport.objects.create(
        installation=row, version=version, digest=digest, observation=sight, **told
    )
    ReportedVersion.objects.update_or_create(
        installation=row,
        defaults={"report": report, "secret": version, "digest": digest, "observation": sight},
    )
    Observation.objects.filter(pk=sight.pk).update(last_source=Observation.Source.HAND)


CHANGES: Sequence[tuple[float, Callable[[Random, Installation, ClientSecret], None]]] = (
    (0.05, _switch_off),
    (0.2, _desire),
    (0.2, _prove),
    (0.4, _change_the_sight),
    (0.2, _report),
    (0.05, _open_a_push),
    (0.05, _forget),
)
"""How often each of them is so."""


def test_what_is_in_the_way_is_what_a_look_at_each_installation_finds(settings: Settings) -> None:
    settings.ROTATION_READ_WITHIN = ALL_TIME.total_seconds()
    chance = Random(1)
    fill(SCALE, chance)
    goal = _goal()
    other = goal.account.secrets.usable().exclude(pk=goal.pk)[0]
    since = timezone.now() - timedelta(days=2)
    kinds: Counter[Missing] = Counter()
    for old, new in ((goal, other), (other, goal)) * 6:
        with transaction.atomic():
            shake(chance, [old, new, *ClientSecret.objects.order_by("pk")[:2]])
            for successor in (None, new):
                _compare(old, successor, since, kinds)
            transaction.set_rollback(True)  # the next begins anew: changes would pile up
    assert set(kinds) == set(Missing)


def _compare(
    old: ClientSecret, successor: ClientSecret | None, since: datetime, kinds: Counter[Missing]
) -> None:
    rows = with_holding(gates.concerned(old)).select_related("container", "instance__assignment")
    found = {row.pk: by_hand(old, row, successor, since) for row in rows}
    expected = {pk: missing for pk, missing in found.items() if missing}
    ways = gates.in_the_way(old, successor=successor, since=since)
    assert {each.installation: each.missing for each in ways.first()} == expected
    assert ways.kinds == set(expected.values())
    assert len(ways) == len(expected)
    unreported = [each for each in ways.first() if each.is_unreported]
    assert (ways.unreported.first(), len(ways.unreported)) == (unreported, len(unreported))
    kinds.update(expected.values())


def test_containers_are_read_again_where_the_file_was_not_seen_since_it_was_written() -> None:
    chance = Random(5)
    fill(SCALE, chance)
    version = ClientSecret.objects.usable().earliest("account__name", "version")
    shake(chance, [version])
    rows = gates.concerned(version).filter(container__is_enabled=True, container__is_by_hand=False)
    for age in (timedelta(hours=1), ALL_TIME):
        unread = {row.container_id for row in rows if not _is_read(row, age)}
        assert set(gates.not_read_since(version, age)) == unread
        assert unread


def _goal() -> ClientSecret:
    """A version that installations hold and desire."""
    account = TechnicalAccount.objects.exclude(goal=None).select_related("goal").earliest("name")
    assert account.goal
    return account.goal


def test_nothing_is_fetched_to_be_counted() -> None:
    fill(SCALE, Random(1))
    version = _goal()
    with counted(connection) as work:
        ways = gates.in_the_way(version)
        named = ways.first(3)
    assert len(ways) > len(named) == 3
    assert work.statements == 2
    assert work.rows == len(ways.counts) + 3 < len(ways)


def test_what_a_person_passed_is_left_out_for_what_was_missing_there_alone() -> None:
    fill(SCALE, Random(1))
    version = _goal()
    ways = gates.in_the_way(version)
    first, second, *_others = [each for each in ways.first() if each.missing not in gates.BUSY]
    other = next(kind for kind in Missing if kind not in (second.missing, *gates.BUSY))
    passed = [first.passable, f"{second.installation}:{other}"]
    left = gates.in_the_way(version, passed=passed)
    everywhere = {each.installation for each in ways.first()}
    assert {each.installation for each in left.first()} == everywhere - {first.installation}
    assert len(left) == len(ways) - 1
    busy = [f"{each.installation}:{kind}" for each in ways.first() for kind in gates.BUSY]
    assert gates.in_the_way(version, passed=busy).counts == ways.counts
