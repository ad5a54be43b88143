"""The first steps of a rotation: a second secret, room for it at Adobe, and Adobe's yes to it."""

from collections.abc import Mapping

from credentials.ims_check import answer_about
from credentials.models import ClientSecret
from credentials.rollouts.starting import one_start_at_a_time
from credentials.rotation import adobe, deleting, gates
from credentials.rotation.actions import Checking, Creating, Listing
from credentials.rotation.common import (
    REASKED,
    Outcome,
    State,
    move,
    new_of,
    unless_accepted,
)
from credentials.rotation.deleting import RECENT, is_recent
from credentials.rotation.models import ConsoleCall, Rotation
from credentials.rotation.outcomes import Waits
from credentials.rotation.waits import Wait
from credentials.services import abandon
from portal.audit.trail import PORTAL


def preparing(rotation: Rotation) -> Outcome:
    """Have a second secret: made by Adobe's API, or entered by a person."""
    if rotation.new_id:
        return move(rotation, State.CHECKING)
    if rotation.way == Rotation.Way.BY_HAND:
        return Waits(Wait.SECRET_NEEDED)
    if spare := spare_version(rotation):
        if rotation.wait == Wait.SPARE_NEEDED:  # until somebody decides
            return Waits(Wait.SPARE_NEEDED, rotation.params)
        return Waits(Wait.SPARE_VERSION, _about(spare))
    if not is_recent(rotation.listed, RECENT):
        return Listing(rotation, rotation.old)
    return _judge_list(rotation)


def spare_version(rotation: Rotation) -> ClientSecret | None:
    """Return the other version that may still exist at Adobe."""
    slots = rotation.account.secrets.exclude(slot=None).exclude(pk=rotation.old_id)
    return slots.exclude(pk=rotation.new_id).first() if rotation.new_id else slots.first()


def _about(version: ClientSecret) -> dict[str, object]:
    return {"version": version.version, "entered": version.entered.isoformat()}


def _judge_list(rotation: Rotation) -> Outcome:
    """Decide by Adobe's list whether there is room for a second secret."""
    ids = rotation.adobe_ids
    if len(ids) == 1 and not rotation.old.adobe_id:
        # The token for the list was made with the old secret, so that is the only one.
        adobe.know_as(rotation.old, ids[0])
    if not ids or (rotation.old.adobe_id and rotation.old.adobe_id not in ids):
        return Waits(Wait.OLD_MISSING, {"count": len(ids)}, REASKED)
    if len(ids) == 1:
        return Creating(rotation)
    if orphan := rotation.listed_as(orphan_of(rotation)):
        return Waits(Wait.ORPHAN, _told(orphan), REASKED)
    strangers = [each for each in rotation.adobe_secrets if each["id"] != rotation.old.adobe_id]
    return Waits(Wait.UNKNOWN_SECRET, _told(strangers[-1]), REASKED)


def _told(secret: Mapping[str, object]) -> dict[str, object]:
    return {name: secret[name] for name in ("id", "created", "used")}


def lost_creation(rotation: Rotation) -> ConsoleCall | None:
    """Return the last call of this rotation by which Adobe may have made a secret that nobody got."""
    created = rotation.calls.filter(what=ConsoleCall.What.CREATE, may_have_been_done=True)
    return created.last()


def orphan_of(rotation: Rotation) -> str:
    """Return the id of a secret that this rotation seems to have had made; empty if there is none.

    It was not listed before that call, and is no version's. Somebody may have made it in the console.
    """
    lost = lost_creation(rotation)
    if lost is None:
        return ""
    known = set(ClientSecret.objects.exclude(adobe_id="").values_list("adobe_id", flat=True))
    since = [each for each in rotation.adobe_ids if each not in {*lost.known, *known}]
    return since[0] if len(since) == 1 else ""


