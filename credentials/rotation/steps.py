"""The states of a rotation, and what the next step is in each, judged by the rows as they are now.

A step is asked in a transaction that holds the rotation's row. It changes the state (then the next one is
asked at once), returns an action that is done outside the transaction, or says what is waited for.
"""

from collections.abc import Callable

from credentials.rotation import first_steps, last_steps, wave_steps
from credentials.rotation.answering import answered
from credentials.rotation.common import Outcome, State
from credentials.rotation.models import Rotation

STEPS: dict[str, Callable[[Rotation], Outcome]] = {
    State.PREPARING: answered(first_steps.preparing),
    State.MAKING_ROOM: answered(first_steps.making_room),
    State.CHECKING: answered(first_steps.checking),
    State.CANARY: answered(wave_steps.canary),
    State.WAVES: answered(wave_steps.waves),
    State.VERIFYING: answered(last_steps.verifying),
    State.WATCHING: answered(last_steps.watching),
    State.DELETING: answered(last_steps.deleting_old),
    State.TAKING_BACK: wave_steps.taking_back,
}
