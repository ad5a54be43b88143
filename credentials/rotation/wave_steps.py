"""The steps that move installations: the canary, wave after wave, and the way back."""

from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from credentials.desired import set_goal
from credentials.models import ClientSecret, TechnicalAccount, Why
from credentials.rollouts.models import Push, Rollout
from credentials.rollouts.services import cancel_rollouts, put_off
from credentials.rollouts.starting import Consent, RolloutError, start
from credentials.rotation import deleting, moving
from credentials.rotation.actions import Listing
from credentials.rotation.common import (
    HALF_A_MINUTE,
    Outcome,
    State,
    end,
    held_up,
    move,
    new_of,
    unless_accepted,
    unless_refused,
    until_asked,
)
from credentials.rotation.deleting import is_recent
from credentials.rotation.first_steps import unless_seen
from credentials.rotation.models import PassedGate, PolicyKind, Rotation, Wave
from credentials.rotation.moving import Pushed
from credentials.rotation.openings import openings
from credentials.rotation.outcomes import Waits
from credentials.rotation.plans import StopRule
from credentials.rotation.waits import Wait, iso
from credentials.services import AccountError
from instances.discovery.models import Reading
from instances.discovery.services import queue
from instances.models import Container
from portal.audit.trail import PORTAL, Actor, record


def canary(rotation: Rotation) -> Outcome:
    """Push to one installation, and see it proven, and used where Adobe tells."""
    if rotation.hold:
        return held_up(rotation)
    pushed = moving.pushes(rotation, [Wave.Kind.CANARY])
    pk = rotation.canary_id
    if pk is None or pk not in pushed or pushed[pk].is_to_go_on:
        return _start_canary(rotation)
    last = pushed[pk]
    if moving.under_way([pk]) or last.is_open:
        _put_off_outside_windows(rotation)
        return Waits(Wait.PUSHING, {"ended": 0, "total": 1})
    is_there = pk in moving.holding(rotation.account, new_of(rotation))
    if is_there and (last.state == Push.State.SUCCEEDED or last.is_replaced):
        return _unless_used(rotation) or _end_canary(rotation)
    if last.state == Push.State.CANCELLED:
        return _paused_by_others(rotation, last.rollout)
    if last.state == Push.State.SUCCEEDED:
        return Waits(Wait.CANARY_CHANGED, {"installation": str(rotation.canary)}, HALF_A_MINUTE)
    params = {"installation": str(rotation.canary), "state": last.state}
    return Waits(Wait.CANARY_FAILED, params)


def _start_canary(rotation: Rotation) -> Outcome:
    chosen = rotation.canary
    if chosen is None or not moving.pushable(rotation.account).filter(pk=chosen.pk).exists():
        chosen = moving.propose_canary(rotation.account, rotation.old)
    if chosen is None and moving.is_all_by_hand(rotation.account):
        return _leave_to_hands(rotation)
    if chosen is None:
        return Waits(Wait.NO_CANARY, {}, HALF_A_MINUTE)
    rotation.canary = chosen
    if outcome := _unless_use_is_noted(rotation):
        return outcome
    wave = moving.NextWave(0, str(chosen.instance.environment), (chosen,))
    return _start(rotation, wave, Wave.Kind.CANARY)


def _leave_to_hands(rotation: Rotation) -> Outcome:
    """Go on without a canary where the portal can reach nothing: people set the new goal everywhere."""
    account = TechnicalAccount.objects.select_for_update().get(pk=rotation.account_id)
    set_goal(account=account, version=new_of(rotation), why=Why.ROTATION, actor=rotation.actor)
    return move(rotation, State.WAVES)


def _tells_use(rotation: Rotation) -> bool:
    """Whether Adobe's API tells when the new secret was used."""
    return rotation.way == Rotation.Way.API and bool(new_of(rotation).adobe_id)


def _unless_use_is_noted(rotation: Rotation) -> Outcome:
    """Return what to do until it is noted when the new secret was used before the canary: by the portal.

    Only a later use is the canary's. Moments of Adobe's clock are compared with one another alone.
    """
    if not _tells_use(rotation):
        return None
    version = new_of(rotation)
    if outcome := unless_accepted(rotation, version, Wait.SECRET_REFUSED):
        return outcome
    is_known = rotation.listed and version.ims_checked and rotation.listed >= version.ims_checked
    if not is_known:
        return Listing(rotation, rotation.old)
    rotation.used_before = _used(rotation, version) or ""
    return None


