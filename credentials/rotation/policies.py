"""Policies of accounts: what admins do with them, and the job that acts on those that are due."""

import logging
from datetime import timedelta

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from credentials.models import TechnicalAccount
from credentials.rotation import adobe, notices, services
from credentials.rotation.due import standing_of
from credentials.rotation.models import Policy, PolicyKind
from credentials.rotation.plans import RuleError, StopRule, WaveRule
from credentials.rotation.services import RotationError
from credentials.rotation.standing import Standing, Why
from portal.audit.trail import Actor, record
from portal.processes.housekeeping import MINUTE, every

logger = logging.getLogger(__name__)
REMINDED_AGAIN = timedelta(days=7)


def refusal(account: TechnicalAccount, kind: str) -> str:
    """Return why an account cannot have this policy, for a person, or an empty text."""
    if not services.is_in_use(account):
        return _("Only an account in use has a secret to replace.")
    if kind == PolicyKind.RUN and not adobe.has_api(account):
        return _(
            "Without the numbers for Adobe's API, a person adds and deletes the secrets, so no rotation can "
            "run to the end by itself. Enter the numbers, or let the policy open rotations."
        )
    return ""


def set_policy(
    *,
    account: TechnicalAccount,
    interval: int,
    kind: str,
    actor: Actor,
    wave_rule: str = services.USUAL_WAVES,
    stop_rule: str = services.USUAL_STOP,
    is_migration_closed: bool = False,
    message: str = "",
) -> Policy:
    """Set the policy of an account, from now on in this person's name.

    An open rotation goes on as it was begun. `RotationError` and `plans.RuleError` say what prevents it.
    """
    waves, stop = str(WaveRule.parse(wave_rule)), str(StopRule.parse(stop_rule))
    if not Policy.SHORTEST <= interval <= Policy.LONGEST:
        words = {"shortest": Policy.SHORTEST, "longest": Policy.LONGEST}
        raise RotationError(_("The interval must be %(shortest)s to %(longest)s days.") % words)
    if problem := refusal(account, kind):
        raise RotationError(problem)
    is_migrating = account.way == TechnicalAccount.Way.MIGRATION and kind != PolicyKind.REMIND
    if is_migrating and not is_migration_closed:
        raise RotationError(_("Confirm that the JWT credential was deleted: until then nothing is rotated."))
    values: dict[str, object] = {
        "interval": interval,
        "kind": str(PolicyKind(kind)),
        "wave_rule": waves,
        "stop_rule": stop,
        "is_migration_closed": is_migration_closed,
        "message": message[:250],
    }
    whose = {"set_at": timezone.now(), "set_by": actor.user, "set_by_name": actor.name}
    anew = {"started_for": None, "told_for": None, "told": None}
    with transaction.atomic():
        policy, _is_new = Policy.objects.update_or_create(account=account, defaults=values | whose | anew)
        details: dict[str, object] = {
            "interval": interval,
            "policy": policy.kind,
            "waves": waves,
            "stop": stop,
            "message": message[:250],
        }
        record("account.policy_set", actor=actor, target=account, details=details)
    return policy


@transaction.atomic
def remove_policy(*, account: TechnicalAccount, actor: Actor) -> bool:
    """Remove the policy of an account; False if it has none. An open rotation goes on as it was begun."""
    removed, _rows = Policy.objects.filter(account=account).delete()
    if removed:
        record("account.policy_removed", actor=actor, target=account, details={})
    return bool(removed)


@every(MINUTE)
def act_on_policies() -> int:
    """Remind of each secret that is due, or start its rotation; return for how many something was done."""
    related = ("account__goal", "set_by")
    found = Policy.objects.select_related(*related).filter(account__is_rotating=False)
    due = [row.pk for row in found if (now := standing_of(row)) and now.is_due]
    return sum(_act(pk) for pk in due)


@transaction.atomic
def _act(pk: int) -> bool:
    """Do what a policy is for, by its row as it is now: another scheduler may have done it meanwhile."""
    locked = Policy.objects.select_for_update(of=("self",)).select_related("account__goal", "set_by")
    policy = locked.filter(pk=pk).first()
    standing = standing_of(policy) if policy else None
    if policy is None or standing is None or not standing.is_due:
        return False
    if policy.kind == PolicyKind.REMIND or standing.why:
        return _remind(policy, standing)
    return _start(policy, standing)


def _start(policy: Policy, standing: Standing) -> bool:
    """Start the rotation, in the name of the person who set the policy; once for each secret."""
    try:
        with transaction.atomic():
            services.start(
                account=policy.account,
                actor=policy.actor,
                wave_rule=policy.wave_rule,
                stop_rule=policy.stop_rule,
                is_migration_closed=policy.is_migration_closed,
                message=policy.message,
                policy=policy.kind,
            )
    except (RotationError, RuleError) as error:
        if standing_of(policy) is None:  # a person started one meanwhile
            return False
        logger.warning("The policy of %s could not start a rotation: %s", policy.account, error)
        return _remind(policy, Standing(standing.due, is_due=True, why=Why.REFUSED))
    policy.started_for = policy.account.goal
    policy.save(update_fields=["started_for"])
    return True


def _remind(policy: Policy, standing: Standing) -> bool:
    """Have people told once for each due date, and again each week."""
    now = timezone.now()
    told = policy.told if policy.told_for == standing.due else None
    if told and abs(now - told) < REMINDED_AGAIN:  # abs: the clock may have been set back
        return False
    policy.told_for, policy.told = standing.due, now
    policy.save(update_fields=["told_for", "told"])
    notices.note_due(policy, standing)
    return True
