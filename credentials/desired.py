"""What every installation is to hold, and the goal of an account: the only place that changes either.

Call it in the transaction of what changes them. Every change is kept for good.
"""

import uuid
from collections.abc import Mapping

from django.db.models import Q

from credentials.models import (
    ClientSecret,
    DesiredVersion,
    DesiredVersionChange,
    GoalChange,
    TechnicalAccount,
    Why,
)
from portal.audit.trail import Actor

AT_ONCE = 500  # rows in one statement


def desire(*, version: ClientSecret, pushes: Mapping[uuid.UUID, uuid.UUID]) -> None:
    """Let installations desire a version. `pushes`: installation id -> the push that was started for it."""
    change({each: (version.pk, push) for each, push in pushes.items()}, Why.ROLLOUT)


def change(values: Mapping[uuid.UUID, tuple[uuid.UUID | None, uuid.UUID | None]], why: str) -> None:
    """Store what installations desire from now on: installation id -> version and push, None for none."""
    facts = [
        {"installation_id": installation, "version_id": version, "push": push, "why": why}
        for installation, (version, push) in sorted(values.items())  # all lock the rows in this order
    ]
    DesiredVersion.objects.bulk_create(
        [DesiredVersion(**each) for each in facts],
        batch_size=AT_ONCE,
        update_conflicts=True,
        unique_fields=["installation"],
        update_fields=["version", "since", "push", "why"],
    )
    DesiredVersionChange.objects.bulk_create(
        [DesiredVersionChange(**each) for each in facts], batch_size=AT_ONCE
    )


def desire_nothing(condition: Q, why: str) -> None:
    """Let the installations that meet the condition desire nothing any more; those that do not stay so."""
    rows = DesiredVersion.objects.filter(condition).exclude(version=None)
    locked = rows.select_for_update(of=("self",)).order_by("pk").values_list("pk", flat=True)
    if found := list(locked):
        change(dict.fromkeys(found, (None, None)), why)


def set_goal(
    *, account: TechnicalAccount, version: ClientSecret | None, why: str, actor: Actor, message: str = ""
) -> bool:
    """Give a locked account another goal; False if it is its goal already."""
    if account.goal_id == (version.pk if version else None):
        return False
    account.goal = version
    account.save(update_fields=["goal"])
    GoalChange.objects.create(account=account, version=version, why=why, by=actor.name, message=message)
    return True
