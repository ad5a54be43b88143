"""Which installations of a rotation were pushed, which come next, and which went wrong.

Large fleets are asked about every few seconds, so ids and states are read here, and hardly any whole row.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import (
    BooleanField,
    Case,
    Count,
    Exists,
    F,
    Min,
    OuterRef,
    Q,
    QuerySet,
    Value,
    When,
)
from django.utils import timezone

from credentials.coverage.holding import with_holding
from credentials.models import ClientSecret, TechnicalAccount
from credentials.rollouts.models import ConfirmedVersion, ProvenDigest, ProvenWrite, Push
from credentials.rotation.models import Rotation, Wave
from credentials.rotation.plans import BY_ENVIRONMENT, Share, WaveRule
from instances.models import NOT_BY_HAND, NOT_HOSTED, HostKey, Installation, Instance

PATIENCE = timedelta(minutes=5)
"""How long an unknown push may still turn out well before it counts as a failure."""
State = Push.State
FORWARD = (Wave.Kind.CANARY, Wave.Kind.WAVE)
UNDER_WAY = (State.QUEUED, State.RUNNING)
ENVIRONMENTS = tuple(Instance.Environment.values)
CAUTIOUSLY = (
    Case(*(When(instance__environment=name, then=Value(rank)) for rank, name in enumerate(ENVIRONMENTS))),
    "instance__name",
    "container__name",
)
"""The order of installations in which a mistake costs least at first."""


def installations(account: TechnicalAccount) -> QuerySet[Installation]:
    """Return the installations of an account, as of now: neither retired nor hosted by Adobe."""
    own = Installation.objects.not_retired().filter(instance__assignment__account=account)
    return own.filter(NOT_HOSTED.of("instance").condition())


def by_hand(account: TechnicalAccount) -> QuerySet[Installation]:
    """Return those of an account's installations that the portal cannot reach."""
    return installations(account).exclude(NOT_BY_HAND.of("container").condition())


def is_all_by_hand(account: TechnicalAccount) -> bool:
    """Whether an account is used somewhere, and nowhere that the portal reaches."""
    mine = installations(account)
    return mine.exists() and not mine.exclude(pk__in=by_hand(account).values("pk")).exists()


def pushable(account: TechnicalAccount) -> QuerySet[Installation]:
    """Return those that can be pushed to now."""
    return Installation.objects.pushable().filter(instance__assignment__account=account)


@dataclass(frozen=True)
class Pushed:
    """The last push of a rotation to one installation."""

    state: str
    is_replaced: bool
    """Whether another push went there since."""
    unknown_since: datetime
    rollout: int
    position: int
    is_released: bool

    @property
    def is_open(self) -> bool:
        """Whether it may still turn out well by itself; an unknown one only for a while."""
        if self.state == State.UNKNOWN:
            return timezone.now() - self.unknown_since < PATIENCE
        return self.state in UNDER_WAY

    @property
    def is_to_go_on(self) -> bool:
        """Whether the rotation itself cancelled it, or a person let it go on."""
        return self.state == State.CANCELLED and self.is_released


def last_pushes(rotation: Rotation, kinds: Collection[str] = FORWARD) -> QuerySet[Push]:
    """Return the last push of this rotation to each installation that is still there."""
    mine = Push.objects.filter(rollout__wave__rotation=rotation, rollout__wave__kind__in=list(kinds))
    later = mine.filter(
        installation=OuterRef("installation"), rollout__number__gt=OuterRef("rollout__number")
    )
    there = installations(rotation.account).order_by().values("pk")
    return mine.filter(~Exists(later), installation__in=there).order_by()


def pushes(rotation: Rotation, kinds: Collection[str] = FORWARD) -> dict[UUID, Pushed]:
    """Return the last push of this rotation to each installation that is still there, by its id."""
    rows = (
        last_pushes(rotation, kinds)
        .order_by("rollout__number")
        .values_list(
            "installation",
            "state",
            "replaced",
            "unknown_since",
            "requested",
            "rollout__number",
            "rollout__wave__position",
            "rollout__wave__is_released",
        )
    )
    return {row[0]: Pushed(row[1], row[2], row[3] or row[4], *row[5:]) for row in rows}


