"""Locks after wrong passwords, for a quarter of an hour: who is kept out, and who never is.

* Five failures for one name from one address lock that pair; fifty for whatever names lock the address.
* A browser in which this person signed in before (`devices`) has a counter of its own: what
  strangers do cannot lock it, wherever they seem to come from.
* There is no lock of a name everywhere: with one, anybody could keep anybody out.
* A try against a lock is not counted as a failure: it must not prolong the lock.

`docs/threat-model.md` says why.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv6Address, ip_address, ip_network

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F, QuerySet, Sum
from django.http import HttpRequest
from django.utils.crypto import salted_hmac

from portal.people.models import FailedSignIns
from portal.people.signing_in import devices
from portal.short_lived import remove_expired_of

FAILURE_LIMIT = 5
ADDRESS_LIMIT = 50
Purpose = FailedSignIns.Purpose


@dataclass(frozen=True)
class Origin:
    """Where a try comes from: an address, or a browser in which this person signed in before."""

    address: str
    device: str = ""

    @classmethod
    def of(cls, request: HttpRequest, name: str) -> "Origin":
        return cls(source_of(request), devices.known(request, name_hash(name)))


@dataclass(frozen=True)
class Counter:
    """What counts together: a name, where it was tried, and for what."""

    name: str
    origin: Origin
    purpose: str = Purpose.SIGN_IN

    def rows(self) -> "QuerySet[FailedSignIns]":
        """Return the row of this counter, if it has one that is not over."""
        mine = FailedSignIns.objects.filter(**self.key())
        return mine.exclude(FailedSignIns.is_over())

    def key(self) -> dict[str, str]:
        """Return the values by which the row is found."""
        return {
            "purpose": self.purpose,
            "name_hash": name_hash(self.name),
            "address": "" if self.origin.device else self.origin.address,
            "device": self.origin.device,
        }


def source_of(request: HttpRequest) -> str:
    """Return what counts as one address: of IPv6 the network, in which a client chooses as it likes."""
    text = str(request.META.get("portal.client_ip", ""))
    try:
        address = ip_address(text)
    except ValueError:
        return text[:45]
    if isinstance(address, IPv6Address) and address.ipv4_mapped is None:
        return str(ip_network((address, 64), strict=False))
    return str(getattr(address, "ipv4_mapped", None) or address)


def locked_until(counter: Counter) -> datetime | None:
    """Return when the lock that refuses this try ends; None if it is not refused."""
    row = counter.rows().filter(failures__gte=FAILURE_LIMIT).first()
    if row is not None:
        return row.until
    if counter.origin.device or counter.purpose != Purpose.SIGN_IN:
        return None
    return address_locked_until(counter.origin.address)


def address_locked_until(address: str) -> datetime | None:
    """Return when an address may try names again; None if it may now."""
    rows = counted_at(address)
    total = rows.aggregate(total=Sum("failures"))["total"] or 0
    if not address or total < ADDRESS_LIMIT:
        return None
    return end_of_lock(list(rows.order_by("last")))


def end_of_lock(counters: "Sequence[FailedSignIns]") -> datetime | None:
    """Return until when these counters of an address, the oldest first, lock it; None if they do not."""
    total = sum(row.failures for row in counters)
    if total < ADDRESS_LIMIT:
        return None
    for row in counters:  # the oldest failures are over first
        total -= row.failures
        if total < ADDRESS_LIMIT:
            return row.until
    return None


def counted_at(address: str) -> "QuerySet[FailedSignIns]":
    """Return the counters that add up to the lock of an address."""
    rows = FailedSignIns.objects.filter(purpose=Purpose.SIGN_IN, address=address, device="")
    return rows.exclude(FailedSignIns.is_over())


@transaction.atomic
def count_failure(counter: Counter, user: User | None, now: datetime) -> int:
    """Count a wrong password; return which failure it is, or 0 for a try against a lock."""
    remove_expired_of(FailedSignIns)
    if locked_until(counter):
        counter.rows().update(refused=F("refused") + 1)
        return 0
    FailedSignIns.objects.get_or_create(**counter.key(), defaults={"last": now, "user": user})
    counter.rows().update(failures=F("failures") + 1, last=now)
    return counter.rows().values_list("failures", flat=True).get()


def forget_failures(counter: Counter) -> None:
    """Start counting anew, after a right password."""
    counter.rows().delete()


def name_hash(name: str) -> str:
    """Return the keyed hash under which a name is counted."""
    return salted_hmac("portal.people.lock_out", name, algorithm="sha256").hexdigest()