def _used(rotation: Rotation, version: ClientSecret) -> str | None:
    found = rotation.listed_as(version.adobe_id)
    return found["used"] if found else None


def _unless_used(rotation: Rotation) -> Outcome:
    """Return what to do until Adobe has seen the new secret used once more; None once it has.

    The calls here are made with the old secret, so no use after the beginning is the portal's own.
    """
    rotation.proven = rotation.proven or timezone.now()
    if not _tells_use(rotation) or rotation.is_leak or deleting.passed(rotation, PassedGate.Gate.CANARY_USE):
        return None
    pause = timedelta(seconds=settings.ROTATION_ASK_INTERVAL)
    if not is_recent(rotation.listed, pause):
        return Listing(rotation, rotation.old)
    used = _used(rotation, new_of(rotation))
    if used and used != rotation.used_before:
        return None
    _have_canary_read(rotation, pause)
    return Waits(Wait.CANARY_UNUSED, {"installation": str(rotation.canary)}, until_asked(rotation, pause))


def _have_canary_read(rotation: Rotation, pause: timedelta) -> None:
    """Have the canary's file read now and then: if it was changed since, nobody ever uses the new secret."""
    if rotation.canary is None or is_recent(rotation.proven, pause):
        return
    container = rotation.canary.container_id
    asked = Reading.objects.filter(container=container).aggregate(last=Max("asked"))["last"]
    if not is_recent(asked, pause):
        found = Container.objects.in_use().filter(pk=container)
        queue(container_ids=set(found.values_list("pk", flat=True)), actor=PORTAL)


def _end_canary(rotation: Rotation) -> Outcome:
    """Go on to the waves, unless the policy that started it only opens rotations: then a person goes on."""
    if rotation.policy == PolicyKind.OPEN:
        rotation.hold, rotation.params = Rotation.Hold.OPENED, {"installation": str(rotation.canary)}
    return move(rotation, State.WAVES)


def waves(rotation: Rotation) -> Outcome:
    """Push to wave after wave, until nobody is left or the stop rule stops it."""
    if rotation.hold:
        return held_up(rotation)
    now = moving.standing(rotation)
    if now.called_off:
        return _paused_by_others(rotation, now.called_off)
    if StopRule.parse(rotation.stop_rule).is_broken(failed=now.broken, begun=now.begun):
        return _stop(rotation, now)
    if now.open:
        _put_off_outside_windows(rotation)
        return Waits(Wait.PUSHING, {"ended": now.ended, "total": now.begun})
    wave = moving.next_wave(rotation, list(moving.untried(rotation).values_list("pk", flat=True)))
    if wave is None:
        return move(rotation, State.VERIFYING)
    return _start(rotation, wave, Wave.Kind.WAVE)


def _start(rotation: Rotation, wave: moving.NextWave, kind: Wave.Kind) -> Outcome:
    """Start the rollout of a wave, as far as its windows are open and Adobe accepts the secret."""
    version = new_of(rotation)
    known = openings()
    open_now = [row for row in wave.installations if known.is_open(row.instance.environment)]
    if not open_now and not rotation.is_leak:
        environment, until = known.next({row.instance.environment for row in wave.installations})
        return Waits(Wait.WINDOW, {"environment": environment, "until": iso(until)}, HALF_A_MINUTE)
    if outcome := unless_accepted(rotation, version, Wait.SECRET_REFUSED):
        return outcome
    chosen = wave.installations if rotation.is_leak else tuple(open_now)
    refused = _roll_out(rotation, version, moving.NextWave(wave.position, wave.label, chosen), kind)
    return refused or Waits(Wait.PUSHING, {"ended": 0, "total": len(chosen)})


def _roll_out(
    rotation: Rotation, version: ClientSecret, wave: moving.NextWave, kind: Wave.Kind
) -> Waits | None:
    """Start one rollout through the usual door; return what to wait for if the rules refuse it."""
    is_back = kind == Wave.Kind.BACK
    try:
        with transaction.atomic():
            rollout = start(
                version=version,
                installations=wave.installations,
                reason=Rollout.Reason.ROLL_BACK if is_back else Rollout.Reason.ROTATION,
                actor=rotation.actor,
                message=rotation.message,
                consent=Consent.WAIVED,
            )
            if kind == Wave.Kind.CANARY:
                account = TechnicalAccount.objects.get(pk=rotation.account_id)
                set_goal(account=account, version=version, why=Why.ROTATION, actor=rotation.actor)
            Wave.objects.create(
                rotation=rotation, rollout=rollout, kind=kind, position=wave.position, label=wave.label
            )
    except (AccountError, RolloutError) as error:
        return Waits(Wait.NOT_STARTABLE, {"text": str(error)}, HALF_A_MINUTE)
    return None


