"""What a rotation shows to people: its steps, its waves, its installations, and what it waits for."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.paginator import Page, Paginator
from django.utils.dateparse import parse_datetime
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from credentials.coverage.cells import Cell, cells_of
from credentials.models import ClientSecret
from credentials.rollouts.progress import Progress, progress_of
from credentials.rotation import deleting, gates, moving
from credentials.rotation.models import Rotation, Wave

State = Rotation.State
PAGE = 25
SHOWN = 50
STEPS: tuple[tuple[State, Promise], ...] = (
    (State.PREPARING, _("Second secret")),
    (State.CHECKING, _("Accepted by Adobe")),
    (State.CANARY, _("Canary")),
    (State.WAVES, _("Waves")),
    (State.VERIFYING, _("Verified everywhere")),
    (State.WATCHING, _("Old secret idle")),
    (State.DELETING, _("Old secret deleted")),
)
BACK: tuple[tuple[State, Promise], ...] = ((State.TAKING_BACK, _("Back to the old secret")),)


@dataclass(frozen=True)
class Step:
    """One step for the row of steps on top of the page."""

    label: Promise
    state: str
    url: str = ""


def steps(rotation: Rotation) -> list[Step]:
    """Return the steps of a rotation: done, current or to come."""
    state = State.PREPARING if rotation.state == State.MAKING_ROOM else rotation.state
    if rotation.state == State.DONE:
        return [Step(label, "done") for _state, label in STEPS]
    if rotation.takes_back:
        last = "done" if rotation.state == State.TAKEN_BACK else "current"
        return [Step(label, last) for _state, label in BACK]
    names = [name for name, _label in STEPS]
    now = names.index(State(state))
    marks = ["done" if at < now else "current" if at == now else "todo" for at in range(len(STEPS))]
    return [Step(label, mark) for (_state, label), mark in zip(STEPS, marks, strict=True)]


@dataclass(frozen=True)
class WaveLine:
    """A wave with the progress of its rollout."""

    wave: Wave
    progress: Progress


def wave_lines(rotation: Rotation) -> list[WaveLine]:
    """Return the waves, oldest first."""
    found = list(rotation.waves.select_related("rollout__secret__account"))
    progress = progress_of([wave.rollout for wave in found])
    return [WaveLine(wave, progress[wave.rollout_id]) for wave in found]


@dataclass(frozen=True)
class AtAdobe:
    """A secret as Adobe listed it last, and the version that it is."""

    id: str
    created: datetime | None
    used: datetime | None
    version: ClientSecret | None


def at_adobe(rotation: Rotation) -> list[AtAdobe]:
    """Return what Adobe listed last."""
    known = {each.adobe_id: each for each in rotation.account.secrets.exclude(adobe_id="")}
    return [
        AtAdobe(each["id"], _moment(each["created"]), _moment(each["used"]), known.get(each["id"]))
        for each in rotation.adobe_secrets
    ]


def _moment(value: Any) -> datetime | None:  # Any: whatever JSON holds
    return parse_datetime(value) if isinstance(value, str) else None


def cells(rotation: Rotation, page: str | None) -> tuple["Page[Any]", list[Cell]]:
    """Return one page of the account's installations, and what each of them holds."""
    ids = moving.installations(rotation.account).order_by("instance__name", "container__name")
    shown = Paginator(ids.values_list("pk", flat=True), PAGE).get_page(page)
    return shown, cells_of(list(shown))


def in_the_way(rotation: Rotation) -> gates.Ways:
    """Return what keeps the old secret from being deleted; nothing as long as that is not asked."""
    asked = (State.VERIFYING, State.WATCHING, State.DELETING)
    if rotation.state not in asked:
        return gates.NOTHING
    ways = deleting.in_the_way(rotation)
    return ways if rotation.old.is_usable else ways.only(gates.NEEDED_NOW)
