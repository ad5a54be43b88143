"""The last steps of a rotation: everything verified, the old secret watched and deleted."""

from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone

from credentials.models import ClientSecret
from credentials.rollouts.starting import one_start_at_a_time
from credentials.rotation import adobe, deleting, gates, moving
from credentials.rotation.actions import Deleting, Listing
from credentials.rotation.common import (
    HALF_A_MINUTE,
    REASKED,
    Outcome,
    State,
    end,
    held_up,
    move,
    new_of,
    unless_accepted,
    until_asked,
)
from credentials.rotation.deleting import is_recent
from credentials.rotation.models import PassedGate, Rotation
from credentials.rotation.outcomes import Waits
from credentials.rotation.waits import Wait, iso

FRESH_SHARE = 0.8
"""Of the age at which a sight counts as too old: so old it is read again, well before."""


def verifying(rotation: Rotation) -> Outcome:
    """Have every installation seen on the new secret, newcomers included."""
    if rotation.hold:
        return held_up(rotation)
    if moving.untried(rotation).exists():
        return move(rotation, State.WAVES)
    if waits := deleting.readings_of(rotation.old, _freshness()):
        return waits
    ways = deleting.in_the_way(rotation)
    if busy := ways.pushed_to():
        return Waits(Wait.PUSHING, {"ended": len(ways) - busy, "total": len(ways)})
    if ways:
        rotation.verified = None
        return Waits(Wait.NOT_VERIFIED, {"count": len(ways)})
    rotation.verified = timezone.now()
    return move(rotation, State.WATCHING)


def _freshness() -> timedelta:
    """Return how old a sight may become before its container is read again."""
    return timedelta(seconds=settings.ROTATION_READ_WITHIN) * FRESH_SHARE


def watching(rotation: Rotation) -> Outcome:
    """Watch the old secret until nobody has used it for long enough; nothing here makes a token with it."""
    if rotation.hold:
        return held_up(rotation)
    ways = deleting.in_the_way(rotation)
    if moving.untried(rotation).exists() or not ways.kinds <= set(gates.ONLY_UNREAD):
        rotation.verified = None
        return move(rotation, State.VERIFYING)
    # A sight that grew old is no sign that anything changed: it is read again, and the watch goes on.
    deleting.readings_of(rotation.old, _freshness())
    return _unless_idle(rotation) or _begin_deletion(rotation)


def _begin_deletion(rotation: Rotation) -> Outcome:
    rotation.final_since = timezone.now()
    return move(rotation, State.DELETING)


def _unless_idle(rotation: Rotation) -> Outcome:
    """Return what to do until the old secret has not been used for long enough; None once that is so."""
    if rotation.is_leak or deleting.passed(rotation, PassedGate.Gate.IDLE):
        return None
    pause = timedelta(seconds=settings.ROTATION_ASK_INTERVAL)
    if rotation.way == Rotation.Way.API:
        if not is_recent(rotation.listed, pause):
            return Listing(rotation, new_of(rotation))
        if outcome := _unless_both_known(rotation):
            return outcome
    since, needed = deleting.idle_since(rotation) or timezone.now(), deleting.idle_time()
    if rotation.way == Rotation.Way.BY_HAND and _was_looked_at(rotation, since + needed):
        return None
    if timezone.now() - since >= needed:
        return Waits(Wait.USAGE_NEEDED, {}, REASKED) if rotation.way == Rotation.Way.BY_HAND else None
    is_used = rotation.verified is not None and since > rotation.verified
    # A file that was restored meanwhile is the likeliest cause, and a reading names it.
    waits = deleting.readings_of(rotation.old, timezone.now() - since, pause=pause) if is_used else None
    if waits:
        return waits
    hours = round(needed.total_seconds() / 3600, 4)
    params = {"hours": f"{hours:g}", "until": iso(since + needed), "used": iso(since) if is_used else None}
    wait = Wait.STILL_USED if is_used else Wait.IDLE
    return Waits(wait, params, min(REASKED, until_asked(rotation, pause)))


