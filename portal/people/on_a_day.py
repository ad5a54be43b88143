"""Who could act on a day, and who did: computed from the history alone, not from today's users.

Roles and access of a person on a day are what the newest entries before it said, and what entries of that day
changed. Only indexed columns are asked, and a constant number of times, however long the history is.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Self

from django.db.models import Count, Max, QuerySet
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from portal.audit.models import AuditEvent
from portal.audit.operator import AT_COMMAND_LINE, in_words

CREATED = "user.created"
ROLE = (CREATED, "user.role_changed")
DEACTIVATED = "user.deactivated"
ACCESS = (CREATED, DEACTIVATED, "user.reactivated")
COLUMNS = ("seq", "at", "actor_name", "action", "target_id", "target_name", "details")
AT_ONCE = 500  # numbers in one statement
LOCKED = ("sign_in.locked", "user.password_change_locked")
ITSELF = ("portal", "the portal")
STRANGER = "anonymous"
"""Names under which no user acted; nobody else is recorded under them without a user."""
MOST_LOCKS = 1000
"""Entries about locks that are counted; `sign_in.failures_counted` sums up the rest of an attack."""


@dataclass(frozen=True)
class Act:
    """An entry that gave or took something: its number, its moment, and who did it."""

    seq: int
    at: datetime
    who: str

    @classmethod
    def of(cls, event: AuditEvent) -> Self:
        return cls(event.seq, event.at, event.actor_name)


@dataclass(frozen=True)
class Standing:
    """What a person was allowed for a part of a day."""

    since: datetime
    until: datetime
    role: str
    """Empty: the history does not say."""
    can_sign_in: bool | None
    """None: the history does not say."""
    role_by: Act | None
    access_by: Act | None


@dataclass
class Person:
    """Somebody on a day. Without a number it is no user: the portal itself, a command, a stranger."""

    number: str
    name: str
    standings: list[Standing] = field(default_factory=list)
    events: int = 0
    locks: int = 0

    @property
    def kind(self) -> Promise:
        """Which kind of actor it is that is no user, as far as the history says."""
        if self.name in ITSELF:
            return _("the portal itself")
        if self.name == STRANGER:
            return _("somebody who had not signed in")
        if self.name.endswith(AT_COMMAND_LINE):
            return _("a command on the portal's machine")
        return _("the history does not say which of them")

    @property
    def with_kind(self) -> str:
        """Its name as people read it, with its kind."""
        return gettext("%(name)s (%(kind)s)") % {"name": in_words(self.name), "kind": self.kind}

    @property
    def could_act(self) -> bool:
        """Whether the person could sign in for a part of the day, as far as the history knows."""
        return any(each.can_sign_in is not False for each in self.standings)

    @property
    def acted_without_access(self) -> bool:
        """Whether there are entries by somebody who could not sign in all day."""
        return self.events > 0 and not self.could_act


@dataclass(frozen=True)
class Day:
    """A day in the reader's time zone, and everybody who could act on it or did."""

    day: date
    start: datetime
    end: datetime
    begins: Act | None
    """The first entry of the history."""
    people: list[Person]
    others: list[Person]

    @property
    def is_before_history(self) -> bool:
        """Whether nothing was recorded yet."""
        is_unknown = not self.people and not self.others
        return is_unknown and (self.begins is None or self.end <= self.begins.at)

    @property
    def is_over(self) -> bool:
        return self.end <= timezone.now()


def on_a_day(day: date) -> Day:
    """Return who could act on a day of the current time zone, and who did."""
    start, end = (_midnight(each) for each in (day, day + timedelta(days=1)))
    known = max(start, min(end, timezone.now()))  # nobody knows what the rest of today brings
    people = {state.number: state.person(start, known) for state in _states(start, end)}
    others = []
    counts = _within(start, end).values("actor", "actor_name").annotate(count=Count("seq"))
    for row in counts.order_by("actor_name"):
        if not row["actor"]:
            others.append(Person("", row["actor_name"], events=row["count"]))
            continue
        number = str(row["actor"])
        person = people.setdefault(number, _unrecorded(number, row["actor_name"], start, known))
        person.events += row["count"]
    locks = _locks(start, end)
    for person in people.values():
        person.locks = locks[person.number] + locks[f"name {person.name}"]
    first = AuditEvent.objects.order_by("seq").first()
    in_order = sorted(
        people.values(), key=lambda each: (not each.could_act, each.name.casefold(), each.number)
    )
    return Day(day, start, end, Act.of(first) if first else None, in_order, others)