def making_room(rotation: Rotation) -> Outcome:
    """Have a secret deleted that nobody needs, so that another one can be made."""
    spare = spare_version(rotation)
    if spare and (outcome := _unless_out_of_use(rotation, spare) or _unless_named(rotation, spare)):
        return outcome
    if rotation.state != State.MAKING_ROOM:
        return None
    if spare and rotation.way == Rotation.Way.BY_HAND:
        if rotation.confirmed is None:
            return Waits(Wait.SPARE_BY_HAND, _about(spare))
    else:
        stays = rotation.old.adobe_id
        found = deleting.at_adobe(rotation, signer=rotation.old, adobe_id=rotation.room_id, must_stay=stays)
        if found:
            return found
    if spare:
        deleting.finish(rotation, spare)
    rotation.room_id, rotation.confirmed, rotation.confirmed_note = "", None, ""
    return move(rotation, State.TAKING_BACK if rotation.takes_back else State.PREPARING)


def _unless_named(rotation: Rotation, spare: ClientSecret) -> Outcome:
    """Return what to do until Adobe's id of the spare version is known, which is never guessed."""
    if rotation.room_id or rotation.way == Rotation.Way.BY_HAND:
        return None
    if not is_recent(rotation.listed, RECENT):
        return Listing(rotation, rotation.old)
    rotation.room_id = spare.adobe_id
    if rotation.room_id:
        return None
    return Waits(Wait.WHICH_SECRET, {"count": len(rotation.adobe_secrets)}, REASKED)


def _unless_out_of_use(rotation: Rotation, spare: ClientSecret) -> Outcome:
    """Return what to do until the spare version can be used for nothing any more; None once that is so."""
    if not spare.is_usable:
        return None
    if not spare.adobe_id and rotation.way == Rotation.Way.API:
        return _unless_known_at_adobe(rotation, spare)
    if waits := deleting.readings_of(spare, deleting.FINAL):
        return waits
    one_start_at_a_time()
    if ways := gates.in_the_way(spare):
        move(rotation, State.PREPARING)
        params = {"count": len(ways), "names": [str(each) for each in ways.first(5)]}
        return Waits(Wait.SPARE_NEEDED, _about(spare) | params, REASKED)
    deleting.begin(rotation, spare)
    return None


def _unless_known_at_adobe(rotation: Rotation, spare: ClientSecret) -> Outcome:
    """Find out which of Adobe's secrets an entered version is: the other one, if IMS accepts it just now.

    One that IMS refuses is none of them. It is given up here, and nothing is deleted at Adobe for it.
    """
    answer = answer_about(spare)
    if answer is None or not is_recent(answer.checked, RECENT) or not (answer.is_valid or answer.is_refusal):
        return Checking(spare)
    if answer.is_refusal:
        abandon(version=spare, actor=PORTAL)
        return move(rotation, State.PREPARING)
    is_newer = rotation.listed and answer.checked and rotation.listed >= answer.checked
    if not is_newer:
        return Listing(rotation, rotation.old)
    found = deleting.the_other(rotation, rotation.old.adobe_id)
    if not found:
        return Waits(Wait.WHICH_SECRET, {"count": len(rotation.adobe_secrets)}, REASKED)
    adobe.know_as(spare, found)
    return _unless_out_of_use(rotation, spare)


def checking(rotation: Rotation) -> Outcome:
    """Have Adobe accept the new secret before anything is pushed."""
    found = unless_accepted(rotation, new_of(rotation), Wait.SECRET_REFUSED)
    return found or move(rotation, State.CANARY)


def unless_seen(rotation: Rotation) -> Outcome:
    """Return what to do until no secret is at Adobe that this rotation had made and nobody has."""
    if rotation.way != Rotation.Way.API or lost_creation(rotation) is None:
        return None
    if not is_recent(rotation.listed, RECENT):
        return Listing(rotation, rotation.old)
    orphan = rotation.listed_as(orphan_of(rotation))
    return Waits(Wait.ORPHAN, _told(orphan), REASKED) if orphan else None
