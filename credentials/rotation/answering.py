"""Who answers for a rotation that nobody started: the person who set its policy, as long as they may."""

from collections.abc import Callable

from credentials.rotation import wave_steps
from credentials.rotation.authority import may_rotate
from credentials.rotation.common import Outcome, State, held_up
from credentials.rotation.models import Rotation
from portal.audit.names import PersonName
from portal.audit.trail import PORTAL, record

Step = Callable[[Rotation], Outcome]


def answered(step: Step) -> Step:
    """Return the step of a state that is taken only while somebody answers for the rotation.

    A policy never acts in the name of a person who was deactivated or is no admin any more: its rotation is
    held until another one goes on with it. A deletion that has begun at Adobe is brought to its end.
    """

    def taken(rotation: Rotation) -> Outcome:
        has_begun = rotation.state == State.DELETING and not rotation.old.is_usable
        is_asked = rotation.policy and not rotation.hold and not has_begun
        if is_asked and not may_rotate(rotation.acts_for):
            _hold(rotation)
        if rotation.hold == Rotation.Hold.NOBODY:
            return held_up(rotation)
        return step(rotation)

    return taken


def _hold(rotation: Rotation) -> None:
    rotation.hold, rotation.params = Rotation.Hold.NOBODY, {"who": rotation.acts_for_name}
    wave_steps.call_off(rotation, PORTAL)
    details: dict[str, object] = {"who": PersonName(rotation.acts_for_name)}
    record("rotation.held", actor=PORTAL, target=rotation, details=details)