def _was_looked_at(rotation: Rotation, moment: datetime) -> bool:
    """Whether a person looked in the console after this moment, and lately."""
    age = timedelta(seconds=settings.ROTATION_READ_WITHIN)
    return rotation.looked is not None and rotation.looked >= moment and is_recent(rotation.looked, age)


def _unless_both_known(rotation: Rotation) -> Outcome:
    """Find out which of Adobe's secrets is which; a person has to where that cannot be told.

    IMS accepted the new one, so it is the one of two that is not the old one. The other way round would be a
    guess: the old one may be gone, and a stranger's be there.
    """
    old, new = rotation.old, new_of(rotation)
    ids = rotation.adobe_ids
    if not new.adobe_id and (found := deleting.the_other(rotation, old.adobe_id)):
        adobe.know_as(new, found)
    if not old.adobe_id or not new.adobe_id:
        return Waits(Wait.WHICH_SECRET, {"count": len(ids)}, REASKED)
    if new.adobe_id not in ids:
        return Waits(Wait.NEW_MISSING, {"count": len(ids)}, REASKED)
    return None


def deleting_old(rotation: Rotation) -> Outcome:
    """Delete the old secret: every gate is asked again in the transaction that takes it out of use."""
    if rotation.hold:
        return held_up(rotation)
    old = rotation.old
    if old.is_usable and (outcome := _unless_out_of_use(rotation)):
        return outcome
    if rotation.state != State.DELETING:
        return None
    if old.state == ClientSecret.State.DELETING:
        if outcome := _unless_gone(rotation):
            return outcome
        deleting.finish(rotation, old)
    return end(rotation, State.DONE)


def _unless_out_of_use(rotation: Rotation) -> Outcome:
    """Return what to do until the old version can be used for nothing any more.

    None once that is so, or if a gate is closed again: then the state has changed.
    """
    since = timezone.now() - (rotation.final_since or timezone.now())
    if waits := deleting.readings_of(rotation.old, since + deleting.CLOCKS_APART):
        return waits
    if rotation.way == Rotation.Way.API and not is_recent(rotation.listed, deleting.JUST_NOW):
        return Listing(rotation, new_of(rotation))
    if outcome := _unless_idle(rotation):
        if isinstance(outcome, Waits):
            move(rotation, State.WATCHING)
        return outcome
    if outcome := unless_accepted(rotation, new_of(rotation), Wait.NEW_REFUSED):
        return outcome
    one_start_at_a_time()
    if deleting.in_the_way(rotation) or moving.untried(rotation).exists():
        rotation.verified = None
        return move(rotation, State.VERIFYING)
    deleting.begin(rotation, rotation.old)
    rotation.old.refresh_from_db()
    return None


def _unless_gone(rotation: Rotation) -> Outcome:
    """Return what to do until the old secret is gone at Adobe: a list shows that, or a person says so.

    An installation that holds it again by then is named first: its file was restored since.
    """
    old, new = rotation.old, new_of(rotation)
    ways = deleting.in_the_way(rotation).only(gates.NEEDED_NOW)
    if rotation.way == Rotation.Way.BY_HAND:
        if rotation.confirmed is None:
            return Waits(Wait.STILL_HELD if ways else Wait.DELETE_BY_HAND, _about_old(rotation, len(ways)))
        return unless_accepted(rotation, new, Wait.NEW_REFUSED, since=rotation.confirmed)
    if not old.adobe_id or not new.adobe_id:
        return Waits(Wait.WHICH_SECRET, {"count": len(rotation.adobe_secrets)}, REASKED)
    found = deleting.at_adobe(rotation, signer=new, adobe_id=old.adobe_id, must_stay=new.adobe_id)
    if ways and isinstance(found, Deleting) and not rotation.is_leak:
        return Waits(Wait.STILL_HELD, _about_old(rotation, len(ways)), HALF_A_MINUTE)
    return found


def _about_old(rotation: Rotation, count: int) -> dict[str, object]:
    """Return how people tell the old secret from the new one."""
    old, new = rotation.old, new_of(rotation)
    return {
        "count": count,
        "version": old.version,
        "entered": old.entered.isoformat(),
        "fingerprint": old.fingerprint,
        "new_version": new.version,
        "new_entered": new.entered.isoformat(),
        "new_fingerprint": new.fingerprint,
    }
