"""What an evidence pack is about: which entries of the history belong to it, and which pushes and sights."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Exists, Max, Min, OuterRef, Q, QuerySet
from django.utils import timezone

from credentials.models import TechnicalAccount
from credentials.rollouts.models import Attempt, Push, Rollout
from credentials.rotation.models import Rotation
from instances.discovery.models import Observation
from portal.audit.chain.sealed_breaks import in_force, sealed_breaks
from portal.audit.models import AuditEvent

MADE = "evidence.made"
"""The action that records the making of a pack."""
ACCOUNT, ROTATION = TechnicalAccount.audit_name, Rotation.audit_name
AT_ONCE = 500  # ids in one statement


@dataclass(frozen=True)
class End:
    """The entry that records the making of a pack: nothing later belongs to it."""

    seq: int
    at: datetime


class NothingToPack(Exception):
    """No entry of the history belongs to it."""


@dataclass(frozen=True)
class Scope:
    """The extent of a pack, by numbers of the history and by time."""

    kind: str
    """`account`, `rotation` or `period`."""
    title: str
    facts: dict[str, object]
    first: int
    last: int
    since: datetime
    until: datetime
    belongs: Callable[[Sequence[AuditEvent]], set[int]]
    """Returns the numbers of those entries, of some, that are shown in full."""
    pushes: QuerySet[Push]
    observations: QuerySet[Observation]


def of_account(account: TechnicalAccount, *, end: End) -> Scope:
    """Return all that is about an account: itself, its rotations, its rollouts and their pushes."""
    about = AuditEvent.objects.filter(target_type=ACCOUNT, target_id=str(account.pk))
    first = about.exclude(action=MADE).order_by("seq").first()
    if first is None:
        raise NothingToPack
    pushes = Push.objects.filter(rollout__secret__account=account)
    return Scope(
        kind="account",
        title=account.name,
        facts={"account": account.name, "account_id": str(account.pk), "client_id": account.client_id},
        first=first.seq,
        last=end.seq,
        since=first.at,
        until=end.at,
        belongs=_OfAccount(account),
        pushes=pushes,
        observations=_seen_there(pushes, first.at, end.at),
    )


class _OfAccount:
    """Tells the entries about one account from others: a few statements for each batch."""

    def __init__(self, account: TechnicalAccount) -> None:
        self._account = account
        self._fingerprints = set(account.secrets.values_list("fingerprint", flat=True))

    def __call__(self, events: Sequence[AuditEvent]) -> set[int]:
        mine = {
            ACCOUNT: {str(self._account.pk)},
            ROTATION: _found(Rotation.objects.filter(account=self._account), events, ROTATION),
            "rollout": _found(Rollout.objects.filter(secret__account=self._account), events, "rollout"),
            "push": _found(Push.objects.filter(rollout__secret__account=self._account), events, "push"),
        }
        return {
            event.seq
            for event in events
            if event.target_id in mine.get(event.target_type, ()) or self._is_about_version(event)
        }

    def _is_about_version(self, event: AuditEvent) -> bool:
        """Whether it says of an installation that it holds a version of this account."""
        return event.target_type == "installation" and event.details.get("fingerprint") in self._fingerprints


def of_rotation(rotation: Rotation) -> Scope:
    """Return all that is about a rotation, and about its account while it went on."""
    pushes = Push.objects.filter(rollout__wave__rotation=rotation)
    numbers = sorted(_numbers_of(rotation, pushes))
    if not numbers:
        raise NothingToPack
    first, last = numbers[0], numbers[-1]
    since, until = AuditEvent.objects.get(seq=first).at, AuditEvent.objects.get(seq=last).at

    def belongs(events: Sequence[AuditEvent]) -> set[int]:
        mine = {
            ROTATION: {str(rotation.pk)},
            ACCOUNT: {str(rotation.account_id)},
            "rollout": _found(Rollout.objects.filter(wave__rotation=rotation), events, "rollout"),
            "push": _found(pushes, events, "push"),
        }
        return {
            event.seq
            for event in events
            if first <= event.seq <= last and event.target_id in mine.get(event.target_type, ())
        }

    return Scope(
        kind="rotation",
        title=f"Rotation {rotation.number} of {rotation.account}",
        facts={
            "rotation": rotation.number,
            "rotation_id": str(rotation.pk),
            "account": rotation.account.name,
            "account_id": str(rotation.account_id),
            "old": rotation.old.fingerprint,
            "new": rotation.new.fingerprint if rotation.new else None,
            "state": rotation.state,
            "is_over": rotation.ended is not None,
            "started_by": rotation.requested_by_name,
        },
        first=first,
        last=last,
        since=since,
        until=until,
        belongs=belongs,
        pushes=pushes,
        observations=_seen_there(pushes, since, until),
    )


def _numbers_of(rotation: Rotation, pushes: QuerySet[Push]) -> Iterator[int]:
    """Yield the first and the last entry about a rotation, and about its rollouts and pushes."""
    yield from _ends(ROTATION, [str(rotation.pk)])
    waves = Rollout.objects.filter(wave__rotation=rotation).values_list("pk", flat=True)
    yield from _ends("rollout", [str(pk) for pk in waves])
    some: list[str] = []
    for pk in pushes.order_by().values_list("pk", flat=True).iterator():
        some.append(str(pk))
        if len(some) == AT_ONCE:
            yield from _ends("push", some)
            some = []
    yield from _ends("push", some)


def _ends(kind: str, ids: Sequence[str]) -> Iterator[int]:
    rows = AuditEvent.objects.filter(target_type=kind, target_id__in=ids).exclude(action=MADE).order_by()
    ends = rows.aggregate(first=Min("seq"), last=Max("seq"))
    yield from (seq for seq in ends.values() if seq)


def of_period(since: datetime, until: datetime, *, end: End) -> Scope:
    """Return every entry of a period, with the one before and the one after it.

    These two show that no entry of the period is missing at its ends.
    """
    until = min(until, end.at)
    within = AuditEvent.objects.filter(at__gte=since, at__lte=until, seq__lt=end.seq).order_by()
    ends = within.aggregate(first=Min("seq"), last=Max("seq"))
    if ends["first"] is None:
        raise NothingToPack
    first, last = max(ends["first"] - 1, 1), ends["last"] + 1  # the newest one is the record of this pack
    # An entry of a sealed break can show nothing: the next one outside of it does.
    for each in in_force(sealed_breaks()):
        if each.first <= first <= each.last:
            first = max(each.first - 1, 1)
        if each.first <= last <= each.last:
            last = each.last + 1
    in_time = Q(requested__gte=since, requested__lte=until) | Q(finished__gte=since, finished__lte=until)
    tried = Attempt.objects.filter(push=OuterRef("pk"), started__gte=since, started__lte=until)
    zone = timezone.get_current_timezone()
    days = [each.astimezone(zone).date().isoformat() for each in (since, until)]
    return Scope(
        kind="period",
        title=f"{days[0]} to {days[1]}",
        facts={"from": since.isoformat(), "until": until.isoformat()},
        first=first,
        last=last,
        since=since,
        until=until,
        belongs=lambda events: {event.seq for event in events if first <= event.seq <= last},
        pushes=Push.objects.filter(in_time | Exists(tried)),
        observations=Observation.objects.filter(at__lte=until, last_seen__gte=since),
    )


def _found(
    rows: QuerySet[Push] | QuerySet[Rollout] | QuerySet[Rotation], events: Sequence[AuditEvent], kind: str
) -> set[str]:
    """Return the ids of those rows that any of these entries is about."""
    ids = {pk for event in events if event.target_type == kind and (pk := _uuid(event.target_id))}
    if not ids:
        return set()
    return {str(pk) for pk in rows.filter(pk__in=ids).order_by().values_list("pk", flat=True)}


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _seen_there(pushes: QuerySet[Push], since: datetime, until: datetime) -> QuerySet[Observation]:
    """Return what was seen, in this time, of the installations of these pushes."""
    there = pushes.order_by().values("installation")
    return Observation.objects.filter(installation__in=there, at__lte=until, last_seen__gte=since)
