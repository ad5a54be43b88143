"""The locks that there are now, as admins see them, and how one is lifted."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet, Sum

from portal.audit.trail import Actor, record
from portal.people.models import FailedSignIns
from portal.people.signing_in import lock_out
from portal.people.signing_in.lock_out import (
    FAILURE_LIMIT,
    Purpose,
    end_of_lock,
    name_hash,
)

MOST = 1000  # counters that are looked at for one page
SHOWN = 10  # addresses of one lock


@dataclass
class Lock:
    """What is locked: a person, all names that do not exist, or an address. Times are the widest ones."""

    subject: str
    """How a form names it: `user:7`, `unknown` or `address:192.0.2.1`."""
    since: datetime
    until: datetime
    user: User | None = None
    address: str = ""
    addresses: list[str] = field(default_factory=list)
    known_browsers: int = 0
    is_own_password: bool = False
    """Whether the page of the own password is locked, too."""
    tries: int = 0

    @property
    def shown(self) -> list[str]:
        return self.addresses[:SHOWN]

    @property
    def further(self) -> int:
        return max(0, len(self.addresses) - SHOWN)


def current_locks(user: User | None = None) -> list[Lock]:
    """Return the locks of one person, or all: people first, by name."""
    rows = _locked().select_related("user").order_by("-last")
    found: dict[str, Lock] = {}
    for row in rows.filter(user=user) if user else rows[:MOST]:
        subject = f"user:{row.user_id}" if row.user_id else "unknown"
        lock = found.setdefault(subject, Lock(subject, row.last, row.until, row.user))
        _add(lock, row)
    people = sorted(found.values(), key=lambda lock: lock.user.username if lock.user else "\U0010ffff")
    return people if user else [*people, *_locked_addresses()]


def _add(lock: Lock, row: FailedSignIns) -> None:
    lock.since, lock.until = min(lock.since, row.last), max(lock.until, row.until)
    lock.tries += row.failures + row.refused
    lock.known_browsers += bool(row.device)
    lock.is_own_password |= row.purpose == Purpose.PASSWORD
    if row.address and row.address not in lock.addresses:
        lock.addresses.append(row.address)


def _locked_addresses() -> Iterable[Lock]:
    """Yield the locks of addresses, by address; two statements."""
    rows = _live().filter(purpose=Purpose.SIGN_IN, device="").exclude(address="")
    totals = rows.values("address").annotate(total=Sum("failures")).filter(total__gte=lock_out.ADDRESS_LIMIT)
    locked = totals.order_by("address").values_list("address", flat=True)[:MOST]
    counters = rows.filter(address__in=list(locked)).order_by("address", "last")
    for address, found in groupby(counters, key=lambda row: row.address):
        mine = list(found)
        if until := end_of_lock(mine):
            tries = sum(row.failures for row in mine)
            yield Lock(f"address:{address}", mine[-1].last, until, address=address, tries=tries)


@transaction.atomic
def lift(subject: str, *, actor: Actor) -> int:
    """Lift the locks of a `Lock.subject`; return how many counters it removed. 0: there was no lock."""
    kind, _colon, value = subject.partition(":")
    if kind == "user" and value.isdigit() and int(value) < 2**31:
        user = User.objects.filter(pk=int(value)).first()
        return _lift(_live().filter(user=user), user, {}, actor) if user else 0
    if kind == "address":
        rows = _live().filter(purpose=Purpose.SIGN_IN, address=value, device="")
        return _lift(rows, None, {"address": value}, actor)
    if kind == "unknown":
        return _lift(_locked().filter(user=None), None, {"names": "that do not exist"}, actor)
    return 0


@transaction.atomic
def lift_name(name: str, *, actor: Actor) -> int:
    """Lift the locks of a name, whether or not anybody has it; return how many counters it removed."""
    user = User.objects.filter(username=name).first()
    hashed = FailedSignIns.objects.filter(name_hash=name_hash(name))
    return _lift(hashed, user, {} if user else {"names": "that do not exist"}, actor)


def _lift(rows: "QuerySet[FailedSignIns]", user: User | None, details: dict[str, str], actor: Actor) -> int:
    tries = sum(row.failures + row.refused for row in rows.select_for_update())
    count, _by_model = rows.delete()
    if count:
        record("sign_in.unlocked", actor=actor, target=user, details={**details, "tries": tries})
    return count


def _live() -> "QuerySet[FailedSignIns]":
    return FailedSignIns.objects.exclude(FailedSignIns.is_over())


def _locked() -> "QuerySet[FailedSignIns]":
    return _live().filter(failures__gte=FAILURE_LIMIT)
