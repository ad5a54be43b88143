"""Wrong passwords on the page of the own password: counted, limited and recorded like those of a sign-in.

Somebody who finds a signed-in browser could otherwise try passwords there for ever, and keep the account.
"""

from datetime import datetime

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from portal.audit.trail import Actor, record
from portal.people.signing_in.lock_out import (
    FAILURE_LIMIT,
    Counter,
    Origin,
    Purpose,
    count_failure,
    forget_failures,
    locked_until,
)


def locked(user: User) -> datetime | None:
    """Return until when this person cannot change the password; None if they can."""
    return locked_until(_counter(user))


@transaction.atomic
def failed(user: User, actor: Actor) -> None:
    """Count a wrong password and record it."""
    failures = count_failure(_counter(user), user, timezone.now())
    if failures:
        record("user.password_change_failed", actor=actor, target=user)
    if failures == FAILURE_LIMIT:
        record("user.password_change_locked", actor=actor, target=user)


def succeeded(user: User) -> None:
    """Start counting anew."""
    forget_failures(_counter(user))


def _counter(user: User) -> Counter:
    return Counter(user.get_username(), Origin(""), Purpose.PASSWORD)