def holders(account: TechnicalAccount, version: ClientSecret) -> QuerySet[Installation]:
    """Return the installations of an account that hold a version: proven, confirmed or seen.

    What is subtler, such as an empty organization in the file, is left to the gates.
    """
    mine = {"secret": version, "installation__instance__assignment__account": account}
    proven = ProvenWrite.objects.proven().filter(**mine).order_by()
    confirmed = ConfirmedVersion.objects.as_seen().filter(**mine).order_by()
    others = ProvenDigest.objects.filter(digest=OuterRef("observed_digest")).exclude(secret=version)
    seen = installations(account).filter(
        ~Exists(others),
        observed_client_id=version.client_id,
        observed_account_id=account.technical_account_id,
        observed_digest__in=version.proven_digests.exclude(digest="").values("digest"),
    )
    return Installation.objects.filter(
        Q(pk__in=proven.values("pk"))
        | Q(pk__in=confirmed.values("pk"))
        | Q(pk__in=seen.order_by().values("pk"))
    ).order_by()


def holding(account: TechnicalAccount, version: ClientSecret) -> set[UUID]:
    """Return the ids of the installations of an account that hold a version."""
    return set(holders(account, version).values_list("pk", flat=True))


def under_way(ids: Collection[UUID]) -> set[UUID]:
    """Return those of the installations to which something is being pushed, of whichever rollout."""
    rows = Push.objects.filter(state__in=UNDER_WAY).order_by()
    return set(rows.values_list("installation", flat=True)) & set(ids)


@dataclass(frozen=True)
class Standing:
    """How far a rotation is on the installations of its account."""

    begun: int
    open: int
    """Installations with a push that has no outcome yet, a retry or a repair included."""
    broken: int
    """Those that the stop rule counts: failed, unknown for long, or not proven after all."""
    called_off: int | None
    """The number of the first rollout with a push that somebody else cancelled."""

    @property
    def ended(self) -> int:
        return self.begun - self.open


def standing(rotation: Rotation) -> Standing:
    """Return how far a rotation is; one statement, which sees what runs and what is held at one moment."""
    found = last_pushes(rotation).annotate(is_busy=_is_busy())
    counts = found.aggregate(
        begun=Count("pk", filter=~Q(state=State.CANCELLED)),
        open=Count("pk", filter=Q(is_busy=True)),
        called_off=Min("rollout__number", filter=Q(state=State.CANCELLED, rollout__wave__is_released=False)),
        broken=Count("pk", filter=Q(pk__in=broken(rotation).values("pk"))),
    )
    return Standing(**counts)


def broken(rotation: Rotation) -> QuerySet[Push]:
    """Return the last pushes that the stop rule counts."""
    found = last_pushes(rotation).annotate(is_busy=_is_busy())
    counted = found.filter(is_busy=False).exclude(installation__in=rotation.tolerated)
    held = Q(installation__in=holders(rotation.account, _new(rotation)).values("pk"))
    is_mended = Q(state=State.FAILED, replaced=True) & held  # by a later push
    is_there = ~Q(state=State.FAILED) & held
    return counted.exclude(state=State.CANCELLED).exclude(is_mended | is_there)


def _is_busy() -> Case:
    """Whether something is being pushed there, or the push may still turn out well by itself."""
    running = Push.objects.filter(installation=OuterRef("installation"), state__in=UNDER_WAY)
    patient = timezone.now() - PATIENCE
    is_hoped = Q(unknown_since__gt=patient) | Q(unknown_since=None, requested__gt=patient)
    return Case(
        When(Exists(running), then=Value(True)),
        When(Q(state=State.UNKNOWN) & is_hoped, then=Value(True)),
        default=Value(False),
        output_field=BooleanField(),
    )


