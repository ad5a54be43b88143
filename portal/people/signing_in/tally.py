"""Failed sign-ins in the history: the first of a quarter of an hour one by one, and a sum at its end.

A stranger can fail as often as they like, and nothing is ever removed from the history. So single lines are
few and for people who exist alone; the sum says what else there was, and no name that does not exist.
"""

from collections import Counter
from datetime import UTC, datetime

from django.db import transaction
from django.db.models import F, Sum

from portal.audit.names import PersonName
from portal.audit.trail import Actor, Details, record
from portal.people.models import SignInTally

SINGLE_LINES = 20
NAMED = 20  # people and addresses that a sum names, most tried first
PORTAL = Actor("the portal", is_person=False)


def add(*, name: str, address: str, now: datetime, is_failure: bool, is_lock: bool) -> bool:
    """Count a try in its window; return whether it gets a line of its own.

    `name` is a person who exists, or empty.
    """
    SignInTally.remove_expired()
    began = _window(now)
    window = SignInTally.objects.filter(began=began)
    lines = window.aggregate(lines=Sum("recorded"))["lines"] or 0
    is_single = is_failure and bool(name) and lines < SINGLE_LINES
    mine = window.filter(name=name, address=address)
    if not mine.exists() and window.count() >= SignInTally.MOST_ROWS:
        address = ""
    row, _created = SignInTally.objects.get_or_create(began=began, name=name, address=address)
    SignInTally.objects.filter(pk=row.pk).update(
        failures=F("failures") + int(is_failure),
        refused=F("refused") + int(not is_failure),
        locks=F("locks") + int(is_lock),
        recorded=F("recorded") + int(is_single),
    )
    return is_single


@transaction.atomic
def close_windows() -> None:
    """Record the sum of each window that is over, unless all of it was recorded; remove its rows."""
    rows = list(SignInTally.expired().select_for_update())
    for began in sorted({row.began for row in rows}):
        mine = [row for row in rows if row.began == began]
        if any(row.failures + row.refused > row.recorded for row in mine):
            record("sign_in.failures_counted", actor=PORTAL, details=_sum(began, mine))
    SignInTally.objects.filter(pk__in=[row.pk for row in rows]).delete()


SignInTally.at_their_end = close_windows


def _window(now: datetime) -> datetime:
    seconds = SignInTally.KEPT.total_seconds()
    return datetime.fromtimestamp(now.timestamp() // seconds * seconds, UTC)


def _sum(began: datetime, rows: list[SignInTally]) -> Details:
    people: Counter[str] = Counter()
    addresses: Counter[str] = Counter()
    for row in rows:
        people[row.name] += row.failures + row.refused
        addresses[row.address] += row.failures + row.refused
    unknown, elsewhere = people.pop("", 0), addresses.pop("", 0)
    return {
        "from": began.isoformat(),
        "until": (began + SignInTally.KEPT).isoformat(),
        "tries": people.total() + unknown,
        "against_a_lock": sum(row.refused for row in rows),
        "locks": sum(row.locks for row in rows),
        "with_names_that_do_not_exist": unknown,
        "people": [{"name": PersonName(name), "tries": tries} for name, tries in people.most_common(NAMED)],
        "further_people": max(0, len(people) - NAMED),
        "addresses": len(addresses),
        "most_tries_from": dict(addresses.most_common(NAMED)),
        "from_more_addresses_than_are_counted": elsewhere,
    }
