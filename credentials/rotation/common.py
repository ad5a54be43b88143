"""What the steps of a rotation share: going on, holding, asking Adobe first, and ending."""

from datetime import datetime, timedelta

from django.utils import timezone

from credentials.ims_check import answer_about
from credentials.models import ClientSecret, TechnicalAccount
from credentials.rotation import notices
from credentials.rotation.actions import Action, Checking
from credentials.rotation.deleting import is_recent, passed
from credentials.rotation.models import PassedGate, Rotation
from credentials.rotation.outcomes import Waits
from credentials.rotation.waits import Wait
from portal.audit.trail import PORTAL, record

State = Rotation.State
Outcome = Action | Waits | None
"""None: the state changed, and the next one is asked."""
REASKED = timedelta(minutes=1)
"""A refusal of Adobe is asked about again after this time: somebody may have mended it there."""
HALF_A_MINUTE = timedelta(seconds=30)


def move(rotation: Rotation, state: State) -> Outcome:
    """Go on to another state, whose step is asked at once."""
    rotation.state, rotation.tries = state, 0
    return None


def unless_accepted(
    rotation: Rotation, version: ClientSecret, refused: Wait, *, since: datetime | None = None
) -> Outcome:
    """Return what to do until Adobe has accepted a version lately, or after `since`; None if it has.

    A person may have passed this gate, for a network that has no way to Adobe; a refusal counts even then.
    """
    answer = answer_about(version)
    is_newer = since is None or (
        answer is not None and answer.checked is not None and answer.checked >= since
    )
    if answer and answer.is_valid and answer.is_fresh and is_newer:
        return None
    if answer and answer.is_refusal and is_newer and is_recent(answer.checked, REASKED):
        return Waits(refused, {"answer": str(answer.verdict)}, REASKED)
    if answer and not answer.is_refusal and passed(rotation, PassedGate.Gate.ACCEPTED):
        return None
    return Checking(version)


def unless_refused(rotation: Rotation, version: ClientSecret) -> Outcome:
    """Return what to do until Adobe was asked about the way back; only its no prevents that."""
    answer = answer_about(version)
    is_known = answer is not None and is_recent(answer.checked, REASKED)
    if answer and is_known and answer.is_refusal:
        return Waits(Wait.OLD_REFUSED, {"answer": str(answer.verdict)}, REASKED)
    return None if is_known else Checking(version, is_bound=False)


def new_of(rotation: Rotation) -> ClientSecret:
    """Return the new version, which there is from the checking on."""
    if rotation.new is None:
        raise ValueError("there is no new secret")
    return rotation.new


def held_up(rotation: Rotation) -> Waits:
    """Return what a rotation waits for that a person, its rule or its policy holds."""
    return Waits(Wait(rotation.hold), rotation.params, HALF_A_MINUTE)


def end(rotation: Rotation, state: State) -> Waits:
    """End a rotation, done or taken back."""
    rotation.state, rotation.ended, rotation.hold = state, timezone.now(), Rotation.Hold.NONE
    TechnicalAccount.objects.filter(pk=rotation.account_id).update(is_rotating=False)
    details: dict[str, object] = {"state": state.value, "old": rotation.old.version}
    details |= {"new": rotation.new.version} if rotation.new else {}
    notices.note_end(rotation)
    record("rotation.ended", actor=PORTAL, target=rotation, details=details)
    return Waits(Wait.ENDED)


def until_asked(rotation: Rotation, pause: timedelta) -> timedelta:
    """Return how long the last list may still be used."""
    since = timezone.now() - rotation.listed if rotation.listed else pause
    return max(timedelta(seconds=1), pause - since)