def _new(rotation: Rotation) -> ClientSecret:
    if rotation.new is None:
        raise ValueError("nothing moves before there is a new secret")
    return rotation.new


def untried(rotation: Rotation) -> QuerySet[Installation]:
    """Return the installations that the next waves go to, where a mistake costs least first.

    They can be pushed to, do not hold the new secret, and were not begun by this rotation. What somebody
    decided there since, such as a roll back, is left alone: the gates name it.
    """
    new = _new(rotation)
    begun = last_pushes(rotation).exclude(state=State.CANCELLED, rollout__wave__is_released=True)
    opened = Push.objects.open().filter(rollout__secret=new).order_by()
    left = (
        pushable(rotation.account)
        .exclude(pk__in=begun.values("installation"))
        .exclude(pk__in=holders(rotation.account, new).values("pk"))
        .exclude(pk__in=opened.values("installation"))
    )
    return left.order_by(*CAUTIOUSLY)


@dataclass(frozen=True)
class NextWave:
    """What is to be pushed next: all of one environment or role, or as many as the rule says."""

    position: int
    label: str
    installations: tuple[Installation, ...]


ROLES = tuple(Instance.Role.values)


def next_wave(rotation: Rotation, ids: Sequence[UUID]) -> NextWave | None:
    """Return the wave that comes next among untried installations, in their order; None if there is none."""
    if not ids:
        return None
    rule = WaveRule.parse(rotation.wave_rule)
    if rotation.is_leak:
        return NextWave(0, str(Share(100, is_percent=True)), _rows(ids))
    if rule.by:
        return _group(ids, rule.by)
    position, left = _position(rotation, rule)
    return NextWave(position, rule.label(position), _rows(ids[:left]))


def _rows(ids: Sequence[UUID]) -> tuple[Installation, ...]:
    found = Installation.objects.filter(pk__in=list(ids)).select_related("instance", "container")
    by_id = {row.pk: row for row in found}
    return tuple(by_id[pk] for pk in ids if pk in by_id)


def _group(ids: Sequence[UUID], by: str) -> NextWave:
    values, field = (ENVIRONMENTS, "environment") if by == BY_ENVIRONMENT else (ROLES, "role")
    names = Installation.objects.filter(pk__in=list(ids)).order_by().annotate(group=F(f"instance__{field}"))
    groups = dict(names.values_list("pk", "group"))
    first = min(groups.values(), key=values.index)
    return NextWave(values.index(first), first, _rows([pk for pk in ids if groups.get(pk) == first]))


def _position(rotation: Rotation, rule: WaveRule) -> tuple[int, int]:
    """Return the wave that is being filled, from 0, and how many installations it still takes."""
    total = installations(rotation.account).count()
    begun: dict[int, int] = {}
    for each in pushes(rotation, [Wave.Kind.WAVE]).values():
        if not each.is_to_go_on:
            begun[each.position] = begun.get(each.position, 0) + 1
    position = max(begun, default=0)
    left = rule.size(position, total) - begun.get(position, 0)
    return (position, left) if left > 0 else (position + 1, rule.size(position + 1, total))


def propose_canary(account: TechnicalAccount, version: ClientSecret) -> Installation | None:
    """Return the installation that is tried first: where a mistake costs least, and a push is likely to work.

    None if none can be pushed to.
    """
    key = HostKey.objects.filter(container=OuterRef("container"), state=HostKey.State.APPROVED)
    rows = with_holding(pushable(account)).annotate(has_key=Exists(key))
    is_known = Case(When(held_version=version.pk, then=Value(0)), default=Value(1))
    is_doubtful = Case(When(Q(has_failed=True) | Q(is_drifted=True), then=Value(1)), default=Value(0))
    rows = rows.select_related("instance", "container")
    found: Installation | None = rows.order_by("-has_key", is_known, is_doubtful, *CAUTIOUSLY).first()
    return found