def _stop(rotation: Rotation, now: moving.Standing) -> Outcome:
    """Stop by the rule: what has not begun is called off, and a person is needed."""
    rotation.hold = Rotation.Hold.STOPPED
    rotation.params = {"count": now.broken, "rule": rotation.stop_rule}
    pushes = moving.broken(rotation).select_related("installation__instance", "installation__container")
    rows = [each.installation for each in pushes.order_by("requested", "pk")[:50]]
    call_off(rotation)
    details: dict[str, object] = {"installations": sorted(map(str, rows)), "count": now.broken}
    record("rotation.stopped", actor=PORTAL, target=rotation, details=details | {"rule": rotation.stop_rule})
    return held_up(rotation)


def _put_off_outside_windows(rotation: Rotation) -> None:
    """Cancel what the waves have queued for environments whose window has closed: the next one has it pushed.

    Whole waves, so that a rollout of theirs which somebody cancels is still one that nobody has released.
    """
    closed = [] if rotation.is_leak else openings().closed
    if not closed:
        return
    late = Push.objects.filter(
        state=Push.State.QUEUED, retried=None, installation__instance__environment__in=closed
    )
    waves = rotation.waves.exclude(kind=Wave.Kind.BACK).filter(rollout__pushes__in=late)
    found = list(waves.select_related("rollout").distinct())
    if not found:
        return
    put_off(rollouts=[wave.rollout for wave in found], actor=PORTAL)
    rotation.waves.filter(pk__in=[wave.pk for wave in found]).update(is_released=True)
    rollouts = [wave.rollout.number for wave in found]
    record("rotation.put_off", actor=PORTAL, target=rotation, details={"rollouts": rollouts})


def call_off(rotation: Rotation, actor: Actor | None = None) -> None:
    """Cancel what the waves have queued, in its own name or another; going on pushes it after all."""
    queued = rotation.waves.filter(rollout__pushes__state=Push.State.QUEUED).distinct()
    found = list(queued.select_related("rollout"))
    if found:
        cancel_rollouts(rollouts=[wave.rollout for wave in found], actor=actor or rotation.actor)
        rotation.waves.filter(pk__in=[wave.pk for wave in found]).update(is_released=True)


def _paused_by_others(rotation: Rotation, rollout: int) -> Outcome:
    """Take a rollout that somebody cancelled for a pause: nothing else is started against their will."""
    rotation.hold = Rotation.Hold.PAUSED
    rotation.params = {"who": f"#{rollout}"}
    call_off(rotation)
    details: dict[str, object] = {"rollout": rollout}
    record("rotation.paused", actor=PORTAL, target=rotation, details=details)
    return held_up(rotation)


def taking_back(rotation: Rotation) -> Outcome:
    """Push the old secret again to whatever this rotation has begun."""
    if rotation.hold:
        return held_up(rotation)
    touched, back = moving.pushes(rotation), moving.pushes(rotation, [Wave.Kind.BACK])
    if cancelled := [each for each in back.values() if _is_called_off(each)]:
        return _paused_by_others(rotation, cancelled[0].rollout)
    # What runs is asked before what is held: what ends in between must not be missed.
    busy = moving.under_way(touched) | {pk for pk, each in (touched | back).items() if each.is_open}
    held = moving.holding(rotation.account, rotation.old) if touched else set()
    left = [pk for pk in touched if pk not in held or pk in busy]
    if not left:
        return unless_seen(rotation) or end(rotation, State.TAKEN_BACK)
    to_push = [pk for pk in left if pk not in busy and (pk not in back or back[pk].is_to_go_on)]
    rows = moving.pushable(rotation.account).filter(pk__in=to_push)
    if chosen := tuple(rows.select_related("instance", "container")):
        if outcome := unless_refused(rotation, rotation.old):
            return outcome
        refused = _roll_out(rotation, rotation.old, moving.NextWave(0, "", chosen), Wave.Kind.BACK)
        return refused or Waits(Wait.PUSHING, {"ended": 0, "total": len(chosen)})
    if busy:
        return Waits(Wait.PUSHING, {"ended": len(touched) - len(busy), "total": len(touched)})
    return Waits(Wait.NOT_BACK, {"count": len(left)})


def _is_called_off(each: Pushed) -> bool:
    return each.state == Push.State.CANCELLED and not each.is_released
