"""The auditor's home page: pushes and rotations by week, how old secrets are, the history itself."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from uuid import UUID

from django.db.models import Count
from django.db.models.functions import TruncWeek
from django.utils import timezone
from django.utils.translation import gettext as _

from credentials.coverage.tallies import Tally
from credentials.models import ClientSecret, TechnicalAccount
from credentials.rollouts.models import Push
from credentials.rotation.models import Policy, Rotation
from portal.audit.detail_words import word_for
from portal.audit.labels import EXPORTS, label, lines_of, value_in_words
from portal.audit.models import AuditEvent
from portal.punctuation import labelled

WEEKS = 13
"""A quarter."""
SHOWN = 8
TOLD = ("filters", "format", "pack", "from", "until")
"""What is told of an export, so that two of the same list are no equal lines."""
SHARES = (Push.State.SUCCEEDED, Push.State.FAILED, Push.State.UNKNOWN)
"""What a bar shows, from the bottom; the rest was called off or is under way."""
WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 720, 220, 52, 26, 34


@dataclass
class Week:
    """What happened in a week, which begins on a Monday of the portal's time zone."""

    monday: date
    pushes: Counter[str] = field(default_factory=Counter)
    """Pushes of the rollouts that were started then, by what became of them."""
    rotated: int = 0
    """Rotations that ended with the old secret deleted."""
    taken_back: int = 0

    @property
    def total(self) -> int:
        return self.pushes.total()

    @property
    def shares(self) -> list[tuple[str, int]]:
        """States with their counts, as the columns of the table."""
        named = [(state.value, self.pushes[state]) for state in SHARES]
        return [*named, ("other", self.total - sum(count for _state, count in named))]


@dataclass(frozen=True)
class Bar:
    """A part of a week's column: where it is drawn."""

    state: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class WeekChart:
    """Everything that the template draws."""

    weeks: list[Week]
    bars: list[Bar]
    labels: list[tuple[float, str]]
    """The Monday of every other column, below it."""
    ends: list[tuple[float, float, int]]
    """Where a column ends, with the rotations that ended in its week."""
    levels: list[tuple[float, int]]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    base: int = HEIGHT - BOTTOM

    @property
    def legend(self) -> list[tuple[str, str]]:
        """The word of each pattern, in the order of the columns of the table."""
        return [*((state.value, str(state.label)) for state in SHARES), ("other", _("Other"))]


def weeks(now: datetime) -> list[Week]:
    """Return the last weeks, oldest first, this one included; two statements."""
    today = timezone.localdate(now)
    monday = today - timedelta(days=today.weekday())
    found = {each: Week(each) for each in (monday - timedelta(weeks=n) for n in reversed(range(WEEKS)))}
    since = now - timedelta(days=today.weekday() + 1, weeks=WEEKS - 1)
    pushes = Push.objects.filter(rollout__requested__gte=since).order_by()
    for row in pushes.values("state", week=TruncWeek("rollout__requested")).annotate(count=Count("*")):
        if week := found.get(timezone.localdate(row["week"])):
            week.pushes[row["state"]] += row["count"]
    ended = Rotation.objects.filter(ended__gte=since).order_by()
    for row in ended.values("state", week=TruncWeek("ended")).annotate(count=Count("*")):
        if week := found.get(timezone.localdate(row["week"])):
            if row["state"] == Rotation.State.DONE:
                week.rotated += row["count"]
            else:
                week.taken_back += row["count"]
    return list(found.values())


def chart_of(found: Sequence[Week]) -> WeekChart:
    """Return the drawing of these weeks: a column for each, as high as its pushes are many."""
    most = max(1, *(week.total for week in found))
    step = (WIDTH - LEFT) / len(found)
    field_height = HEIGHT - TOP - BOTTOM
    bars, labels, ends = [], [], []
    for place, week in enumerate(found):
        x = round(LEFT + place * step + step * 0.15, 1)
        y = float(HEIGHT - BOTTOM)
        for state, count in week.shares:
            height = round(field_height * count / most, 1)
            if height:
                y = round(y - height, 1)
                bars.append(Bar(state, x, y, round(step * 0.7, 1), height))
        middle = round(LEFT + (place + 0.5) * step, 1)
        if place % 2 == (len(found) - 1) % 2:
            labels.append((middle, f"{week.monday:%m-%d}"))
        if week.rotated or week.taken_back:
            ends.append((middle, round(y - 8, 1), week.rotated + week.taken_back))
    levels = [(float(HEIGHT - BOTTOM), 0), (float(TOP), most)]
    return WeekChart(list(found), bars, labels, ends, levels)


@dataclass(frozen=True)
class SecretAge:
    """How old a version is that Adobe may still take, and after how long a policy wants another one."""

    secret: ClientSecret
    days: int
    interval: int | None
    held: int
    """How many installations hold it, as far as is known."""

    @property
    def is_goal(self) -> bool:
        return self.secret.pk == self.secret.account.goal_id

    @property
    def is_overdue(self) -> bool:
        return self.interval is not None and self.days > self.interval


def oldest_secrets(now: datetime, tallies: Iterable[Tally]) -> list[SecretAge]:
    """Return the oldest versions of accounts in use that are not deleted at Adobe; two statements.

    That is more than the goals: during a rotation the former version is there, and installations hold it.
    """
    held: Counter[UUID] = Counter()
    for each in tallies:
        if each.held:
            held[each.held.id] += each.count
    active = {"account__state": TechnicalAccount.State.ACTIVE, "account__goal__isnull": False}
    there = ClientSecret.objects.filter(slot__isnull=False, **active).defer("ciphertext")
    rows = list(there.select_related("account").order_by("entered", "version")[:SHOWN])
    accounts = {row.account_id for row in rows}
    intervals = dict(Policy.objects.filter(account__in=accounts).values_list("account", "interval"))
    return [
        SecretAge(row, (now - row.entered).days, intervals.get(row.account_id), held[row.pk]) for row in rows
    ]


def last_exports() -> list[tuple[AuditEvent, str, list[str]]]:
    """Return the newest events of exports, newest first: what each was, its list, and what it had of it."""
    found = list(AuditEvent.objects.filter(action__in=EXPORTS).order_by("-seq")[:SHOWN])
    told = {word_for(key) for key in TOLD}
    return [
        (
            line.event,
            _exported(line.event),
            [labelled(word, text) for word, text in line.facts if word in told],
        )
        for line in lines_of(found)
    ]


def _exported(event: AuditEvent) -> str:
    kind = str(label(event.action))
    name = value_in_words("list", event.details.get("list"))
    return labelled(kind, name) if name else kind