@dataclass
class _State:
    """What is known of a user while the entries up to the end of a day are read."""

    number: str
    name: str = ""
    role: str = ""
    can_sign_in: bool | None = None
    role_by: Act | None = None
    access_by: Act | None = None
    since: datetime | None = None
    """When the present standing began; None: before the day."""
    ended: list[Standing] = field(default_factory=list)

    def take(self, event: AuditEvent, start: datetime) -> None:
        """Note what an entry says; one of the day itself ends the standing before it."""
        if event.at >= start:
            if event.action != CREATED:
                self._learn_what_was(event)
                self._end(start, event.at)
            self.since = event.at
        self.name = event.target_name
        if event.action in ROLE:
            self.role, self.role_by = str(event.details.get("role", "")), Act.of(event)
        if event.action in ACCESS:
            self.can_sign_in, self.access_by = event.action != DEACTIVATED, Act.of(event)

    def _learn_what_was(self, event: AuditEvent) -> None:
        """Learn from a change what nothing said before it."""
        if event.action in ROLE and self.role_by is None:
            self.role = str(event.details.get("former_role", ""))
        if event.action in ACCESS and self.access_by is None:
            self.can_sign_in = event.action == DEACTIVATED

    def _end(self, start: datetime, until: datetime) -> None:
        since = self.since or start
        if until > since:  # not so after the clock was set back
            self.ended.append(self._standing(since, until))

    def _standing(self, since: datetime, until: datetime) -> Standing:
        return Standing(since, until, self.role, self.can_sign_in, self.role_by, self.access_by)

    def person(self, start: datetime, end: datetime) -> Person:
        """Return the person with the standings of the whole day."""
        return Person(self.number, self.name, [*self.ended, self._standing(self.since or start, end)])


def _states(start: datetime, end: datetime) -> Iterable[_State]:
    """Return what is known of each user that the history knew before the end of the day."""
    before = AuditEvent.objects.filter(target_type="user", at__lt=start)
    numbers = {
        seq
        for actions in (ROLE, ACCESS)
        for seq in before.filter(action__in=actions)
        .order_by()
        .values("target_id")
        .annotate(newest=Max("seq"))
        .values_list("newest", flat=True)
    }
    states: dict[str, _State] = {}
    today = _within(start, end).filter(target_type="user", action__in={*ROLE, *ACCESS})
    for event in [*_numbered(sorted(numbers)), *today.order_by("seq").only(*COLUMNS)]:
        states.setdefault(event.target_id, _State(event.target_id)).take(event, start)
    return states.values()


def _numbered(numbers: Sequence[int]) -> Iterator[AuditEvent]:
    for first in range(0, len(numbers), AT_ONCE):
        some = numbers[first : first + AT_ONCE]
        yield from AuditEvent.objects.filter(seq__in=some).order_by("seq").only(*COLUMNS)


def _within(start: datetime, end: datetime) -> QuerySet[AuditEvent]:
    return AuditEvent.objects.filter(at__gte=start, at__lt=end).order_by()


def _unrecorded(number: str, name: str, start: datetime, end: datetime) -> Person:
    """Return somebody who acted, although no entry says how they came to be a user."""
    return Person(number, name, [Standing(start, end, "", None, None, None)])


def _locks(start: datetime, end: datetime) -> Counter[str]:
    """Count locks by the number of the user, or by the name, whichever the entry has."""
    rows = _within(start, end).filter(action__in=LOCKED).values_list("target_id", "details")[:MOST_LOCKS]
    return Counter(target or f"name {details.get('user', '')}" for target, details in rows)


def _midnight(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, time.min))
