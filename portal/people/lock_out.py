"""The lock after wrong passwords: per name and address, for a quarter of an hour.

There is one counter for each pair, under a keyed hash of the name. A try against a lock is not counted: it
must not prolong the lock.
"""

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import F, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.crypto import salted_hmac

from portal.people.models import FailedSignIns
from portal.short_lived import remove_expired_of

FAILURE_LIMIT = 5


class LockOut:
    """The first authentication backend: no password is looked at while name and address are locked."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, **credentials: object
    ) -> None:
        if request is not None and is_locked(str(username), address_of(request)):
            raise PermissionDenied


def address_of(request: HttpRequest) -> str:
    """Return the client's address as a request carries it."""
    return str(request.META.get("portal.client_ip", ""))


def is_locked(name: str, address: str) -> bool:
    """Whether nobody can sign in with this name from this address now."""
    return _counter(name, address).filter(failures__gte=FAILURE_LIMIT).exists()


@transaction.atomic
def count_failure(name: str, address: str) -> int:
    """Count a failed sign-in; return which one it is, or 0 for a try against a lock."""
    remove_expired_of(FailedSignIns)
    now = timezone.now()
    FailedSignIns.objects.get_or_create(name_hash=_hash(name), address=address[:45], defaults={"last": now})
    counter = _counter(name, address)
    if not counter.filter(failures__lt=FAILURE_LIMIT).update(failures=F("failures") + 1, last=now):
        return 0
    return counter.values_list("failures", flat=True).get()


def forget_failures(name: str, address: str) -> None:
    """Start counting anew, after a good sign-in."""
    _counter(name, address).delete()


def _counter(name: str, address: str) -> "QuerySet[FailedSignIns]":
    mine = FailedSignIns.objects.filter(name_hash=_hash(name), address=address[:45])
    return mine.exclude(FailedSignIns.is_over())


def _hash(name: str) -> str:
    return salted_hmac("portal.people.lock_out", name, algorithm="sha256").hexdigest()
