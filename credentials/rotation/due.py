"""When a policy is due, by what is stored."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Max
from django.utils import timezone

from credentials.models import TechnicalAccount
from credentials.rotation import adobe, services
from credentials.rotation.authority import may_rotate, who_may_rotate
from credentials.rotation.models import Policy, PolicyKind, Rotation
from credentials.rotation.notices import DUE
from credentials.rotation.standing import Standing, Why
from portal.notices.sending import is_anybody_told


def standing_of(policy: Policy, now: datetime | None = None) -> Standing | None:
    """Return how a policy is; None where there is no secret in use, or it is being replaced just now.

    Due is what is stored and the interval, never counted from now: a clock that is set back moves nothing.
    """
    if services.may_start(policy.account):
        return None
    due = since(policy) + timedelta(days=policy.interval)
    why = _why(policy, is_allowed=may_rotate(policy.set_by))
    return Standing(due, due <= (now or timezone.now()), why)


@dataclass(frozen=True)
class Upcoming:
    """The next rotation of an account, by its policy."""

    policy: Policy
    standing: Standing
    is_anybody_told: bool
    """Whether a message that it is due would reach anybody."""

    @property
    def is_started_by_person(self) -> bool:
        """Whether nothing starts before a person does it: it only reminds, or is kept from more."""
        return self.policy.kind == PolicyKind.REMIND or bool(self.standing.why)


def upcoming() -> list[Upcoming]:
    """Return the next rotation of each account that has a policy, the earliest first; four statements.

    An account whose secret is being replaced just now is left out, and one without a secret in use.
    """
    rows = Policy.objects.select_related("account__goal", "set_by")
    rows = rows.exclude(account__in=Rotation.objects.open().values("account"))
    in_use = [row for row in rows if services.is_in_use(row.account)]
    found = [row for row in in_use if row.account.goal and row.account.goal.is_usable]
    allowed = who_may_rotate({row.set_by_id for row in found if row.set_by_id})
    done = Rotation.objects.filter(new__in=[row.account.goal_id for row in found], state=Rotation.State.DONE)
    ended = dict(done.order_by().values_list("new").annotate(last=Max("ended")))
    now, is_told = timezone.now(), is_anybody_told(DUE)
    coming = []
    for row in found:
        is_allowed = row.set_by_id is None or row.set_by_id in allowed
        due = _counted_from(row, ended.get(row.account.goal_id)) + timedelta(days=row.interval)
        coming.append(Upcoming(row, Standing(due, due <= now, _why(row, is_allowed=is_allowed)), is_told))
    return sorted(coming, key=lambda each: (each.standing.due, each.policy.account.name))


def is_unplanned() -> bool:
    """Whether accounts are in use, and none has a policy that would replace its secret one day."""
    return not Policy.objects.exists() and services.is_any_in_use()


def since(policy: Policy) -> datetime:
    """Return from when the interval counts: the secret was entered, or its rotation ended after that."""
    done = Rotation.objects.filter(new=policy.account.goal_id, state=Rotation.State.DONE)
    return _counted_from(policy, done.order_by("-ended").values_list("ended", flat=True).first())


def _counted_from(policy: Policy, ended: datetime | None) -> datetime:
    if policy.account.goal is None:
        raise ValueError("nothing is in use")
    return max(filter(None, (policy.account.goal.entered, ended)))


def _why(policy: Policy, *, is_allowed: bool) -> str:
    """Return what keeps a policy from starting a rotation; empty for one that only reminds."""
    if policy.kind == PolicyKind.REMIND:
        return ""
    if not is_allowed:
        return Why.NOBODY
    if policy.started_for_id == policy.account.goal_id:
        return Why.TRIED
    if policy.kind == PolicyKind.RUN and not adobe.has_api(policy.account):
        return Why.NO_NUMBERS
    is_migrating = policy.account.way == TechnicalAccount.Way.MIGRATION
    return Why.MIGRATION if is_migrating and not policy.is_migration_closed else ""
